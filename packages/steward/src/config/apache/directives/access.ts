/** Who gets in: Require, the older Order, Allow and Deny, and passwords. */
import type { Word } from '../lex.ts';
import { rangeOf } from '../ranges.ts';
import {
  badValue,
  type Call,
  type Entry,
  firstArg,
  given,
  leaveOut,
  many,
  newSettings,
  type OldRules,
  type Permit,
  refuse,
} from '../scene.ts';
import { filePath } from './host.ts';

const closedHint =
  'Steward knows addresses, users of a password file and everybody. Let the program decide, or keep Apache in front of this part.';

function ranges(call: Call, words: readonly Word[]): readonly string[] | undefined {
  const found = words.map((word) => rangeOf(word.text));
  found.forEach((range, index) => {
    const word = words[index];
    if (range === undefined && word !== undefined) badValue(call, word, 'an address or a range', 'Write 10.0.0.1 or 10.0.0.0/8.');
  });
  return found.length > 0 && found.every((range) => range !== undefined) ? found : undefined;
}

const thisMachine = ['127.0.0.0/8', '::1'];

/** What one Require says; undefined, once told, when Steward cannot know it. */
function permitOf(call: Call): Permit | undefined {
  const not = /^not$/i.test(firstArg(call).text);
  const [first, ...words] = not ? call.args.slice(1) : call.args;
  const { at } = call.directive;
  const texts = words.map((word) => word.text);
  const kind = first?.text.toLowerCase();
  if (kind === 'all' && /^(granted|denied)$/i.test(texts[0] ?? ''))
    return { kind: 'everybody', not: (texts[0]?.toLowerCase() === 'denied') !== not, at };
  if (kind === 'ip') {
    const who = ranges(call, words);
    return who && { kind: 'addresses', who, not, at };
  }
  if (kind === 'local') return { kind: 'addresses', who: thisMachine, not, at };
  if (kind === 'valid-user' && !not) return { kind: 'user', names: [], at };
  if (kind === 'user' && !not && texts.length > 0) return { kind: 'user', names: texts, at };
  refuse(call, `Require ${call.args.map((word) => word.text).join(' ')}`, closedHint);
  return undefined;
}

function addPermit(call: Call, permit: Permit): void {
  const { level } = call;
  if (level.permits !== undefined) level.permits.push(permit);
  else level.settings.permits = { value: [...(level.settings.permits?.value ?? []), permit], at: level.settings.permits?.at ?? permit.at };
}

function readRequire(call: Call): void {
  const permit = permitOf(call);
  if (permit !== undefined) addPermit(call, permit);
}

function readContainer(kind: 'any' | 'all' | 'none', call: Call): void {
  const permits: Permit[] = [];
  call.scene.walk(call.directive.block ?? [], call.server, { ...call.level, permits });
  addPermit(call, { kind, permits, at: call.directive.at });
}

const oldOf = (call: Call): OldRules => call.level.settings.old ?? { allowFirst: false, allow: [], deny: [], at: call.directive.at };

function readOrder(call: Call): void {
  const text = call.args.map((word) => word.text.toLowerCase()).join('');
  if (!/^(allow,deny|deny,allow|mutual-failure)$/.test(text)) badValue(call, firstArg(call), 'an order', 'Write allow,deny or deny,allow.');
  else call.level.settings.old = { ...oldOf(call), allowFirst: text !== 'deny,allow' };
}

function readOld(key: 'allow' | 'deny', call: Call): void {
  const [from, ...words] = call.args;
  if (from?.text.toLowerCase() !== 'from') {
    badValue(call, firstArg(call), '"from"', `Write ${call.directive.name} from all, or from 10.0.0.0/8.`);
    return;
  }
  const names = words.filter((word) => rangeOf(word.text) === undefined && !/^all$/i.test(word.text));
  const [name] = names;
  if (name !== undefined) {
    const hint = 'Write addresses: names and variables are not looked up.';
    refuse(call, `${call.directive.name} from ${name.text}`, hint);
  }
  const who = words.flatMap((word) => (/^all$/i.test(word.text) ? ['all'] : (rangeOf(word.text) ?? [])));
  const old = oldOf(call);
  call.level.settings.old = { ...old, [key]: [...old[key], ...who] };
}

function readSatisfy(call: Call): void {
  const word = firstArg(call);
  const text = word.text.toLowerCase();
  if (text === 'all' || text === 'any') call.level.settings.satisfy = given(text, word);
  else badValue(call, word, 'All or Any', 'Write All or Any.');
}

function readAuthType(call: Call): void {
  const word = firstArg(call);
  call.level.settings.authType = given(word.text.toLowerCase(), word);
  if (!/^(basic|none)$/i.test(word.text)) refuse(call, `AuthType ${word.text}`, 'Use AuthType Basic with AuthUserFile over HTTPS.');
}

function readProvider(call: Call): void {
  if (call.args.some((word) => word.text.toLowerCase() !== 'file'))
    refuse(call, `AuthBasicProvider ${firstArg(call).text}`, 'Use AuthUserFile.');
}

/** `<LimitExcept>`: rules for other methods than its own. `<Limit>`: for its own, so for others than all the rest. */
function readLimit(call: Call, isExcept: boolean): void {
  const named = call.args.map((word) => word.text.toUpperCase());
  const settings = newSettings();
  const shown = `<${call.directive.name} ${named.join(' ')}>`;
  call.scene.walk(call.directive.block ?? [], call.server, { ...call.level, context: 'limit', settings, shown });
  const others = ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'].filter((method) => !named.includes(method));
  call.level.settings.except = { methods: isExcept ? named : others, settings, at: call.directive.at };
}

export const accessEntries: readonly Entry[] = [
  { name: 'Require', args: [1, many], read: readRequire },
  { name: 'RequireAny', section: true, args: [0, 0], read: (call) => readContainer('any', call) },
  { name: 'RequireAll', section: true, args: [0, 0], read: (call) => readContainer('all', call) },
  { name: 'RequireNone', section: true, args: [0, 0], read: (call) => readContainer('none', call) },
  { name: 'Order', args: [1, 2], read: readOrder },
  { name: 'Allow', args: [2, many], read: (call) => readOld('allow', call) },
  { name: 'Deny', args: [2, many], read: (call) => readOld('deny', call) },
  { name: 'Satisfy', args: [1, 1], read: readSatisfy },
  { name: 'AuthType', args: [1, 1], read: readAuthType },
  {
    name: 'AuthName',
    args: [1, 1],
    read: (call) => {
      call.level.settings.realm = given(firstArg(call).text, firstArg(call));
    },
  },
  {
    name: 'AuthUserFile',
    args: [1, 1],
    read: (call) => {
      call.level.settings.users = given(filePath(call, firstArg(call)), firstArg(call));
    },
  },
  { name: 'AuthBasicProvider', args: [1, many], read: readProvider },
  {
    name: 'AuthMerging',
    args: [1, 1],
    read: (call) => {
      if (!/^off$/i.test(firstArg(call).text))
        refuse(call, `AuthMerging ${firstArg(call).text}`, 'Write in each section all that it requires.');
    },
  },
  { name: 'AuthGroupFile', args: [1, 1], read: (call) => leaveOut(call, 'Name the users: Require user NAME ...') },
  { name: 'LimitExcept', section: true, args: [1, many], read: (call) => readLimit(call, true) },
  { name: 'Limit', section: true, args: [1, many], read: (call) => readLimit(call, false) },
];
