/** Steps: set, rewrite, return, break and if (https://nginx.org/en/docs/http/ngx_http_rewrite_module.html). */

import { isText, takeRegex } from '../arguments.ts';
import type { Word } from '../parse.ts';
import { badValue, type Call, type Context, type Entry, many } from '../scene.ts';
import type { Answer, StepLine, TestLine } from '../settings.ts';
import { bodyOf, newLevel } from './blocks.ts';

const places: readonly Context[] = ['server', 'server-if', 'location', 'if'];
const redirectCodes = new Set([301, 302, 303, 307, 308]);
const startsAddress = /^(https?:\/\/|\$scheme)/;

/** What a `return` answers, or undefined when it cannot be read. */
function returned(call: Call): Answer | undefined {
  const [first, second] = call.args as [Word, Word?];
  if (!isText(call, second ?? first)) return undefined;
  if (second === undefined && startsAddress.test(first.text)) return { status: 302, redirect: first.text };
  const status = /^\d{1,3}$/.test(first.text) ? Number(first.text) : undefined;
  if (status === undefined) {
    badValue(call, first, 'a status', 'Write return 301 https://...; or return 200 "text";');
    return undefined;
  }
  if (second !== undefined && redirectCodes.has(status)) return { status, redirect: second.text };
  return { status, ...(second === undefined ? {} : { text: second.text }) };
}

const add = (call: Call, step: StepLine): void => void call.level.settings.steps.push(step);

function readReturn(call: Call): void {
  const answer = returned(call);
  if (answer !== undefined) add(call, { kind: 'return', answer, at: (call.args.at(-1) as Word).at });
}

/** A regular expression; undefined, once told, when it cannot be used. */
function patternOf(call: Call, word: Word): string | undefined {
  const mistake = takeRegex(call.scene, word.text);
  if (mistake === undefined) return word.text;
  const message = `${call.directive.name}: "${word.text}" is not a regular expression Steward can read: ${mistake}`;
  call.scene.error('config/nginx-value', message, word.at, 'Write it as JavaScript reads it too.');
  return undefined;
}

type Flag = 'next' | 'last' | 'break' | 'redirect' | 'permanent';

function readRewrite(call: Call): void {
  const [regex, target, flag] = call.args as [Word, Word, Word?];
  if (flag !== undefined && !/^(last|break|redirect|permanent)$/.test(flag.text)) {
    badValue(call, flag, 'last, break, redirect or permanent', 'Put the pattern or the target in quotes when it holds spaces.');
    return;
  }
  const pattern = patternOf(call, regex);
  if (pattern === undefined || !isText(call, target)) return;
  const said = (flag?.text ?? 'next') as Flag;
  const isAway = startsAddress.test(target.text);
  add(call, { kind: 'rewrite', pattern, to: target.text, flag: isAway && said !== 'permanent' ? 'redirect' : said, at: target.at });
}

function readSet(call: Call): void {
  const [name, value] = call.args as [Word, Word];
  const [, plain] = /^\$(\w+)$/.exec(name.text) ?? [];
  if (plain === undefined) {
    badValue(call, name, 'a variable', 'Write set $name value;');
    return;
  }
  if (!isText(call, value)) return;
  call.scene.defined.add(plain.toLowerCase());
  add(call, { kind: 'set', name: plain.toLowerCase(), value: value.text, at: value.at });
}

const comparisons: Readonly<Record<string, TestLine['comparison']>> = {
  '=': 'equals',
  '!=': 'notEquals',
  '~': 'matches',
  '~*': 'matchesAnyCase',
  '!~': 'notMatches',
  '!~*': 'notMatchesAnyCase',
};
const fileTests = { f: 'file', d: 'folder', e: 'any', x: 'executable' } as const;

/** The words of a condition without the parentheses, which may stand alone or touch a word. */
function conditionWords(call: Call): readonly Word[] | undefined {
  const words = [...call.args];
  const [first] = words;
  if (first === undefined || !first.text.startsWith('(') || first.quoted) return undefined;
  words[0] = { ...first, text: first.text.slice(1), at: { ...first.at, column: first.at.column + 1 } };
  const last = words.at(-1) as Word;
  if (!last.text.endsWith(')') || last.quoted) return undefined;
  words[words.length - 1] = { ...last, text: last.text.slice(0, -1) };
  return words.filter((word) => word.text !== '' || word.quoted);
}

const wrongCondition = (call: Call): undefined =>
  void call.scene.error(
    'config/nginx-value',
    `if: "${call.args.map((word) => word.text).join(' ')}" is not a condition`,
    call.args[0]?.at ?? call.directive.at,
    'Write ($name), ($name = text), ($name ~ regex) or (-f path).',
  );

function testOf(call: Call): TestLine | undefined {
  const words = conditionWords(call);
  const [first, sign, right] = words ?? [];
  if (first === undefined || words === undefined || words.length > 3) return wrongCondition(call);
  const [, no, letter] = /^(!)?-([fdex])$/.exec(first.text) ?? [];
  if (letter !== undefined) {
    if (sign === undefined || right !== undefined) return wrongCondition(call);
    const file = { is: fileTests[letter as keyof typeof fileTests], not: no !== undefined };
    return isText(call, sign) ? { left: sign.text, file, at: sign.at } : undefined;
  }
  if (!/^\$(\w+|\{\w+\})$/.test(first.text)) return wrongCondition(call);
  if (sign === undefined) return { left: first.text, at: first.at };
  const comparison = Object.hasOwn(comparisons, sign.text) ? comparisons[sign.text] : undefined;
  if (comparison === undefined || right === undefined) return wrongCondition(call);
  if (comparison === 'equals' || comparison === 'notEquals')
    return isText(call, right) ? { left: first.text, comparison, right: right.text, at: first.at } : undefined;
  const pattern = patternOf(call, right);
  return pattern === undefined ? undefined : { left: first.text, comparison, right: pattern, at: first.at };
}

function readIf(call: Call): void {
  const test = testOf(call);
  const level = newLevel(call.level.context === 'server' ? 'server-if' : 'if', call, call.level);
  call.scene.walk(bodyOf(call), level);
  if (test !== undefined) add(call, { kind: 'if', test, level, at: call.directive.at });
}

export const rewriteEntries: readonly Entry[] = [
  { name: 'return', contexts: places, args: [1, 2], read: readReturn },
  { name: 'rewrite', contexts: places, args: [2, 3], read: readRewrite },
  { name: 'set', contexts: places, args: [2, 2], read: readSet },
  { name: 'break', contexts: places, args: [0, 0], read: (call) => add(call, { kind: 'break', at: call.directive.at }) },
  { name: 'if', contexts: ['server', 'location'], args: [1, many], block: true, read: readIf },
];
