/** Entries of the table for directives that have one argument of a common form: a flag, a time, a size, a text. */
import type { Given } from '../draft.ts';
import { groupNames, regexMistake } from '../regular-expression.ts';
import type { Word } from './parse.ts';
import { anywhere, badValue, type Call, type Context, type Entry, firstArg, given } from './scene.ts';
import type { Single } from './settings.ts';
import { parseBytes, parseCount, parseTime } from './values.ts';
import { textError } from './variables.ts';

type KeysOf<T> = { [K in keyof Single]: Given<T> extends Single[K] ? (Single[K] extends Given<T> ? K : never) : never }[keyof Single];

const once = { args: [1, 1], once: true } as const;

/** `on` or `off` as a boolean; anything else is reported. */
export function readFlag(call: Call): Given<boolean> | undefined {
  const word = firstArg(call);
  if (/^(on|off)$/i.test(word.text)) return given(word.text.toLowerCase() === 'on', word);
  badValue(call, word, 'on or off', 'Write on or off.');
  return undefined;
}

/** Milliseconds; anything else is reported. */
export function readTime(call: Call, word: Word = firstArg(call), counts?: 'seconds'): number | undefined {
  const ms = parseTime(word.text, counts);
  if (ms === undefined) badValue(call, word, 'a time', 'Write a number with ms, s, m, h or d, such as 30s.');
  return ms;
}

/** Bytes; anything else is reported. */
export function readSize(call: Call, word: Word = firstArg(call)): number | undefined {
  const bytes = parseBytes(word.text);
  if (bytes === undefined) badValue(call, word, 'a size', 'Write a number with k, m or g, such as 50m; 0 sets no limit.');
  return bytes;
}

/** A whole number; anything else is reported. */
export function readCount(call: Call, word: Word, least: number, most: number): number | undefined {
  const count = parseCount(word.text, most);
  if (count !== undefined && count >= least) return count;
  badValue(call, word, `a number from ${least} to ${most}`, `Write a number from ${least} to ${most}.`);
  return undefined;
}

/** Whether a text with variables can be read; what is wrong with it is reported. */
export function isText(call: Call, word: Word): boolean {
  const wrong = textError(word.text);
  if (wrong !== undefined) badValue(call, word, 'a text nginx can read', wrong);
  return wrong === undefined;
}

const put = <K extends keyof Single>(call: Call, key: K, value: Single[K] | undefined): void => {
  if (value !== undefined) Object.assign(call.level.settings, { [key]: value });
};

/** `on` or `off`, kept under `key`. */
export const flag = (name: string, key: KeysOf<boolean>, contexts: readonly Context[] = anywhere): Entry => ({
  name,
  contexts,
  ...once,
  read: (call) => put(call, key, readFlag(call)),
});

/** A time in milliseconds, kept under `key`. */
export const time = (name: string, key: KeysOf<number>, contexts: readonly Context[] = anywhere): Entry => ({
  name,
  contexts,
  ...once,
  read: (call) => {
    const ms = readTime(call);
    if (ms !== undefined) put(call, key, given(ms, firstArg(call)));
  },
});

/** A size in bytes, kept under `key`. */
export const size = (name: string, key: KeysOf<number>, contexts: readonly Context[] = anywhere): Entry => ({
  name,
  contexts,
  ...once,
  read: (call) => {
    const bytes = readSize(call);
    if (bytes !== undefined) put(call, key, given(bytes, firstArg(call)));
  },
});

/** A whole number between two others, kept under `key`. */
export const count = (name: string, key: KeysOf<number>, least: number, most: number, contexts: readonly Context[] = anywhere): Entry => ({
  name,
  contexts,
  ...once,
  read: (call) => {
    const number = readCount(call, firstArg(call), least, most);
    if (number !== undefined) put(call, key, given(number, firstArg(call)));
  },
});

/** A text that may hold variables, kept under `key`. */
export const text = (name: string, key: KeysOf<string>, contexts: readonly Context[] = anywhere): Entry => ({
  name,
  contexts,
  ...once,
  read: (call) => {
    if (isText(call, firstArg(call))) put(call, key, given(firstArg(call).text, firstArg(call)));
  },
});

/** Why a regular expression cannot be used; undefined when it can, and then its named groups are variables. */
export function takeRegex(scene: Call['scene'], pattern: string): string | undefined {
  const mistake = regexMistake(pattern);
  if (mistake === undefined) for (const name of groupNames(pattern)) scene.defined.add(name.toLowerCase());
  return mistake;
}
