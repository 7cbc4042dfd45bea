/** For tests: random changes of messages, the same ones for the same seed. */

const telling = [
  '\r\n',
  '\n',
  '\r',
  '\0',
  ' ',
  '\t',
  ':',
  ';',
  ',',
  '0',
  '5',
  'ffffffff',
  '0x',
  '-',
  '+',
  '\x0b',
  '\xff',
  'chunked',
  '\r\n\r\n',
];

export interface Mutations {
  /** A whole number from 0 on. */
  below(end: number): number;
  /** One to three places of `text` taken out, doubled, or replaced by what parsers stumble over. */
  mutate(text: string): string;
  /** `bytes` in random parts. */
  split(bytes: Buffer): Buffer[];
}

export function randomFrom(seed: number): Mutations {
  let state = seed >>> 0 || 1;
  const below = (end: number): number => {
    // xorshift32: Marsaglia, "Xorshift RNGs", 2003.
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % end;
  };
  const once = (text: string): string => {
    const at = below(text.length + 1);
    const end = Math.min(text.length, at + below(4));
    const kind = below(3);
    const between = kind === 0 ? '' : kind === 1 ? text.slice(at, end).repeat(2) : (telling[below(telling.length)] ?? '');
    return text.slice(0, at) + between + text.slice(end);
  };
  return {
    below,
    mutate: (text) => Array.from({ length: 1 + below(3) }).reduce<string>((changed) => once(changed), text),
    split: (bytes) => {
      const parts: Buffer[] = [];
      for (let at = 0; at < bytes.length; ) {
        const end = Math.min(bytes.length, at + 1 + below(below(4) === 0 ? 40 : 4));
        parts.push(bytes.subarray(at, end));
        at = end;
      }
      return parts;
    },
  };
}
