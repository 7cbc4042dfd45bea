/**
 * Requests that wait for a server of their upstream to come up.
 *
 *   enter ── table changed, somebody got an answer, or one's turn ──► look ── still nothing ──► enter again
 *     └───── deadline ──► refused
 *
 * Nobody tells when a socket begins to accept, so one of those who wait looks each `tickMs`; once a server is reached, it brings
 * two others along, and each of those two more: a server that comes up gets all of them within moments, one that is down is
 * hardly bothered, however many wait.
 */
import type { Deadlines, Timed } from '../connection/deadlines.ts';

/** A request that waits. Its deadline ends the wait. */
export interface Held extends Timed {
  /** It has just looked: not again before this. On the clock of performance.now(). */
  readonly notBeforeMs: number;
  /** Looks again. It has left the room. */
  look(): void;
}

const tickMs = 25;
/** How many of those who wait longest are asked whether they may look again. */
const looked = 64;
/** So many look at once when a new table says something of their upstream. */
const atOnce = 64;

export class Holding {
  readonly #deadlines: Deadlines;
  readonly #rooms = new Map<string, Set<Held>>();
  #size = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(deadlines: Deadlines) {
    this.#deadlines = deadlines;
  }

  get size(): number {
    return this.#size;
  }

  /** `held` waits for the upstream `name`. */
  enter(name: string, held: Held): void {
    let room = this.#rooms.get(name);
    if (room === undefined) {
      room = new Set();
      this.#rooms.set(name, room);
    }
    room.add(held);
    this.#size++;
    this.#deadlines.add(held);
    this.#timer ??= setInterval(() => this.#tick(), tickMs);
  }

  /** It waits no more. Does nothing for one that does not. */
  leave(name: string, held: Held): void {
    const room = this.#rooms.get(name);
    if (room?.delete(held) !== true) return;
    this.#size--;
    this.#deadlines.remove(held);
    if (room.size === 0) this.#rooms.delete(name);
    if (this.#size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Lets up to `count` of those who have not just looked do it now, the longest waiting first. */
  wake(name: string, count: number): void {
    if (this.#size === 0) return;
    const nowMs = performance.now();
    const chosen: Held[] = [];
    let seen = 0;
    for (const held of this.#rooms.get(name) ?? []) {
      if (held.notBeforeMs <= nowMs) chosen.push(held);
      if (chosen.length === count || ++seen === looked) break;
    }
    this.#call(name, chosen);
  }

  /** The servers may be others now. */
  wakeAll(): void {
    for (const [name, room] of [...this.#rooms]) this.#call(name, [...room.values().take(atOnce)]);
  }

  #tick(): void {
    for (const name of [...this.#rooms.keys()]) this.wake(name, 1);
  }

  #call(name: string, chosen: readonly Held[]): void {
    for (const held of chosen) this.leave(name, held);
    for (const held of chosen) held.look();
  }
}
