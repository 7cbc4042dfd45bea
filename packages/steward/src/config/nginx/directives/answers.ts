/** What an answer carries and what becomes of errors: add_header, expires, error_page, gzip, internal, stub_status. */

import type { ProxiedReason } from '../../model.ts';
import { formatDuration } from '../../units.ts';
import { count, flag, isText, size } from '../arguments.ts';
import type { Word } from '../parse.ts';
import { anywhere, badValue, type Call, type Context, type Entry, firstArg, given, many, notTaken } from '../scene.ts';
import type { ErrorPageLine } from '../settings.ts';
import { parseCount, parseTime } from '../values.ts';
import { hasVariable } from '../variables.ts';

const orIf: readonly Context[] = [...anywhere, 'if'];

/** A header line of add_header or proxy_set_header, checked. */
export function readHeader(key: 'requestHeaders' | 'answerHeaders', call: Call): void {
  const [name, value, always] = call.args as [Word, Word, Word?];
  if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name.text)) badValue(call, name, 'the name of a header', 'Use letters, digits and -.');
  else if (always !== undefined && always.text !== 'always')
    badValue(call, always, '"always"', 'Put the value in quotes when it holds spaces.');
  else if (/[\r\n\0]/.test(value.text)) badValue(call, value, 'the value of a header', 'It must not hold a line break.');
  else if (isText(call, value))
    call.level.settings[key].push({ name: name.text, value: value.text, always: always !== undefined, at: value.at });
}

const times = { counts: 'seconds' } as const;

/** Steward's spelling of a time of `expires`, or undefined (https://nginx.org/en/docs/http/ngx_http_headers_module.html#expires). */
function expiresText(text: string, isModified: boolean): string | undefined {
  const [, sign, rest] = /^([+-]?)([\s\S]*)$/.exec(text) ?? [];
  const ms = parseTime(rest ?? '', times.counts);
  if (ms === undefined) return undefined;
  const duration = ms === 0 ? '0' : formatDuration(ms);
  if (isModified) return `modified${sign === '-' ? '-' : '+'}${duration}`;
  return sign === '-' ? `-${duration}` : duration;
}

function readExpires(call: Call): void {
  const [first, second] = call.args as [Word, Word?];
  const { settings } = call.level;
  const word = second ?? first;
  if (second !== undefined && first.text !== 'modified') {
    badValue(call, first, '"modified"', 'Write expires modified +1h; or expires 1h;');
    return;
  }
  if (hasVariable(word.text)) {
    if (second !== undefined) notTaken(call, 'expires modified with a variable', first.at, 'Put modified into the variable.');
    else if (isText(call, word)) settings.expires = given(word.text, word);
    return;
  }
  if (second === undefined && /^(epoch|max|off)$/.test(word.text)) settings.expires = given(word.text, word);
  else if (second === undefined && word.text.startsWith('@')) {
    const ms = parseTime(word.text.slice(1), 'seconds');
    if (ms === undefined || ms > 86_400_000) badValue(call, word, 'a time of day', 'Write @15h30m.');
    else settings.expires = given(`@${formatDuration(ms)}`, word);
  } else {
    const text = expiresText(word.text, second !== undefined);
    if (text === undefined) badValue(call, word, 'a time', 'Write 24h, -1, @15h30m, epoch, max or off.');
    else settings.expires = given(text, word);
  }
}

/** The statuses of an error_page, or undefined when one is none. */
function statusesOf(call: Call, words: readonly Word[]): readonly number[] | undefined {
  const wrong = words.find((word) => {
    const status = parseCount(word.text, 599);
    return status === undefined || status < 300 || status === 499;
  });
  if (wrong === undefined) return words.map((word) => Number(word.text));
  badValue(call, wrong, 'a status from 300 to 599', 'Write error_page 404 /404.html;');
  return undefined;
}

/** https://nginx.org/en/docs/http/ngx_http_core_module.html#error_page */
function readErrorPage(call: Call): void {
  const words = [...call.args];
  const to = words.pop() as Word;
  const sign = words.length > 1 && words.at(-1)?.text.startsWith('=') ? words.pop() : undefined;
  const statuses = statusesOf(call, words);
  if (statuses === undefined || !isText(call, to)) return;
  let status: ErrorPageLine['status'];
  if (sign !== undefined) {
    const number = sign.text === '=' ? 'target' : parseCount(sign.text.slice(1), 999);
    if (number === undefined) {
      badValue(call, sign, 'a status', 'Write =200 or =.');
      return;
    }
    status = number === 0 ? 'target' : number;
    if (typeof status === 'number' && (status < 200 || status > 599)) {
      notTaken(call, `error_page ${sign.text}`, sign.at, 'Write a status from 200 to 599.');
      return;
    }
  }
  call.level.settings.errorPages.push({ statuses, to: to.text, ...(status === undefined ? {} : { status }), at: to.at });
}

