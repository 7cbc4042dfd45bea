/** Handing requests on: proxy_pass and what shapes it (https://nginx.org/en/docs/http/ngx_http_proxy_module.html). */
import { count, flag, isText, readFlag, takeRegex, text, time } from '../arguments.ts';
import type { Word } from '../parse.ts';
import {
  anywhere,
  badValue,
  type Call,
  type Context,
  type Entry,
  firstArg,
  given,
  type LocationLevel,
  many,
  notTaken,
  type Scene,
} from '../scene.ts';
import type { ProxyTarget } from '../settings.ts';
import { hasVariable } from '../variables.ts';
import { readHeader } from './answers.ts';
import { serverAddress } from './upstream.ts';

/** The URL of proxy_pass taken apart, or undefined when it is none. */
export function parseProxyUrl(url: string): ProxyTarget | undefined {
  const [, scheme, rest] = /^(https?):\/\/(.+)$/i.exec(url) ?? [];
  if (scheme === undefined || rest === undefined) return undefined;
  const socket = /^(unix:[^:]*)(?::(.*))?$/.exec(rest);
  const [, address = '', path = ''] = socket ?? /^([^/?]*)(.*)$/.exec(rest) ?? [];
  if (serverAddress(address) === undefined) return undefined;
  const uri = path.startsWith('?') ? `/${path}` : path;
  return { scheme: scheme.toLowerCase() as 'http' | 'https', address, ...(uri === '' ? {} : { path: uri }), url, isText: false };
}

/** Where nginx allows proxy_pass no path: nothing says which part of the request's path it would replace. */
function pathlessPlace(level: Call['level']): string | undefined {
  if (level.context === 'if') return 'inside if';
  if (level.context === 'limit_except') return 'inside limit_except';
  const { kind } = level as LocationLevel;
  if (kind === 'regex') return 'in a location given by a regular expression';
  return kind === 'named' ? 'in a named location' : undefined;
}

function readProxyPass(call: Call): void {
  const word = firstArg(call);
  const { level } = call;
  if (level.context === 'limit_except') {
    notTaken(call, 'proxy_pass inside limit_except', word.at, 'Test $request_method with if, or give the program both.', 'error');
    return;
  }
  if (hasVariable(word.text)) {
    if (!isText(call, word)) return;
    const scheme = /^https:/i.test(word.text) ? 'https' : 'http';
    level.settings.proxyPass = given({ scheme, address: '', url: word.text, isText: true }, word);
    return;
  }
  const target = parseProxyUrl(word.text);
  const place = pathlessPlace(level);
  if (target === undefined)
    badValue(call, word, 'an address', 'Write http://host:port, http://upstream or http://unix:/path.sock, with https:// alike.');
  else if (target.path !== undefined && place !== undefined) {
    const hint = `Take "${target.path}" off: here the path is kept.`;
    call.scene.error('config/nginx-value', `proxy_pass cannot have a path ${place}`, word.at, hint);
  } else level.settings.proxyPass = given(target, word);
}

/** `text`, or a regular expression behind ~ or ~*, in Steward's spelling; undefined when it cannot be read. */
function patternText(call: Call, word: Word): string | undefined {
  const [, regex] = /^~\*?([\s\S]*)$/.exec(word.text) ?? [];
  if (regex === undefined) return isText(call, word) ? word.text : undefined;
  const mistake = takeRegex(call.scene, regex);
  if (mistake === undefined) return word.text;
  badValue(call, word, `a regular expression Steward can read: ${mistake}`, 'Write it as JavaScript reads it too.');
  return undefined;
}

/** `proxy_redirect default` needs proxy_pass above it on its own level, as in nginx. */
function readRedirect(call: Call): void {
  const [from, to] = call.args as [Word, Word?];
  const { scene, level } = call;
  const { redirects, proxyPass, foreign } = level.settings;
  if (to !== undefined) {
    const pattern = patternText(call, from);
    if (pattern !== undefined && isText(call, to)) redirects.push(given({ from: pattern, to: to.text }, from));
  } else if (from.text !== 'off' && from.text !== 'default' && from.text !== 'false')
    badValue(call, from, 'off or default', 'Or write two texts: what to replace, and by what.');
  else if (from.text === 'default' && level.context === 'location' && proxyPass === undefined && foreign === undefined)
    scene.error('config/nginx-value', 'proxy_redirect default stands before proxy_pass', from.at, 'Move it below.');
  else if (from.text === 'default' && proxyPass?.value.isText)
    scene.error(
      'config/nginx-value',
      'proxy_redirect default cannot stand beside proxy_pass with variables',
      from.at,
      'Write what to replace, and by what.',
    );
  else redirects.push(given(from.text === 'default' ? 'default' : 'off', from));
}

function readCookieRule(attribute: 'domain' | 'path', call: Call): void {
  const [from, to] = call.args as [Word, Word?];
  const rules = call.level.settings[attribute === 'domain' ? 'cookieDomains' : 'cookiePaths'];
  if (to === undefined) {
    if (from.text === 'off') rules.push({ off: from.at });
    else badValue(call, from, 'off', 'Write two texts: what to replace, and by what.');
    return;
  }
  const pattern = patternText(call, from);
  if (pattern !== undefined && isText(call, to))
    rules.push({ attribute, from: attribute === 'domain' ? pattern.replace(/^\./, '') : pattern, to: to.text, at: from.at });
}

const retryCauses: Readonly<Record<string, string | number>> = {
  error: 'error',
  timeout: 'timeout',
  invalid_header: 'invalid-header',
  non_idempotent: 'non-idempotent',
  http_500: 500,
  http_502: 502,
  http_503: 503,
  http_504: 504,
  http_403: 403,
  http_404: 404,
  http_429: 429,
};

