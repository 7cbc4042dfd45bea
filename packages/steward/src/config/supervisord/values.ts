/** What the text of one option amounts to: numbers, sizes, signals and the like, by the rules of supervisord's datatypes.py. */
import { nearest } from '../near.ts';
import { findSignal, type SignalName, signalNames } from '../signals.ts';
import type { SupervisordCode } from './codes.ts';
import { parseInteger, strip } from './python-text.ts';

/** A mistake; `from` and `length` narrow it to a part of the text. */
export interface Wrong {
  readonly code: SupervisordCode;
  readonly message: string;
  readonly hint: string;
  readonly from?: number;
  readonly length?: number;
}

export type Parsed<T> = { readonly value: T } | Wrong;
export type Parse<T> = (text: string) => Parsed<T>;

const didYouMean = (near: string | undefined): string => (near === undefined ? '' : ` Did you mean "${near}"?`);

const truthy = ['true', 'yes', 'on', '1'];
const falsy = ['false', 'no', 'off', '0'];

export const parseFlag: Parse<boolean> = (text) => {
  const word = text.toLowerCase();
  if (truthy.includes(word)) return { value: true };
  if (falsy.includes(word)) return { value: false };
  const hint = `Write true or false (also yes, no, on, off, 1, 0).${didYouMean(nearest(word, [...truthy, ...falsy]))}`;
  return { code: 'config/not-a-boolean', message: `"${text}" is neither true nor false`, hint };
};

/** A whole number from `min` to `max`; `hint` says what to write. */
export function wholeNumber(hint: string, min = 0, max = Number.MAX_SAFE_INTEGER / 1000): Parse<number> {
  return (text) => {
    const value = parseInteger(text);
    if (value === undefined) return { code: 'config/not-a-number', message: `"${text}" is not a whole number`, hint };
    if (value < min) return { code: 'config/out-of-range', message: `${value} is below ${min}`, hint };
    return value > max ? { code: 'config/out-of-range', message: `${value} is above ${max}`, hint } : { value };
  };
}

const factors: Readonly<Record<string, number>> = { kb: 1024, mb: 1024 ** 2, gb: 1024 ** 3 };

/** Bytes: a whole number, alone or with KB, MB or GB (powers of 1024). */
export const parseByteSize: Parse<number> = (text) => {
  const unit = text.slice(-2).toLowerCase();
  const factor = factors[unit];
  const value = parseInteger(factor === undefined ? text : text.slice(0, -2));
  const hint = 'Write a whole number of bytes, or with KB, MB or GB such as 50MB; 0 never rotates.';
  if (value === undefined) return { code: 'config/not-a-size', message: `"${text}" is not a size`, hint };
  const bytes = value * (factor ?? 1);
  if (bytes < 0 || !Number.isSafeInteger(bytes))
    return { code: 'config/out-of-range', message: `the size "${text}" is out of range`, hint };
  return { value: bytes };
};

/** A file mode mask as a number. */
export const parseMask: Parse<number> = (text) => {
  const value = parseInteger(text, 8);
  const hint = 'Write up to three octal digits such as 022.';
  if (value === undefined) return { code: 'config/not-octal', message: `"${text}" is not an octal number`, hint };
  return value < 0 || value > 0o777 ? { code: 'config/out-of-range', message: `the mask "${text}" is out of range`, hint } : { value };
};

/** A signal by name, with or without SIG, in any case, or by its number on Linux. */
export const parseSignal: Parse<SignalName> = (text) => {
  const value = findSignal(String(parseInteger(text) ?? strip(text)));
  if (value !== undefined) return { value };
  const hint = `Use one of: ${signalNames.join(', ')}.${didYouMean(nearest(strip(text).toUpperCase().replace(/^SIG/, ''), signalNames))}`;
  const isRealTime = /^(SIG)?RTM(IN|AX)$|^(34|64)$/i.test(strip(text));
  const message = isRealTime ? 'Steward does not stop programs by real-time signals' : `"${text}" is not a signal`;
  return { code: 'config/unknown-signal', message, hint };
};

/** Exit codes with commas between; nothing is the empty list. */
export const parseExitCodes: Parse<number[]> = (text) => {
  if (text === '') return { value: [] };
  const codes: number[] = [];
  let from = 0;
  for (const part of text.split(',')) {
    const code = parseInteger(part);
    if (code === undefined || code < 0 || code > 255) {
      const shown = strip(part);
      const message = shown === '' ? 'an exit code is missing beside a comma' : `"${shown}" is not an exit code`;
      const lead = part.indexOf(shown);
      return {
        code: 'config/bad-exit-code',
        message,
        hint: 'Write numbers from 0 to 255 with commas between, such as 0,2.',
        from: from + lead,
        length: Math.max(1, shown.length),
      };
    }
    codes.push(code);
    from += part.length + 1;
  }
  return { value: codes };
};

export type Restart = 'always' | 'on-failure' | 'never';

/** `autorestart` in Steward's words. */
export const parseRestart: Parse<Restart> = (text) => {
  const word = text.toLowerCase();
  if (word === 'unexpected') return { value: 'on-failure' };
  const flag = parseFlag(text);
  if ('value' in flag) return { value: flag.value ? 'always' : 'never' };
  const hint = `Use one of: true, false, unexpected.${didYouMean(nearest(word, ['true', 'false', 'unexpected']))}`;
  return { code: 'config/unknown-value', message: `"${text}" is not a restart rule`, hint };
};

/** Any text but an empty one. */
export function someText(what: string, hint: string): Parse<string | undefined> {
  return (text) => (strip(text) === '' ? { code: 'config/missing-value', message: `${what} is empty`, hint } : { value: strip(text) });
}
