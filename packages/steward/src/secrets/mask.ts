/** Takes the values of secrets out of texts. Pure. */

/** A shorter value would take words out of every log that have nothing to do with it. */
export const shortestMasked = 8;

export const maskText = '********';

/** `text` with every value in it replaced. */
export type Mask = (text: string) => string;

const isLineOfPem = (line: string): boolean => line.startsWith('-----');

/** What a value can look like in a line: itself, its lines one by one, and as JSON writes it. */
function looksOf(value: string): string[] {
  const lines = value.split(/\r?\n/).filter((line) => !isLineOfPem(line));
  const json = JSON.stringify(value).slice(1, -1);
  return [value, json, ...lines, ...lines.map((line) => JSON.stringify(line).slice(1, -1))];
}

/** Two characters as an index; characters that share their low bytes share it, which costs a look and no more. */
const pairAt = (text: string, at: number): number => ((text.charCodeAt(at - 1) & 0xff) << 8) | (text.charCodeAt(at) & 0xff);

/**
 * Says whether a text holds any of `needles`, by the way of Wu and Manber (1994): the window that the shortest would fill is moved by
 * as much as its last two characters allow. 100,000 lines of 130 characters take some 10 ms, with one needle or a thousand; asking for
 * each needle in turn took 1.5 s with 200.
 */
function createFinder(needles: readonly string[]): (text: string) => boolean {
  const window = Math.min(...needles.map(({ length }) => length));
  const shifts = new Uint8Array(65536).fill(Math.min(255, window - 1));
  const ending = new Map<number, string[]>();
  for (const needle of needles) {
    for (let at = 1; at < window; at++) {
      const pair = pairAt(needle, at);
      shifts[pair] = Math.min(shifts[pair] as number, window - 1 - at);
    }
    const last = pairAt(needle, window - 1);
    ending.set(last, [...(ending.get(last) ?? []), needle]);
  }
  return (text) => {
    for (let at = window - 1; at < text.length; ) {
      const pair = pairAt(text, at);
      const shift = shifts[pair] as number;
      if (shift === 0 && ending.get(pair)?.some((needle) => text.startsWith(needle, at - window + 1))) return true;
      at += Math.max(1, shift);
    }
    return false;
  };
}

/** A function that hides these values; undefined when there is nothing to hide. */
export function createMask(values: readonly Uint8Array[]): Mask | undefined {
  const texts = values.map((bytes) => new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes));
  const needles = [...new Set(texts.flatMap(looksOf))]
    .filter((look) => look.trim().length >= shortestMasked)
    .toSorted((a, b) => b.length - a.length); // the longer first: one may hold another
  if (needles.length === 0) return undefined;
  const holdsAny = createFinder(needles);
  return (text) => (holdsAny(text) ? needles.reduce((masked, needle) => masked.replaceAll(needle, maskText), text) : text);
}
