/** Files, redirects, headers and limits. */
import { STATUS_CODES } from 'node:http';
import { isHeaderName } from '../../resolve-headers.ts';
import type { Word } from '../lex.ts';
import { escapeRegex, type Matcher, nameRegex } from '../matchers.ts';
import { badValue, type Call, type Entry, firstArg, given, leaveOut, many, newSettings, type Redirect, readFlag } from '../scene.ts';
import { hasDollar, headerText } from '../values.ts';
import { filePath } from './host.ts';
import { isExpression, passOf } from './proxy.ts';

const redirectWords: Readonly<Record<string, number>> = { permanent: 301, temp: 302, seeother: 303, gone: 410 };

const statusOf = (text: string): number | undefined => {
  if (/^\d{3}$/.test(text)) return STATUS_CODES[text] === undefined ? undefined : Number(text);
  return Object.hasOwn(redirectWords, text.toLowerCase()) ? redirectWords[text.toLowerCase()] : undefined;
};

const goesElsewhere = (status: number): boolean => status >= 300 && status <= 399;

/** `Redirect [status] path [url]` (https://httpd.apache.org/docs/2.4/mod/mod_alias.html#redirect); in a section without the path. */
function addRedirect(call: Call, status: number, match: Matcher, from: Word | undefined, to: Word | undefined): void {
  const { scene, directive, level } = call;
  const shown = [directive.name, from?.text].filter((text) => text !== undefined).join(' ');
  if (goesElsewhere(status) !== (to !== undefined)) {
    const message = to === undefined ? 'has no address to go to' : `answers ${status} and goes nowhere, so it takes no address`;
    scene.error('config/apache-arguments', `${shown} ${message}`, directive.at, 'Write Redirect permanent /old https://example.com/new');
    return;
  }
  const redirect: Redirect = {
    match,
    status,
    ...(to === undefined ? {} : { to: to.text }),
    ...(from === undefined ? { isWhole: true } : {}),
    at: (to ?? from ?? directive).at,
  };
  if (level.context === 'server') call.server.own.redirects.push(redirect);
  else level.settings.redirect = redirect;
}

/** Where a redirect holds: the path or expression it names, else the section around it. */
function redirectAt(call: Call, from: Word | undefined, isRegex: boolean): Matcher | undefined {
  if (from === undefined) return call.level.matchers[0];
  if (isRegex) return isExpression(call, from) ? { kind: 'regex', pattern: from.text } : undefined;
  if (from.text.startsWith('/')) return { kind: 'path', path: from.text };
  badValue(call, from, 'a path', 'It starts with /.');
  return undefined;
}

function readRedirect(call: Call, fixed: number | undefined, isRegex = false): void {
  const [first, ...others] = call.args as [Word, ...Word[]];
  const status = fixed ?? statusOf(first.text);
  const words = fixed === undefined && status !== undefined ? others : call.args;
  if (status === undefined && call.args.length > 2) {
    badValue(call, first, 'a status', 'Use permanent, temp, seeother, gone or a number.');
    return;
  }
  const goes = goesElsewhere(status ?? 302);
  const isInside = call.level.context !== 'server' && words.length < (goes ? 2 : 1);
  const [from, to] = isInside ? [undefined, words[0]] : words;
  if (from === undefined && !isInside) {
    call.scene.error(
      'config/apache-arguments',
      `${call.directive.name} names no path`,
      call.directive.at,
      'Write Redirect permanent /old https://example.com/new',
    );
    return;
  }
  const match = redirectAt(call, from, isRegex);
  if (match !== undefined) addRedirect(call, status ?? 302, match, from, to);
}

function readAlias(call: Call, isRegex: boolean, isProgram: boolean): void {
  const [first, second] = call.args as [Word, Word?];
  const [from, folder] = second === undefined ? [undefined, first] : [first, second];
  const match = redirectAt(call, from, isRegex);
  if (match === undefined) return;
  const text = isRegex && folder.text.startsWith('$') ? folder.text : filePath(call, folder);
  if (isProgram) leaveOut(call, 'Let the program speak HTTP. Until then these paths get 501.');
  call.server.own.folders.push({ match, ...(isProgram ? {} : { folder: text }), at: (from ?? folder).at, folderAt: folder.at });
}

