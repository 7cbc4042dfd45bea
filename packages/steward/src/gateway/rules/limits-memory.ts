/**
 * The counters of limits in memory that all workers share, of fixed size, as 32-bit words:
 *
 *   header    magic, seeds of the hash
 *   columns   one a worker: [pid, start time]
 *   locks     one a bucket, of both tables: pid of who holds it
 *   rates     buckets of slots [hash, hash, excess in thousandths of a request, last in ms]
 *   columns × connections: buckets of slots [hash, hash, count]; a worker writes its own column alone
 *
 * A key is known by a hash of 64 bits. A slot that is needed while its bucket is full is taken from the rate that was used
 * longest ago. What a dead worker counted goes with its column. A lock is held for a microsecond; one that is held for much
 * longer belongs to a worker that died or was stopped, and is taken over: the worst that follows is one wrong count.
 */
import { randomInt } from 'node:crypto';
import { startTimeOf } from '../../kernel/process-table.ts';

const magic = 0x53_4c_69_01;
const headerWords = 16;
const mostColumns = 64;
const columnWords = 2;
const columnsAt = headerWords;

const rateBuckets = 16_384;
const rateSlots = 8;
const rateWords = 4;
const connectionBuckets = 1_024;
const connectionSlots = 8;
const connectionWords = 3;

const rateLocksAt = columnsAt + mostColumns * columnWords;
const connectionLocksAt = rateLocksAt + rateBuckets;
const ratesAt = connectionLocksAt + connectionBuckets;
const connectionsAt = ratesAt + rateBuckets * rateSlots * rateWords;
const regionWords = connectionBuckets * connectionSlots * connectionWords;

/** About 8 MB: 131,072 rates and, for each of 64 workers, 8,192 keys with connections. */
export const limitsMemoryBytes = (connectionsAt + mostColumns * regionWords) * 4;

/** Looks at a lock before anybody asks whether its holder lives: some hundred microseconds. */
const mostSpins = 20_000;
/** A holder that lives is given so long, two turns of a processor: a count may be lost after that. */
const mostHeldMs = 20;

/** A dead worker is looked for this often at most, and only when a count is about to refuse somebody. */
const sweepEveryMs = 1_000;

export interface LimitsMemory {
  /** Makes `key` the one that the other calls are about. */
  use(key: string): void;
  /**
   * The excess (thousandths of a request over the rate) that one more request would have at `nowMs`. With `most` it is counted
   * unless its excess is larger. `perSecond` is in thousandths too.
   */
  rate(perSecond: number, nowMs: number, most: number | undefined): number;
  /** A hold on one more connection, for `leave`; -1 when there are `most` of them in all workers. */
  enter(most: number, nowMs: number): number;
  leave(hold: number): void;
}

/** @throws never; `buffer` has `limitsMemoryBytes` and is zero or was used by an earlier call, here or in another process. */
export function createLimitsMemory(buffer: ArrayBuffer, pid = process.pid): LimitsMemory {
  const words = new Int32Array(buffer, 0, limitsMemoryBytes / 4);
  prepare(words);
  const seedA = words[1] ?? 0;
  const seedB = words[2] ?? 0;
  const column = claimColumn(words, pid);
  // A worker beyond the last column counts for itself.
  const own = column < 0 ? new Int32Array(regionWords) : words;
  const ownAt = column < 0 ? 0 : connectionsAt + column * regionWords;
  let a = 0;
  let b = 0;
  let sweptMs = 0;

  const lock = (at: number): void => {
    for (let waited = 0; waited <= mostHeldMs; waited++) {
      for (let spins = 0; spins < mostSpins; spins++) if (Atomics.compareExchange(words, at, 0, pid) === 0) return;
      if (!isThere(Atomics.load(words, at))) break;
      pause(1); // its holder is not running just now: on a busy machine it lost its processor in the middle
    }
    Atomics.store(words, at, pid);
  };
  const unlock = (at: number): void => void Atomics.compareExchange(words, at, pid, 0);

  const isKnown = (slot: number): boolean => words[slot] === a && words[slot + 1] === b;

  /** The slot of the key in use, else one that is free, else the one used longest ago. */
  const rateSlot = (bucket: number, nowMs: number): number => {
    let oldest = ratesAt + bucket * rateSlots * rateWords;
    let oldestAge = -1;
    for (let at = oldest, end = oldest + rateSlots * rateWords; at < end; at += rateWords) {
      if (isKnown(at)) return at;
      const free = words[at] === 0 && words[at + 1] === 0;
      const age = free ? Number.POSITIVE_INFINITY : (nowMs - (words[at + 3] ?? 0)) >>> 0;
      if (age > oldestAge) {
        oldestAge = age;
        oldest = at;
      }
    }
    return oldest;
  };

  /** Milliseconds since the slot was counted. Another worker's clock may have been read a moment later; a time far ahead is one from weeks ago. */
  const passedAt = (slot: number, nowMs: number): number => {
    const passed = (nowMs - (words[slot + 3] ?? 0)) | 0;
    return passed < -60_000 ? 1 : Math.max(0, passed);
  };

  const countOf = (memory: Int32Array, at: number): number => {
    for (let slot = at, end = at + connectionSlots * connectionWords; slot < end; slot += connectionWords) {
      if (memory[slot] === a && memory[slot + 1] === b) return memory[slot + 2] ?? 0;
    }
    return 0;
  };

  const countInAll = (offset: number): number => {
    let count = column < 0 ? countOf(own, offset) : 0;
    for (let n = 0; n < mostColumns; n++) {
      if (words[columnsAt + n * columnWords] !== 0) count += countOf(words, connectionsAt + n * regionWords + offset);
    }
    return count;
  };

  const addOwn = (at: number): number => {
    let free = -1;
    for (let slot = at, end = at + connectionSlots * connectionWords; slot < end; slot += connectionWords) {
      const count = own[slot + 2] ?? 0;
      if (count === 0) free = slot;
      else if (own[slot] === a && own[slot + 1] === b) {
        own[slot + 2] = count + 1;
        return slot;
      }
    }
    if (free < 0) return -1;
    own[free] = a;
    own[free + 1] = b;
    own[free + 2] = 1;
    return free;
  };

  const enterAt = (bucket: number, most: number): number => {
    const offset = bucket * connectionSlots * connectionWords;
    lock(connectionLocksAt + bucket);
    const slot = countInAll(offset) >= most ? -1 : addOwn(ownAt + offset);
    unlock(connectionLocksAt + bucket);
    return slot;
  };

  return {
    use(key) {
      // Two rounds of multiply and shift (as in MurmurHash3), each over all characters.
      a = seedA;
      b = seedB;
      for (let at = 0; at < key.length; at++) {
        const code = key.charCodeAt(at);
        a = Math.imul(a ^ code, 0x85ebca6b);
        b = Math.imul(b ^ code, 0xc2b2ae35);
        a ^= a >>> 13;
        b ^= b >>> 15;
      }
      a = Math.imul(a ^ (a >>> 16) ^ b, 0x9e3779b1) | 0;
      b = Math.imul(b ^ (b >>> 13) ^ a, 0x27d4eb2f) | 1;
      a ^= a >>> 15;
    },
    rate(perSecond, nowMs, most) {
      const bucket = a & (rateBuckets - 1);
      const now = nowMs | 0;
      lock(rateLocksAt + bucket);
      const slot = rateSlot(bucket, now);
      const known = isKnown(slot);
      const passed = known ? passedAt(slot, now) : 1;
      const excess = known ? Math.max(0, (words[slot + 2] ?? 0) - Math.floor((perSecond * passed) / 1000) + 1000) : 0;
      if (most !== undefined && excess <= most) {
        if (passed > 0) words[slot + 3] = now;
        words[slot] = a;
        words[slot + 1] = b;
        words[slot + 2] = excess;
      }
      unlock(rateLocksAt + bucket);
      return excess;
    },
    enter(most, nowMs) {
      const bucket = a & (connectionBuckets - 1);
      const slot = enterAt(bucket, most);
      if (slot >= 0 || Math.abs(nowMs - sweptMs) < sweepEveryMs) return slot;
      sweptMs = nowMs;
      sweep(words, column);
      return enterAt(bucket, most);
    },
    leave(hold) {
      if (hold >= 0) own[hold + 2] = Math.max(0, (own[hold + 2] ?? 0) - 1);
    },
  };
}

