/**
 * Lines of several logs in the order they arrived: a k-way merge that holds one stretch of each log at a time, and of that
 * only the lines that are wanted. It looks at one stretch between two turns of its caller, who decides when the next follows.
 */
import { type Beginning, type LogLine, leastStretchBytes, type Output, type Place, type RunMark, stretchBytes } from '../output/output.ts';
import { createLineFilter, type KeptLine, type LogFilter } from './log-filter.ts';

export interface LogSource {
  readonly instance: string;
  readonly stream: 'stdout' | 'stderr';
  readonly file: string;
}

export interface MergedLine extends KeptLine {
  readonly source: LogSource;
  /** It is no line but says that a run started or ended. */
  readonly mark?: RunMark;
}

export interface MergeOptions extends LogFilter {
  /** Goes on later: a last line without its newline waits for the rest. */
  readonly follow: boolean;
  /** Whether starts and ends of runs are among the lines. */
  readonly marks: boolean;
}

/** What all cursors together may hold, as bytes of logs. */
const heldBytes = 32 * 1024 * 1024;

type Item = Omit<MergedLine, 'source'>;

const markItem = (mark: RunMark): Item => ({ timeMs: mark.timeMs, text: '', run: mark.run, pid: mark.pid, level: undefined, mark });

/** One log being read on from a place. */
class Cursor {
  readonly source: LogSource;
  readonly #output: Output;
  readonly #options: MergeOptions;
  readonly #keep: (lines: readonly LogLine[]) => KeptLine[];
  readonly #marks: boolean;
  place: Place | undefined;
  #items: readonly Item[] = [];
  #next = 0;
  #more = true;
  #skip: number;

  constructor(source: LogSource, output: Output, place: Place | undefined, options: MergeOptions, marks: boolean, skip: number) {
    this.#skip = skip;
    this.source = source;
    this.#output = output;
    this.#options = options;
    this.#keep = createLineFilter(source.instance, options);
    this.#marks = marks;
    this.place = place;
  }

  /** The next line without taking it; undefined at the end, and while `isReading`. */
  peek(): Item | undefined {
    return this.#items[this.#next];
  }

  get isReading(): boolean {
    return this.#next >= this.#items.length && this.#more;
  }

