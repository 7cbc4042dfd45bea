/** Broken variants of a text, the same ones on every run: for tests that no input makes a reader throw. */

/** A generator of numbers from 0 to 1 that depends on `seed` alone (mulberry32). */
export function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

type Change = (text: string, at: number, length: number, piece: string) => string;

const changes: readonly Change[] = [
  (text, at, length) => text.slice(0, at) + text.slice(at + length),
  (text, at, length) => text.slice(0, at) + text.slice(at, at + length).repeat(2) + text.slice(at + length),
  (text, at, _length, piece) => text.slice(0, at) + piece + text.slice(at),
  (text, at, length, piece) => text.slice(0, at) + piece + text.slice(at + length),
  (text, at) => text.slice(0, at),
];

/** `text` with one to four random changes; `pieces` are what is put in. */
export function mutate(text: string, random: () => number, pieces: readonly string[]): string {
  let changed = text;
  const count = 1 + Math.floor(random() * 4);
  for (let n = 0; n < count; n++) {
    const change = changes[Math.floor(random() * changes.length)] as Change;
    const piece = pieces[Math.floor(random() * pieces.length)] as string;
    changed = change(changed, Math.floor(random() * (changed.length + 1)), 1 + Math.floor(random() * 12), piece);
  }
  return changed;
}
