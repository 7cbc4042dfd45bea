/**
 * Deadlines of many things by one timer: a request costs no timer of its own, only the writing of a number. They are kept
 * to within `lookMs`.
 */

export interface Timed {
  /** On the clock of performance.now(); Infinity when nothing is awaited. */
  deadlineMs: number;
  /** The deadline has passed. It is set to Infinity before the call. */
  onDeadline(): void;
}

const lookMs = 100;

export class Deadlines {
  readonly #all = new Set<Timed>();
  #timer: NodeJS.Timeout | undefined;

  add(timed: Timed): void {
    this.#all.add(timed);
    this.#timer ??= setInterval(() => this.#look(), lookMs).unref();
  }

  remove(timed: Timed): void {
    this.#all.delete(timed);
    if (this.#all.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  get size(): number {
    return this.#all.size;
  }

  [Symbol.iterator](): Iterator<Timed> {
    return this.#all[Symbol.iterator]();
  }

  #look(): void {
    const now = performance.now();
    for (const timed of this.#all) {
      if (timed.deadlineMs > now) continue;
      timed.deadlineMs = Number.POSITIVE_INFINITY;
      timed.onDeadline();
    }
  }
}