function leaveHeaderOut(call: Call, action: Word): void {
  const { scene, directive, args } = call;
  const shown = args.map((word) => word.text).join(' ');
  scene.warning('config/apache-not-taken-over', `${directive.name} ${shown} is not taken over`, action.at, headerHint);
}

const headerHint =
  'Steward can set, add, append, merge and unset a header, to a text or %{NAME}s of the request: do the rest in the program.';

/** Names that only Apache's balancer sets: Steward has a cookie of its own. */
const isStickyCookie = (call: Call): boolean => call.args.some((word) => /BALANCER_(WORKER_ROUTE|ROUTE_CHANGED)/.test(word.text));

function readHeader(kind: 'request' | 'answer', call: Call): void {
  const always = /^always$/i.test(firstArg(call).text);
  // `early` says when Apache does it; `onsuccess` is what goes without saying.
  const words = call.args.filter(
    (word, at) =>
      !(at === 0 && /^(always|onsuccess)$/i.test(word.text)) && !(at > 1 && at === call.args.length - 1 && word.text === 'early'),
  );
  const [action, name, value, ...more] = words as [Word?, Word?, Word?, ...Word[]];
  if (action === undefined || name === undefined) {
    const hint = `Write ${call.directive.name} set NAME "value".`;
    call.scene.error('config/apache-arguments', `${call.directive.name} names no header`, call.directive.at, hint);
    return;
  }
  if (isStickyCookie(call)) {
    call.scene.instead(
      'stickysession',
      call.directive.at,
      'Steward brings clients back by a cookie of its own, steward_server.',
      'Header add Set-Cookie of the balancer',
    );
    return;
  }
  const header = name.text.replace(/:$/, '');
  const known = ['set', 'add', 'append', 'merge', 'setifempty', 'unset'] as const;
  const verb = known.find((one) => one === action.text.toLowerCase());
  const text = verb === 'unset' ? (value === undefined ? '' : undefined) : value === undefined ? undefined : headerText(value.text);
  if (verb === undefined || text === undefined || more.length > 0 || !isHeaderName(header)) {
    leaveHeaderOut(call, action);
    return;
  }
  const { settings } = call.level;
  const list = kind === 'request' ? settings.requestHeaders : settings.answerHeaders;
  list.push({ action: verb, name: header, value: text, always, at: (value ?? name).at });
}

function readLimit(call: Call): void {
  const word = firstArg(call);
  if (/^\d{1,15}$/.test(word.text)) call.level.settings.maxBody = given(Number(word.text), word);
  else badValue(call, word, 'a number of bytes', 'Write bytes, such as 104857600; 0 sets no limit.');
}

function readRoot(call: Call): void {
  const word = firstArg(call);
  call.server.own.root = given(filePath(call, word), word);
}

/** `disabled` alone serves no index. A path leads to one place for all folders, which Steward has no word for. */
function readIndex(call: Call): void {
  const { settings } = call.level;
  const names = call.args.filter((word) => {
    const isPlain = !word.text.startsWith('/') && word.text !== '';
    if (!isPlain) {
      const hint = 'Write plain names of files.';
      call.scene.warning('config/apache-not-taken-over', `DirectoryIndex "${word.text}" is not taken over`, word.at, hint);
    }
    return isPlain && word.text !== 'disabled';
  });
  const list = [...(settings.index?.value ?? []), ...names.map((word) => word.text)];
  if (list.length > 0) settings.index = given(list, settings.index ?? (names[0] as Word));
  else if (firstArg(call).text === 'disabled') settings.index = given([], firstArg(call));
}

function readFallback(call: Call): void {
  const word = firstArg(call);
  if (word.text === 'disabled') call.level.settings.fallback = given(undefined, word);
  else if (word.text.startsWith('/')) call.level.settings.fallback = given(word.text, word);
  else badValue(call, word, 'a path', 'It starts with /, such as /index.html.');
}

