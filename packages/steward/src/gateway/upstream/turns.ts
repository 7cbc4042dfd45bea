/**
 * Who is next among servers that take turns: nginx's smooth weighted round robin, and its least_conn, with the same choices as
 * going through all servers each time but without doing so.
 *
 * On each turn every server's `current` grows by its weight, and that of the server whose turn it is falls by the sum. Servers
 * of one weight all grow by the same, so they stand in one line that grows as a whole (`gain`), ordered as a heap: a turn costs
 * a look at the head of each line. For least-connections there is a line for each weight and number of requests under way, and
 * only lines with the least load grow. Servers whose weight is changing, after a failure or while they start slowly, stand
 * beside the lines and are looked at one by one.
 */

/** Who takes turns. Between `join` and `leave` the fields but `active` belong to this file. */
export interface Runner {
  /** Place in the configuration: the first wins when two are even. */
  order: number;
  weight: number;
  /** Lowered by failures; comes back by one a turn. */
  effective: number;
  current: number;
  active: number;
  /** Begin of its slow start; -1 when it has its full share. */
  slowSinceMs: number;
  line: Line | undefined;
  seat: number;
}

interface Line {
  readonly weight: number;
  readonly active: number;
  /** To be added to `current` of those who stand in it. */
  gain: number;
  readonly heap: Runner[];
}

/** The lines of one weight, by requests under way. */
interface Lines {
  readonly weight: number;
  readonly byActive: Line[];
  /** Index of the first that is not empty, unless `count` is 0. */
  lowest: number;
  count: number;
}

export interface Turns<R extends Runner> {
  readonly byLoad: boolean;
  readonly slowStartMs: number;
  readonly lines: Lines[];
  readonly beside: R[];
}

export const createTurns = <R extends Runner>(byLoad: boolean, slowStartMs: number): Turns<R> => ({
  byLoad,
  slowStartMs,
  lines: [],
  beside: [],
});

/** Steps of a slow start. A power of two keeps weights exact in binary, and so `current` free of rounding. */
const slowSteps = 256;

/** The part of its weight a server has in its slow start, over 0 up to 1. Ends the start when it is over. */
export function shareOf(runner: Runner, slowStartMs: number, nowMs: number): number {
  if (runner.slowSinceMs < 0) return 1;
  const steps = Math.floor(((nowMs - runner.slowSinceMs) / slowStartMs) * slowSteps) + 1;
  if (steps < slowSteps) return steps / slowSteps;
  runner.slowSinceMs = -1;
  return 1;
}

/** Lets `runner` take turns from now on. */
export function join<R extends Runner>(turns: Turns<R>, runner: R): void {
  if (runner.effective < runner.weight || runner.slowSinceMs >= 0) {
    runner.seat = turns.beside.push(runner) - 1;
    return;
  }
  const line = lineFor(turns, runner);
  runner.current -= line.gain;
  runner.line = line;
  runner.seat = line.heap.push(runner) - 1;
  rise(line.heap, runner.seat);
}

/** Takes out `runner`, who takes turns. */
export function leave<R extends Runner>(turns: Turns<R>, runner: R): void {
  const { line, seat } = runner;
  if (line === undefined) {
    const last = turns.beside.pop();
    if (last === undefined || last === runner) return;
    turns.beside[seat] = last;
    last.seat = seat;
    return;
  }
  runner.line = undefined;
  runner.current += line.gain;
  removeFrom(line.heap, seat);
  const lines = linesOf(turns, line.weight);
  lines.count--;
  if (lines.count > 0) while (lines.byActive[lines.lowest]?.heap.length === 0) lines.lowest++;
}

/** Lines of one weight; there are few weights. */
function linesOf(turns: Turns<Runner>, weight: number): Lines {
  for (const lines of turns.lines) if (lines.weight === weight) return lines;
  const made: Lines = { weight, byActive: [], lowest: 0, count: 0 };
  turns.lines.push(made);
  return made;
}

function lineFor(turns: Turns<Runner>, { weight, active }: Runner): Line {
  const lines = linesOf(turns, weight);
  const index = turns.byLoad ? active : 0;
  for (let next = lines.byActive.length; next <= index; next++) lines.byActive.push({ weight, active: next, gain: 0, heap: [] });
  if (lines.count === 0 || index < lines.lowest) lines.lowest = index;
  lines.count++;
  return lines.byActive[index] as Line;
}

