/** Handing requests on: proxy_pass and what shapes it (https://nginx.org/en/docs/http/ngx_http_proxy_module.html). */
import type { Word } from '../parse.ts';
import {
  badValue,
  type Call,
  type Context,
  type Entry,
  firstArg,
  given,
  type LocationLevel,
  many,
  type ProxyTarget,
  readFlag,
  type Settings,
} from '../scene.ts';
import { parseTime } from '../values.ts';
import { hasOpenVariable, hasVariable } from '../variables.ts';
import { serverAddress } from './upstream.ts';

const anywhere: readonly Context[] = ['http', 'server', 'location'];

/** The URL of proxy_pass taken apart, or undefined when it is none. */
export function parseProxyUrl(url: string): ProxyTarget | undefined {
  const [, scheme, rest] = /^(https?):\/\/(.+)$/i.exec(url) ?? [];
  if (scheme === undefined || rest === undefined) return undefined;
  const socket = /^(unix:[^:]*)(?::(.*))?$/.exec(rest);
  const [, address = '', path = ''] = socket ?? /^([^/?]*)(.*)$/.exec(rest) ?? [];
  if (serverAddress(address) === undefined) return undefined;
  const uri = path.startsWith('?') ? `/${path}` : path;
  return { scheme: scheme.toLowerCase() as 'http' | 'https', address, ...(uri === '' ? {} : { path: uri }), url };
}

function readProxyPass(call: Call<LocationLevel>): void {
  const word = firstArg(call);
  const { scene, level } = call;
  if (hasVariable(word.text)) {
    const hint = 'Write the address out, one location for each.';
    scene.warning(
      'config/nginx-not-taken-over',
      `proxy_pass: "${word.text}" has a variable, which is not taken over; these requests get 501`,
      word.at,
      hint,
    );
    level.settings.foreign = given('proxy_pass', word);
    return;
  }
  const target = parseProxyUrl(word.text);
  if (target === undefined) {
    badValue(call, word, 'an address', 'Write http://host:port, http://upstream or http://unix:/path.sock, with https:// alike.');
  } else if (target.path !== undefined && level.kind === 'regex') {
    const hint = `Take "${target.path}" off: in a location with a regular expression the path is kept.`;
    scene.error('config/nginx-value', 'proxy_pass cannot have a path in a location given by a regular expression', word.at, hint);
  } else level.settings.proxyPass = given(target, word);
}

function readHeader(key: 'requestHeaders' | 'answerHeaders', call: Call): void {
  const [name, value, flag] = call.args as [Word, Word, Word?];
  if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name.text)) badValue(call, name, 'the name of a header', 'Use letters, digits and -.');
  else if (flag !== undefined && flag.text !== 'always') badValue(call, flag, '"always"', 'Put the value in quotes when it holds spaces.');
  else if (hasOpenVariable(value.text)) badValue(call, value, 'a text whose ${ is closed', 'Write ${name}.');
  else if (/[\r\n\0]/.test(value.text)) badValue(call, value, 'the value of a header', 'It must not hold a line break.');
  else call.level.settings[key].push({ name: name.text, value: value.text, at: value.at });
}

/** `proxy_redirect default` needs proxy_pass above it on its own level, as in nginx. */
function readRedirect(call: Call): void {
  const [from, to] = call.args as [Word, Word?];
  const { scene, level } = call;
  if (to === undefined) {
    if (from.text !== 'off' && from.text !== 'default' && from.text !== 'false')
      badValue(call, from, 'off or default', 'Or write two texts: what to replace, and by what.');
    else if (
      from.text === 'default' &&
      level.context === 'location' &&
      level.settings.proxyPass === undefined &&
      level.settings.foreign === undefined
    ) {
      scene.error('config/nginx-value', 'proxy_redirect default stands before proxy_pass', from.at, 'Move it below.');
    } else level.settings.rewrites.push(given(from.text === 'default' ? 'default' : 'off', from));
  } else if (from.text.startsWith('~') || hasVariable(from.text) || hasVariable(to.text)) {
    const hint = 'Write the start of the address out, and what replaces it.';
    scene.warning('config/nginx-not-taken-over', 'proxy_redirect with a regular expression or a variable is not taken over', from.at, hint);
    level.settings.rewrites.push(given('off', from));
  } else level.settings.rewrites.push(given({ from: from.text, to: to.text }, from));
}

function readTime(key: 'connectTimeout' | 'readTimeout', call: Call): void {
  const word = firstArg(call);
  const ms = parseTime(word.text);
  if (ms === undefined) badValue(call, word, 'a time', 'Write a number with ms, s, m, h or d, such as 30s.');
  else call.level.settings[key] = given(ms, word);
}

function readBuffering(call: Call): void {
  const flag = readFlag(call);
  if (flag !== undefined) call.level.settings.buffering = flag;
}

function checkTime(call: Call): void {
  const word = firstArg(call);
  if (parseTime(word.text) === undefined) badValue(call, word, 'a time', 'Write a number with ms, s, m, h or d, such as 30s.');
  else
    call.scene.instead(call.directive.name, call.directive.at, 'Steward has one limit for silence in both directions: proxy_read_timeout.');
}

const foreignHandler = (name: string, args: readonly [number, number] = [1, many]): Entry => ({
  name,
  contexts: ['location'],
  args,
  once: true,
  read: ({ scene, level, directive }) => {
    const hint = 'Let the program speak HTTP and use proxy_pass.';
    scene.warning('config/nginx-not-taken-over', `${name} is not taken over; these requests get 501`, directive.at, hint);
    (level.settings as Settings).foreign = given(name, directive);
  },
});

export const proxyEntries: readonly Entry[] = [
  { name: 'proxy_pass', contexts: ['location'], args: [1, 1], once: true, read: (call) => readProxyPass(call as Call<LocationLevel>) },
  { name: 'proxy_set_header', contexts: anywhere, args: [2, 2], read: (call) => readHeader('requestHeaders', call) },
  { name: 'add_header', contexts: anywhere, args: [2, 3], read: (call) => readHeader('answerHeaders', call) },
  { name: 'proxy_redirect', contexts: anywhere, args: [1, 2], read: readRedirect },
  { name: 'proxy_buffering', contexts: anywhere, args: [1, 1], once: true, read: readBuffering },
  { name: 'proxy_connect_timeout', contexts: anywhere, args: [1, 1], once: true, read: (call) => readTime('connectTimeout', call) },
  { name: 'proxy_read_timeout', contexts: anywhere, args: [1, 1], once: true, read: (call) => readTime('readTimeout', call) },
  { name: 'proxy_send_timeout', contexts: anywhere, args: [1, 1], once: true, read: checkTime },
  { name: 'proxy_http_version', contexts: anywhere, args: [1, 1], once: true, read: () => {} },
  ...['fastcgi_pass', 'uwsgi_pass', 'scgi_pass', 'grpc_pass', 'memcached_pass', 'perl'].map((name) => foreignHandler(name)),
  ...['stub_status', 'empty_gif', 'flv', 'mp4', 'dav_methods'].map((name) => foreignHandler(name, [0, many])),
];