/** https://httpd.apache.org/docs/2.4/mod/core.html#errordocument */
function readErrorPage(call: Call): void {
  const [code, ...words] = call.args as [Word, ...Word[]];
  const status = Number(code.text);
  const first = words[0];
  if (!/^[45]\d\d$/.test(code.text)) badValue(call, code, 'a status of an error', 'Write a number such as 404.');
  else if (first !== undefined) {
    const text = words.map((word) => word.text).join(' ');
    const isPlace = words.length === 1 && (/^\//.test(first.text) || /^https?:\/\//.test(first.text));
    if (hasDollar(text)) leaveOut(call, 'The $ would be read as a variable: write it otherwise.', `ErrorDocument ${code.text}`);
    else if (text.toLowerCase() === 'default') call.level.settings.errorPages.push({ status, at: first.at });
    else
      call.level.settings.errorPages.push({ status, to: { kind: isPlace ? 'place' : 'text', text: text.replace(/^"/, '') }, at: first.at });
  }
}

/** `access plus 1 month 2 days`, `A2592000` and `M3600` as Steward writes them; undefined for others. */
export function expiresOf(text: string): string | undefined {
  const [, letter, digits] = /^([AM])(\d{1,10})$/.exec(text) ?? [];
  if (digits !== undefined) return `${letter === 'M' ? 'modified+' : ''}${digits}s`;
  const [, base, rest = ''] = /^(access|now|modification)(?:\s+plus)?\s+(.+)$/i.exec(text) ?? [];
  const units: Readonly<Record<string, number>> = {
    second: 1,
    minute: 60,
    hour: 3600,
    day: 86_400,
    week: 604_800,
    month: 2_592_000,
    year: 31_536_000,
  };
  const parts = [...rest.matchAll(/(\d{1,9})\s+([a-z]+?)s?(?:\s+|$)/gi)];
  if (base === undefined || parts.length === 0 || parts.map(([all]) => all).join('') !== rest) return undefined;
  let seconds = 0;
  for (const [, count, unit = ''] of parts) {
    const size = Object.hasOwn(units, unit.toLowerCase()) ? units[unit.toLowerCase()] : undefined;
    if (size === undefined) return undefined;
    seconds += Number(count) * size;
  }
  return `${/^m/i.test(base) ? 'modified+' : ''}${seconds}s`;
}

function readExpires(call: Call, word: Word, set: (expires: string) => void): void {
  const expires = expiresOf(word.text);
  if (expires === undefined) badValue(call, word, 'a time to keep', 'Write "access plus 1 month" or A2592000.');
  else set(expires);
}

function readExpiresByType(call: Call): void {
  const [type, time] = call.args as [Word, Word];
  readExpires(call, time, (expires) => call.level.settings.expiresByType.push({ type: type.text.toLowerCase(), expires, at: time.at }));
}

/** Only the filters that compress. */
function readFilters(call: Call, filter: Word, types: readonly Word[]): void {
  const names = filter.text.toUpperCase().split(';');
  const encodings = names.flatMap((name) => (name === 'DEFLATE' ? ['gzip'] : name === 'BROTLI_COMPRESS' ? ['br'] : []));
  if (encodings.length < names.length)
    leaveOut(call, 'The gateway passes answers on as they are, but for compression.', `${call.directive.name} ${filter.text}`);
  for (const encoding of encodings)
    for (const word of types) call.level.settings.compressTypes.push(given(`${encoding} ${word.text.toLowerCase()}`, word));
}

function readType(call: Call): void {
  const [type, ...extensions] = call.args as [Word, ...Word[]];
  if (isForeign(type.text)) return closeFiles(call, extensions);
  for (const word of extensions)
    call.level.settings.types.push({ extension: word.text.replace(/^\./, '').toLowerCase(), type: type.text, at: word.at });
}

/** Handlers that run a program of Apache's. */
const isForeign = (name: string): boolean =>
  /^(application\/x-httpd-|cgi-script|fcgid-script|php|proxy:(?:fcgi|unix:[^|]*\|fcgi)|wsgi-script|server-parsed|type-map|send-as-is)/i.test(
    name,
  );

/** Files that Apache runs: they get 501, never their source. */
function closeFiles(call: Call, extensions: readonly Word[]): void {
  leaveOut(call, 'Let the program speak HTTP. Until then these files get 501.');
  const names = extensions.map((word) => escapeRegex(word.text.replace(/^\./, '')));
  const settings = newSettings();
  settings.handler = given('foreign', call.directive);
  const matcher: Matcher = { kind: 'regex', pattern: nameRegex(`\\.(${names.join('|')})(\\.|$)`), anyCase: true };
  if (names.length > 0)
    call.server.sections.push({ kind: 'files', matchers: [...call.level.matchers, matcher], settings, at: call.directive.at });
}

function readHandlerOf(call: Call): void {
  const [handler, ...extensions] = call.args as [Word, ...Word[]];
  if (isForeign(handler.text)) closeFiles(call, extensions);
  else leaveOut(call, 'Check what the site needs of it.', `AddHandler ${handler.text}`);
}

/** https://httpd.apache.org/docs/2.4/mod/core.html#sethandler */
function readHandler(call: Call): void {
  const word = firstArg(call);
  const text = word.text.toLowerCase();
  const { settings } = call.level;
  if (text === 'none' || text === 'default-handler') settings.handler = given('none', word);
  else if (text === 'server-status') {
    settings.handler = given('status', word);
    call.scene.instead('server-status', word.at, "Steward shows its own counters there, in the form of nginx's stub_status.");
  } else if (/^proxy:(unix:[^|]*\||)https?:/.test(text)) {
    const pass = passOf(call, { kind: 'path', path: '/' }, word.at, [{ text: word.text.slice(6), at: word.at }]);
    if (pass !== undefined) settings.pass = { ...pass, match: { kind: 'path', path: '' } };
  } else {
    settings.handler = given('foreign', word);
    leaveOut(call, 'Let the program speak HTTP. Until then these requests get 501.', `SetHandler ${word.text}`);
  }
}

function setFlag(key: 'expiresActive', call: Call): void {
  const flag = readFlag(call);
  if (flag !== undefined) call.level.settings[key] = flag;
}

export const contentEntries: readonly Entry[] = [
  { name: 'DocumentRoot', in: 'server', args: [1, 1], read: readRoot },
  { name: 'DirectoryIndex', args: [1, many], read: readIndex },
  { name: 'FallbackResource', args: [1, 1], read: readFallback },
  { name: 'LimitRequestBody', args: [1, 1], read: readLimit },
  { name: 'Redirect', args: [1, 3], read: (call) => readRedirect(call, undefined) },
  { name: 'RedirectMatch', args: [1, 3], read: (call) => readRedirect(call, undefined, true) },
  { name: 'RedirectPermanent', args: [1, 2], read: (call) => readRedirect(call, 301) },
  { name: 'RedirectTemp', args: [1, 2], read: (call) => readRedirect(call, 302) },
  { name: 'Alias', args: [1, 2], read: (call) => readAlias(call, false, false) },
  { name: 'AliasMatch', args: [2, 2], read: (call) => readAlias(call, true, false) },
  { name: 'ScriptAlias', args: [1, 2], read: (call) => readAlias(call, false, true) },
  { name: 'ScriptAliasMatch', args: [2, 2], read: (call) => readAlias(call, true, true) },
  { name: 'WSGIScriptAlias', args: [2, many], read: (call) => readAlias({ ...call, args: call.args.slice(0, 2) }, false, true) },
  { name: 'Header', args: [2, many], read: (call) => readHeader('answer', call) },
  { name: 'RequestHeader', args: [2, many], read: (call) => readHeader('request', call) },
  { name: 'ErrorDocument', args: [2, many], read: readErrorPage },
  { name: 'ExpiresActive', args: [1, 1], read: (call) => setFlag('expiresActive', call) },
  {
    name: 'ExpiresDefault',
    args: [1, 1],
    read: (call) =>
      readExpires(call, firstArg(call), (expires) => {
        call.level.settings.expiresDefault = given(expires, firstArg(call));
      }),
  },
  { name: 'ExpiresByType', args: [2, 2], read: readExpiresByType },
  { name: 'AddOutputFilterByType', args: [2, many], read: (call) => readFilters(call, firstArg(call), call.args.slice(1)) },
  { name: 'SetOutputFilter', args: [1, 1], read: (call) => readFilters(call, firstArg(call), [{ text: '*', at: firstArg(call).at }]) },
  {
    name: 'DeflateCompressionLevel',
    args: [1, 1],
    read: (call) => {
      const word = firstArg(call);
      if (/^[1-9]$/.test(word.text)) call.level.settings.compressLevel = given(Number(word.text), word);
      else badValue(call, word, 'a level', 'Write 1 to 9.');
    },
  },
  { name: 'AddType', args: [2, many], read: readType },
  { name: 'AddHandler', args: [2, many], read: readHandlerOf },
  { name: 'SetHandler', args: [1, 1], read: readHandler },
  {
    name: 'ForceType',
    args: [1, 1],
    read: (call) => {
      call.level.settings.defaultType = given(firstArg(call).text, firstArg(call));
    },
  },
];