/**
 * The one whose turn it is, who has paid for it; undefined when nobody takes turns. For least-connections the caller must
 * then take it out with `leave`, raise `active` and `join` it again.
 */
export function takeTurn<R extends Runner>(turns: Turns<R>, nowMs: number): R | undefined {
  leastActive = 0;
  leastWeight = 1;
  if (turns.byLoad) findLeastLoad(turns, nowMs);
  best = undefined;
  bestCurrent = Number.NEGATIVE_INFINITY;
  const total = growLines(turns) + growBeside(turns, nowMs);
  const chosen = best as R | undefined;
  best = undefined;
  if (chosen === undefined) return undefined;
  chosen.current -= total;
  if (chosen.line !== undefined) sink(chosen.line.heap, chosen.seat);
  return chosen;
}

/** Of the turn being worked out. Variables of the file, so that a turn allocates nothing. */
let best: Runner | undefined;
let bestCurrent = 0;
let leastActive = 0;
let leastWeight = 1;

function findLeastLoad(turns: Turns<Runner>, nowMs: number): void {
  leastActive = Number.POSITIVE_INFINITY;
  for (const { weight, lowest, count } of turns.lines) {
    if (count > 0 && lowest * leastWeight < leastActive * weight) {
      leastActive = lowest;
      leastWeight = weight;
    }
  }
  for (const runner of turns.beside) {
    const weight = runner.weight * shareOf(runner, turns.slowStartMs, nowMs);
    if (runner.active * leastWeight < leastActive * weight) {
      leastActive = runner.active;
      leastWeight = weight;
    }
  }
}

function offer(runner: Runner, current: number): void {
  if (current < bestCurrent || (current === bestCurrent && best !== undefined && runner.order > best.order)) return;
  best = runner;
  bestCurrent = current;
}

function growLines(turns: Turns<Runner>): number {
  let total = 0;
  for (const lines of turns.lines) {
    if (lines.count === 0) continue;
    const line = lines.byActive[lines.lowest];
    const head = line?.heap[0];
    if (line === undefined || head === undefined) continue;
    if (turns.byLoad && line.active * leastWeight !== leastActive * line.weight) continue;
    line.gain += line.weight;
    total += line.weight * line.heap.length;
    offer(head, head.current + line.gain);
  }
  return total;
}

/** From the end, since those who have their full weight again leave. */
function growBeside<R extends Runner>(turns: Turns<R>, nowMs: number): number {
  let total = 0;
  for (let at = turns.beside.length - 1; at >= 0; at--) {
    const runner = turns.beside[at] as R;
    const share = shareOf(runner, turns.slowStartMs, nowMs);
    if (turns.byLoad && runner.active * leastWeight !== leastActive * runner.weight * share) continue;
    const weight = runner.effective * share;
    runner.current += weight;
    total += weight;
    offer(runner, runner.current);
    if (runner.effective < runner.weight) runner.effective++;
    if (runner.effective < runner.weight || runner.slowSinceMs >= 0) continue;
    leave(turns, runner);
    join(turns, runner);
  }
  return total;
}

const before = (a: Runner, b: Runner): boolean => a.current > b.current || (a.current === b.current && a.order < b.order);

function sit(heap: Runner[], runner: Runner, seat: number): void {
  heap[seat] = runner;
  runner.seat = seat;
}

function rise(heap: Runner[], from: number): void {
  const runner = heap[from] as Runner;
  let seat = from;
  while (seat > 0) {
    const above = (seat - 1) >> 1;
    const other = heap[above] as Runner;
    if (!before(runner, other)) break;
    sit(heap, other, seat);
    seat = above;
  }
  sit(heap, runner, seat);
}

function sink(heap: Runner[], from: number): void {
  const runner = heap[from] as Runner;
  let seat = from;
  for (;;) {
    let below = 2 * seat + 1;
    if (below >= heap.length) break;
    if (below + 1 < heap.length && before(heap[below + 1] as Runner, heap[below] as Runner)) below++;
    const other = heap[below] as Runner;
    if (!before(other, runner)) break;
    sit(heap, other, seat);
    seat = below;
  }
  sit(heap, runner, seat);
}

function removeFrom(heap: Runner[], seat: number): void {
  const last = heap.pop() as Runner;
  if (seat === heap.length) return;
  sit(heap, last, seat);
  rise(heap, seat);
  sink(heap, last.seat);
}