function readRetry(call: Call): void {
  const wrong = call.args.find((word) => word.text !== 'off' && !Object.hasOwn(retryCauses, word.text));
  if (wrong !== undefined) badValue(call, wrong, 'a cause', `Known are ${Object.keys(retryCauses).join(', ')} and off.`);
  else if (call.args.some((word) => word.text === 'off')) call.level.settings.retryOn = given([], firstArg(call));
  else
    call.level.settings.retryOn = given(
      call.args.map((word) => retryCauses[word.text] as string | number),
      firstArg(call),
    );
}

function readMethod(call: Call): void {
  const word = firstArg(call);
  if (/^[A-Za-z]+$/.test(word.text)) call.level.settings.method = given(word.text.toUpperCase(), word);
  else notTaken(call, `proxy_method "${word.text}"`, word.at, 'Write one method.');
}

const ignorable = new Set(['x-accel-redirect', 'x-accel-buffering', 'x-accel-charset', 'x-accel-limit-rate']);

function readIgnored(call: Call): void {
  for (const word of call.args)
    if (ignorable.has(word.text.toLowerCase()))
      notTaken(call, `proxy_ignore_headers ${word.text}`, word.at, 'Let the program leave the header out.');
}

const foreignHandler = (name: string, args: readonly [number, number] = [1, many]): Entry => ({
  name,
  contexts: ['location', 'if', 'limit_except'],
  args,
  once: true,
  read: ({ scene, level, directive }) => {
    const hint = 'Let the program speak HTTP and use proxy_pass.';
    scene.warning('config/nginx-not-taken-over', `${name} is not taken over; these requests get 501`, directive.at, hint);
    level.settings.foreign = given(name, directive);
  },
});

/** TLS to upstreams: what Steward does by itself, and what it has not. */
const tlsNotes: readonly string[] = ['server_name', 'protocols', 'ciphers', 'session_reuse', 'verify_depth', 'conf_command'];

const passing: readonly Context[] = ['location', 'if', 'limit_except'];

/** `off` is what Steward does; `on` is told. */
const neverOn = (name: string, hint: string): Entry => ({
  name,
  contexts: anywhere,
  args: [1, 1],
  once: true,
  read: (call) => {
    if (readFlag(call)?.value === true) notTaken(call, `${name} on`, firstArg(call).at, hint);
  },
});

const addText = (name: string, key: 'hiddenHeaders' | 'shownHeaders'): Entry => ({
  name,
  contexts: anywhere,
  args: [1, 1],
  read: (call) => void call.level.settings[key].push(given(firstArg(call).text.toLowerCase(), firstArg(call))),
});

export const websocketHint = 'Steward passes websockets on by itself.';

/** Connection and Upgrade belong to one connection: Steward sets them itself, for websockets too. */
export function isHopByHop(line: { readonly name: string; readonly value: string; readonly at: Word['at'] }, scene: Scene): boolean {
  if (!/^(connection|upgrade)$/i.test(line.name)) return false;
  if (line.value !== '') scene.instead('websocket', line.at, websocketHint, `proxy_set_header ${line.name}`);
  return true;
}

export const proxyEntries: readonly Entry[] = [
  { name: 'proxy_pass', contexts: passing, args: [1, 1], once: true, read: readProxyPass },
  { name: 'proxy_set_header', contexts: anywhere, args: [2, 2], read: (call) => readHeader('requestHeaders', call) },
  { name: 'proxy_redirect', contexts: anywhere, args: [1, 2], read: readRedirect },
  { name: 'proxy_cookie_domain', contexts: anywhere, args: [1, 2], read: (call) => readCookieRule('domain', call) },
  { name: 'proxy_cookie_path', contexts: anywhere, args: [1, 2], read: (call) => readCookieRule('path', call) },
  addText('proxy_hide_header', 'hiddenHeaders'),
  addText('proxy_pass_header', 'shownHeaders'),
  flag('proxy_buffering', 'buffering'),
  flag('proxy_intercept_errors', 'interceptErrors'),
  flag('proxy_pass_request_headers', 'passHeaders'),
  flag('proxy_pass_request_body', 'passBody'),
  { name: 'proxy_method', contexts: anywhere, args: [1, 1], once: true, read: readMethod },
  time('proxy_connect_timeout', 'connectTimeout'),
  time('proxy_read_timeout', 'readTimeout'),
  time('proxy_send_timeout', 'sendTimeout'),
  { name: 'proxy_next_upstream', contexts: anywhere, args: [1, many], read: readRetry },
  count('proxy_next_upstream_tries', 'retryTries', 0, 1_000_000),
  time('proxy_next_upstream_timeout', 'retryTimeout'),
  flag('proxy_ssl_verify', 'verify'),
  text('proxy_ssl_trusted_certificate', 'verifyCa'),
  text('proxy_ssl_name', 'verifyName'),
  ...tlsNotes.map(
    (name): Entry => ({
      name: `proxy_ssl_${name}`,
      contexts: anywhere,
      args: [1, many],
      read: ({ scene, directive }) =>
        scene.instead('proxy_ssl', directive.at, 'Steward picks the details of TLS to upstreams itself.', directive.name),
    }),
  ),
  { name: 'proxy_ignore_headers', contexts: anywhere, args: [1, many], read: readIgnored },
  neverOn('proxy_ignore_client_abort', 'Steward ends the request to the program when the client goes away.'),
  { name: 'proxy_http_version', contexts: anywhere, args: [1, 1], once: true, read: () => {} },
  ...['fastcgi_pass', 'uwsgi_pass', 'scgi_pass', 'grpc_pass', 'memcached_pass', 'perl'].map((name) => foreignHandler(name)),
  ...['empty_gif', 'flv', 'mp4', 'dav_methods'].map((name) => foreignHandler(name, [0, many])),
];