const mediaType = /^(\*|[\w!#$&^.+-]+\/[\w!#$&^.+*-]+)$/;

function readCompressTypes(call: Call): void {
  const wrong = call.args.find((word) => !mediaType.test(word.text));
  if (wrong === undefined)
    call.level.settings.compressTypes = given(
      call.args.map((word) => word.text.toLowerCase()),
      firstArg(call),
    );
  else notTaken(call, `gzip_types "${wrong.text}"`, wrong.at, 'Write media types such as application/json.');
}

function readPrecompressed(call: Call): void {
  const word = firstArg(call);
  if (word.text === 'always') notTaken(call, 'gzip_static always', word.at, 'Steward sends NAME.gz to clients that take it: write on.');
  if (/^(on|off|always)$/.test(word.text)) call.level.settings.precompressed = given(word.text !== 'off', word);
  else badValue(call, word, 'on or off', 'Write on or off.');
}

/** The reasons of gzip_proxied that Steward has, by their names. */
const proxiedReasons: ReadonlyMap<string, ProxiedReason> = new Map(
  (['expired', 'no-cache', 'no-store', 'private', 'no_last_modified', 'no_etag', 'auth'] as const).map((reason) => [reason, reason]),
);

/** https://nginx.org/en/docs/http/ngx_http_gzip_module.html#gzip_proxied */
function readProxied(call: Call): void {
  const wrong = call.args.find(({ text }) => text !== 'off' && text !== 'any' && !proxiedReasons.has(text));
  if (wrong !== undefined) {
    badValue(call, wrong, 'a reason of gzip_proxied', `Write off, any, or some of ${[...proxiedReasons.keys()].join(', ')}.`);
    return;
  }
  const texts = call.args.map(({ text }) => text);
  const reasons = texts.includes('off') ? [] : texts.includes('any') ? undefined : texts.flatMap((text) => proxiedReasons.get(text) ?? []);
  call.level.settings.compressProxied = given(reasons, firstArg(call));
}

function readCompressVersion(call: Call): void {
  const word = firstArg(call);
  if (/^1\.[01]$/.test(word.text)) call.level.settings.compressOld = given(word.text === '1.0', word);
  else badValue(call, word, '1.0 or 1.1', 'Write 1.0 or 1.1.');
}

const compressHint = 'Steward decides it by the request: it compresses for every client that takes it, and says Vary.';

export const answerEntries: readonly Entry[] = [
  { name: 'add_header', contexts: orIf, args: [2, 3], read: (call) => readHeader('answerHeaders', call) },
  { name: 'expires', contexts: orIf, args: [1, 2], once: true, read: readExpires },
  { name: 'error_page', contexts: orIf, args: [2, many], read: readErrorPage },
  flag('gzip', 'compress', orIf),
  { name: 'gzip_types', contexts: anywhere, args: [1, many], read: readCompressTypes },
  size('gzip_min_length', 'compressLeast'),
  count('gzip_comp_level', 'compressLevel', 1, 9),
  { name: 'gzip_static', contexts: anywhere, args: [1, 1], once: true, read: readPrecompressed },
  { name: 'gzip_proxied', contexts: anywhere, args: [1, many], once: true, read: readProxied },
  { name: 'gzip_http_version', contexts: anywhere, args: [1, 1], once: true, read: readCompressVersion },
  ...['gzip_vary', 'gzip_disable'].map(
    (name): Entry => ({
      name,
      contexts: anywhere,
      args: [1, many],
      read: ({ scene, directive }) => scene.instead('gzip', directive.at, compressHint, name),
    }),
  ),
  {
    name: 'internal',
    contexts: ['location'],
    args: [0, 0],
    read: (call) => {
      call.level.settings.internal = call.directive.at;
    },
  },
  {
    name: 'stub_status',
    contexts: ['server', 'location'],
    args: [0, 1],
    read: (call) => {
      call.level.settings.counters = given('stub', call.directive);
    },
  },
];