/** How long a worker that starts waits for another that is making the memory ready. */
const mostStartMs = 500;

/** Seeds that differ from machine to machine, so that nobody can prepare keys that share a counter. */
function prepare(words: Int32Array): void {
  const beginning = -1;
  const seeds = [randomInt(1, 2 ** 31), randomInt(1, 2 ** 31)];
  const write = (): void => {
    words.set(seeds, 1);
    Atomics.store(words, 0, magic);
  };
  if (Atomics.compareExchange(words, 0, 0, beginning) === 0) return write();
  for (let waited = 0; Atomics.load(words, 0) === beginning && waited < mostStartMs; waited++) pause(1);
  if (Atomics.load(words, 0) === magic) return;
  // Who began died in between, or it is of another layout.
  words.fill(0);
  write();
}

/** How much of a file `isAbandoned` has to see. */
export const limitsHeaderBytes = rateLocksAt * 4;

/** Whether nobody counts in the memory that begins with these bytes. */
export function isAbandoned(header: Uint8Array): boolean {
  const words = new Int32Array(header.slice(0, limitsHeaderBytes).buffer);
  for (let at = columnsAt; at + 1 < words.length; at += columnWords) if (isColumnAlive(words, at)) return false;
  return true;
}

function isColumnAlive(words: Int32Array, at: number): boolean {
  const pid = words[at] ?? 0;
  const start = pid === 0 ? undefined : startTimeOf(pid);
  return start !== undefined && (start | 0) === words[at + 1];
}

const claimLock = 3;

/** A column of this process: one that is free or a dead worker's, emptied; -1 when all are taken. */
function claimColumn(words: Int32Array, pid: number): number {
  const start = startTimeOf(pid) ?? 0;
  for (let tries = 0; Atomics.compareExchange(words, claimLock, 0, pid) !== 0 && tries < mostStartMs; tries++) pause(1);
  sweep(words, -1);
  let found = -1;
  for (let n = 0; n < mostColumns && found < 0; n++) if (words[columnsAt + n * columnWords] === 0) found = n;
  if (found >= 0) {
    const region = connectionsAt + found * regionWords;
    words.fill(0, region, region + regionWords);
    words[columnsAt + found * columnWords + 1] = start | 0;
    Atomics.store(words, columnsAt + found * columnWords, pid);
  }
  Atomics.store(words, claimLock, 0);
  return found;
}

const still = new Int32Array(new SharedArrayBuffer(4));

/** Only while a worker starts. */
function isThere(pid: number): boolean {
  try {
    return pid === 0 || process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

const pause = (ms: number): void => void Atomics.wait(still, 0, 0, ms);

/** Frees the columns of workers that are no more. */
function sweep(words: Int32Array, except: number): void {
  for (let n = 0; n < mostColumns; n++) {
    const at = columnsAt + n * columnWords;
    const pid = Atomics.load(words, at);
    if (pid !== 0 && n !== except && !isColumnAlive(words, at)) Atomics.compareExchange(words, at, pid, 0);
  }
}