  /** Reads one stretch. */
  read(mostBytes: number): void {
    const stretch = this.#output.read(this.source.file, this.place, !this.#options.follow, mostBytes);
    const { untilMs } = this.#options;
    const last = stretch.lines.at(-1);
    this.place = stretch.place;
    this.#more = stretch.more && !(untilMs !== undefined && last !== undefined && last.timeMs > untilMs);
    const items = !this.#marks || stretch.marks.length === 0 ? this.#keep(stretch.lines) : this.#withMarks(stretch);
    const skipped = Math.min(this.#skip, items.length);
    this.#items = skipped === 0 ? items : items.slice(skipped);
    this.#skip -= skipped;
    this.#next = 0;
  }

  #withMarks({ lines, marks }: { readonly lines: readonly LogLine[]; readonly marks: readonly RunMark[] }): Item[] {
    const items: Item[] = [];
    let from = 0;
    for (const mark of marks) {
      items.push(...this.#keep(lines.slice(from, mark.before)));
      from = mark.before;
      if (this.#isWanted(mark)) items.push(markItem(mark));
    }
    items.push(...this.#keep(lines.slice(from)));
    return items;
  }

  #isWanted({ timeMs, run }: RunMark): boolean {
    const { sinceMs = 0, untilMs = Number.POSITIVE_INFINITY, runOf } = this.#options;
    const wanted = runOf?.(this.source.instance);
    return timeMs >= sinceMs && timeMs <= untilMs && (wanted === undefined || run.startsWith(wanted));
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

/**
 * All lines that are there now, oldest first, and undefined after each stretch that was read. Lines of one log keep their
 * order, whatever the clock did.
 */
function* mergeNow(cursors: readonly Cursor[]): Generator<MergedLine | undefined> {
  const sorted: { time: number; cursor: Cursor }[] = [];
  const mostBytes = Math.max(leastStretchBytes, Math.min(stretchBytes, Math.floor(heldBytes / cursors.length)));
  function* insert(cursor: Cursor, notBefore: number): Generator<undefined> {
    while (cursor.isReading) {
      cursor.read(mostBytes);
      yield undefined;
    }
    const line = cursor.peek();
    if (line === undefined) return;
    const time = Math.max(line.timeMs, notBefore);
    sorted.splice(rank(sorted, time), 0, { time, cursor });
  }
  for (const cursor of cursors) yield* insert(cursor, 0);
  for (let first = sorted.shift(); first !== undefined; first = sorted.shift()) {
    const line = first.cursor.peek();
    if (line === undefined) continue;
    first.cursor.take();
    yield { ...line, source: first.cursor.source };
    yield* insert(first.cursor, first.time);
  }
}

export interface Merge {
  /** What is there now and was not given yet; undefined where the caller may pause. */
  lines(): Generator<MergedLine | undefined>;
  /** Takes in logs that are new, with what they hold since `sinceMs`. */
  add(sources: readonly LogSource[], sinceMs: number): void;
}

/** Marks of an instance with two logs are told by the first: in one log they are always in order. */
const tellsMarks = (source: LogSource, sources: readonly LogSource[]): boolean =>
  sources.find(({ instance }) => instance === source.instance) === source;

/** Where a log begins, and how many of its wanted lines are passed over. */
export interface Start {
  readonly from: Beginning;
  readonly skip: number;
}

/** The logs of `sources`, each from where `startOf` says. */
export function mergeLogs(
  sources: readonly LogSource[],
  output: Output,
  options: MergeOptions,
  startOf: (source: LogSource) => Start,
): Merge {
  const cursors = new Map<string, Cursor>();
  const add = (added: readonly LogSource[], start: (source: LogSource) => Start): void => {
    for (const source of added) {
      if (cursors.has(source.file)) continue;
      const marks = options.marks && tellsMarks(source, added);
      const { from, skip } = start(source);
      cursors.set(source.file, new Cursor(source, output, output.place(source.file, from), options, marks, skip));
    }
  };
  add(sources, startOf);
  return {
    *lines() {
      for (const cursor of cursors.values()) cursor.again();
      yield* mergeNow([...cursors.values()]);
    },
    add: (added, sinceMs) => add(added, () => ({ from: { sinceMs }, skip: 0 })),
  };
}

interface Counted {
  /** Lines looked at. */
  readonly read: number;
  /** Lines that are wanted. */
  readonly kept: number;
}

/** Counts the wanted lines of a log from a beginning on; gives undefined after each stretch. */
function* countWanted(source: LogSource, output: Output, filter: LogFilter, from: Beginning): Generator<undefined, Counted> {
  const keep = createLineFilter(source.instance, filter);
  let place = output.place(source.file, from);
  let read = 0;
  let kept = 0;
  for (let more = true; more; ) {
    const stretch = output.read(source.file, place, true);
    read += stretch.lines.length;
    kept += keep(stretch.lines).length;
    ({ place, more } = stretch);
    yield undefined;
  }
  return { read, kept };
}

/** More lines than any log of a service has. */
const mostLines = 2 ** 40;

/**
 * Where the last `count` wanted lines of a log begin. Without `from` it is read backwards, in windows that grow until they
 * hold enough, so that a log is not read as a whole for a few lines at its end. Gives undefined after each stretch, for the
 * caller to pause, and the answer at last.
 */
export function* lastWanted(
  source: LogSource,
  output: Output,
  filter: LogFilter,
  count: number,
  from: Beginning | undefined,
): Generator<undefined, Start> {
  for (let lines = Math.max(1000, count); ; lines *= 4) {
    const window = from ?? { lines, untilMs: filter.untilMs };
    const { read, kept } = yield* countWanted(source, output, filter, window);
    if (from !== undefined || kept >= count || read < lines || lines > mostLines) return { from: window, skip: Math.max(0, kept - count) };
  }
}
