/** Whether a log holds what the program of `writer.py` wrote: every line once and in order, and where bytes are missing, Steward's own word on how many. */

/** What Steward writes into a log that could not be written for a while. */
const note = /\n?\[steward\] (\d+) bytes of output are missing here[^\n]*\n/;

const linePattern = /^(\S+) ([0-9a-f]{12}) (\d{12})$/;

/** How a line is written; all lines of a program are of one length. */
export const lineOf = (name: string, run: string, number: number): string => `${name} ${run} ${String(number).padStart(12, '0')}\n`;

/** The text that a run of a program has written, from one byte to another. */
function written(name: string, run: string, from: number, to: number): string {
  const length = lineOf(name, run, 1).length;
  const first = Math.floor(from / length);
  let text = '';
  for (let line = first; line * length < to; line++) text += lineOf(name, run, line + 1);
  return text.slice(from - first * length, to - first * length);
}

export type StreamCheck = { readonly lines: number; readonly missingBytes: number; readonly broken: readonly string[] };

/**
 * The log of a program that ran all the time as one run: byte for byte what it wrote, but for gaps that are told, and each
 * gap is as long as it is told. `acknowledged`: lines that it knows it has written.
 */
export function checkStream(text: string, acknowledged: number): StreamCheck {
  const [, name = '', run = ''] = linePattern.exec(text.slice(0, text.indexOf('\n'))) ?? [];
  if (name === '') return { lines: 0, missingBytes: 0, broken: [`the log begins with "${text.slice(0, 60)}"`] };
  const length = lineOf(name, run, 1).length;
  // The line end before a note is the program's own or the note's: both are looked into.
  let places = [0];
  let missingBytes = 0;
  let rest = text;
  for (let found = note.exec(rest); ; found = note.exec(rest)) {
    const piece = found === null ? rest : rest.slice(0, found.index);
    const ends = found?.[0].startsWith('\n') ? [piece, `${piece}\n`] : [piece];
    const told = Number(found?.[1] ?? 0);
    const next = places.flatMap((at) =>
      ends.filter((end) => written(name, run, at, at + end.length) === end).map((end) => at + end.length + told),
    );
    if (next.length === 0) return { lines: 0, missingBytes, broken: [firstDifference(name, run, places[0] as number, piece)] };
    places = [...new Set(next)];
    if (found === null) break;
    missingBytes += told;
    rest = rest.slice(found.index + found[0].length);
  }
  const lines = Math.floor(Math.max(...places) / length);
  const broken = lines < acknowledged ? [`the log ends after line ${lines}, ${acknowledged} were written`] : [];
  return { lines, missingBytes, broken };
}

function firstDifference(name: string, run: string, at: number, piece: string): string {
  const wanted = written(name, run, at, at + piece.length);
  let index = 0;
  while (piece[index] === wanted[index]) index++;
  const length = lineOf(name, run, 1).length;
  const around = JSON.stringify(piece.slice(Math.max(0, index - 40), index + 60));
  return `line ${Math.floor((at + index) / length) + 1} is not what was written: ${around}`;
}

/** The log of a program that was killed and started again: of each run all lines once and in order, from the first on. */
export function checkRuns(text: string, acknowledged: ReadonlyMap<string, number>): StreamCheck {
  const broken: string[] = [];
  const last = new Map<string, number>();
  const holed = new Set<string>();
  let [run, number, lines, missingBytes] = ['', 0, 0, 0];
  const all = text.split('\n');
  const isNote = (line: string | undefined): boolean => line?.startsWith('[steward] ') === true;
  all.forEach((line, index) => {
    const told = /^\[steward\] (\d+) bytes/.exec(line);
    if (told !== null) {
      missingBytes += Number(told[1]);
      holed.add(run);
      return;
    }
    const isBesideNote = isNote(all[index - 1]) || isNote(all[index + 1]);
    const [, , itsRun, itsNumber] = linePattern.exec(line) ?? [];
    if (itsRun === undefined) {
      if (line !== '' && !isBesideNote) broken.push(`line ${index + 1} is "${line.slice(0, 80)}"`);
      return;
    }
    const isAfterNote = isNote(all[index - 1]) || (isNote(all[index - 2]) && linePattern.exec(all[index - 1] ?? '') === null);
    const expected = itsRun === run ? number + 1 : 1;
    if (isAfterNote) holed.add(itsRun);
    const isRight = isAfterNote ? Number(itsNumber) >= expected : Number(itsNumber) === expected;
    if (!isRight) broken.push(`line ${itsNumber} of run ${itsRun} comes after ${number} of ${run || 'none'}`);
    if (itsRun !== run && last.has(itsRun)) broken.push(`run ${itsRun} comes twice`);
    [run, number] = [itsRun, Number(itsNumber)];
    last.set(run, number);
    lines++;
  });
  for (const [known, count] of acknowledged)
    if ((last.get(known) ?? 0) < count && !holed.has(known) && missingBytes === 0)
      broken.push(`run ${known} ends after line ${last.get(known) ?? 0}, ${count} were written`);
  return { lines, missingBytes, broken };
}
