/** Lines of several logs in the order they arrived: a k-way merge that holds one stretch of each log at a time. */
import type { LogLine, Output, Place } from '../output/output.ts';

export interface LogSource {
  readonly instance: string;
  readonly stream: 'stdout' | 'stderr';
  readonly file: string;
}

export interface MergedLine extends LogLine {
  readonly source: LogSource;
}

/** One log being read on from a place. */
class Cursor {
  readonly source: LogSource;
  readonly #output: Output;
  place: Place | undefined;
  #lines: readonly LogLine[] = [];
  #next = 0;
  #more = true;
  readonly #final: boolean;

  constructor(source: LogSource, output: Output, place: Place | undefined, final: boolean) {
    this.source = source;
    this.#output = output;
    this.place = place;
    this.#final = final;
  }

  /** The next line without taking it; undefined at the end. */
  peek(): LogLine | undefined {
    while (this.#next >= this.#lines.length && this.#more) {
      const stretch = this.#output.read(this.source.file, this.place, this.#final);
      this.#lines = stretch.lines;
      this.#next = 0;
      this.place = stretch.place;
      this.#more = stretch.more;
    }
    return this.#lines[this.#next];
  }

  take(): void {
    this.#next += 1;
  }

  /** Looks again at a log whose end was reached. */
  again(): void {
    this.#more = true;
  }
}

/** Where `time` belongs in cursors sorted by their next line, after those of the same time. */
function rank(sorted: readonly { time: number }[], time: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle]?.time ?? 0) <= time) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** All lines that are there now, oldest first. Lines of one log keep their order, whatever the clock did. */
function* mergeNow(cursors: readonly Cursor[]): Generator<MergedLine> {
  const sorted: { time: number; cursor: Cursor }[] = [];
  const insert = (cursor: Cursor, notBefore: number): void => {
    const line = cursor.peek();
    if (line === undefined) return;
    const time = Math.max(line.timeMs, notBefore);
    sorted.splice(rank(sorted, time), 0, { time, cursor });
  };
  for (const cursor of cursors) insert(cursor, 0);
  for (let first = sorted.shift(); first !== undefined; first = sorted.shift()) {
    const line = first.cursor.peek();
    if (line === undefined) continue;
    first.cursor.take();
    yield { ...line, source: first.cursor.source };
    insert(first.cursor, first.time);
  }
}

export interface Merge {
  /** What is there now and was not given yet. */
  lines(): Generator<MergedLine>;
  /** Takes in logs that are new, with what they hold since `sinceMs`. */
  add(sources: readonly LogSource[], sinceMs: number): void;
}

/** Begins at `lines` last lines of each log, or at a time. `follow`: a last line without its newline waits for the rest. */
export function mergeLogs(
  sources: readonly LogSource[],
  output: Output,
  wanted: { lines: number } | { sinceMs: number },
  follow: boolean,
): Merge {
  const cursors = new Map<string, Cursor>();
  const add = (added: readonly LogSource[], from: { lines: number } | { sinceMs: number }): void => {
    for (const source of added) {
      if (!cursors.has(source.file)) cursors.set(source.file, new Cursor(source, output, output.place(source.file, from), !follow));
    }
  };
  add(sources, wanted);
  return {
    *lines() {
      for (const cursor of cursors.values()) cursor.again();
      yield* mergeNow([...cursors.values()]);
    },
    add: (added, sinceMs) => add(added, { sinceMs }),
  };
}
