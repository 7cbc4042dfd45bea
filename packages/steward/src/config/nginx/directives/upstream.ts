/** An upstream block: its servers, how requests are spread, idle connections (https://nginx.org/en/docs/http/ngx_http_upstream_module.html). */

import type { ServerSource, UpstreamSource } from '../../sections/site.ts';
import { formatDuration } from '../../units.ts';
import { isText, readCount, readTime } from '../arguments.ts';
import type { Word } from '../parse.ts';
import { badValue, type Call, type Context, type Entry, firstArg, given, many, notTaken, type UpstreamLevel } from '../scene.ts';
import { parseCount, parseHostPort, parseTime } from '../values.ts';

/** `host:port` with nginx's default port 80, or `unix:/path`; undefined when it is neither. */
export function serverAddress(text: string, port = 80): string | undefined {
  if (text.startsWith('unix:')) return text.startsWith('unix:/') ? text : undefined;
  const parsed = parseHostPort(text);
  return parsed === undefined || /^\d+$/.test(parsed.host) ? undefined : `${parsed.host}:${parsed.port ?? port}`;
}

type Reader = (value: string) => Partial<ServerSource> | undefined;

const number = (key: 'weight' | 'maxFails' | 'maxConnections', least: number, value: string): Partial<ServerSource> | undefined => {
  const count = parseCount(value, key === 'weight' ? 65535 : undefined);
  return count === undefined || count < least ? undefined : { [key]: count };
};

const parameters: Readonly<Record<string, Reader>> = {
  weight: (value) => number('weight', 1, value),
  max_fails: (value) => number('maxFails', 0, value),
  max_conns: (value) => number('maxConnections', 0, value),
  fail_timeout: (value) => {
    const ms = parseTime(value, 'seconds');
    return ms === undefined ? undefined : { failTimeout: formatDuration(ms) };
  },
};

const later = /^(route=.+|service=.+|resolve)$/;

/** Only the commercial nginx knows slow_start; Steward has one for all servers of an upstream. */
function readSlowStart(call: Call<UpstreamLevel>, word: Word): boolean {
  const [, value] = /^slow_start=(.+)$/.exec(word.text) ?? [];
  const ms = value === undefined ? undefined : parseTime(value, 'seconds');
  if (ms === undefined) return false;
  const { rules } = call.level;
  if (rules.slowStart === undefined) call.scene.draft.set(rules, 'slowStart', given(formatDuration(ms), word));
  else if (rules.slowStart !== formatDuration(ms))
    notTaken(call, `server: "${word.text}"`, word.at, `Steward has one for all servers of an upstream and keeps ${rules.slowStart}.`);
  return true;
}

function readParameter(call: Call<UpstreamLevel>, word: Word): Partial<ServerSource> {
  if (word.text === 'backup' || word.text === 'down' || word.text === 'drain') return { [word.text]: true };
  const [, name = '', value = ''] = /^(\w+)=(.*)$/.exec(word.text) ?? [];
  const found = Object.hasOwn(parameters, name) ? parameters[name]?.(value) : undefined;
  if (found !== undefined) return found;
  if (readSlowStart(call, word)) return {};
  if (later.test(word.text)) notTaken(call, `server: "${word.text}"`, word.at, 'Leave it out, and write the address of each server.');
  else {
    const hint = 'Known are weight=2, max_conns=100, max_fails=3, fail_timeout=30s, backup and down.';
    call.scene.error('config/nginx-value', `server: "${word.text}" is not a parameter of an upstream's server`, word.at, hint);
  }
  return {};
}

function readUpstreamServer(call: Call<UpstreamLevel>): void {
  const [word, ...words] = call.args as [Word, ...Word[]];
  const to = serverAddress(word.text);
  const options = Object.assign({}, ...words.map((parameter) => readParameter(call, parameter))) as Partial<ServerSource>;
  if (to === undefined) {
    call.scene.error('config/nginx-value', `server: "${word.text}" is not an address`, word.at, 'Write host:port or unix:/path/to.sock.');
    return;
  }
  call.level.servers.push(given(Object.keys(options).length === 0 ? to : { to, ...options }, word));
}

const setBalance = (call: Call<UpstreamLevel>, balance: UpstreamSource['balance']): void =>
  call.scene.draft.set(call.level.rules, 'balance', balance === undefined ? undefined : given(balance, call.directive));

/** `consistent` is off unless it is written. */
function readHash(call: Call<UpstreamLevel>): void {
  const [key, consistent] = call.args as [Word, Word?];
  if (consistent !== undefined && consistent.text !== 'consistent')
    badValue(call, consistent, '"consistent"', 'Write hash $key; or hash $key consistent;');
  else if (isText(call, key)) {
    call.level.hashKeys.push(given(key.text, key));
    setBalance(call, { hash: key.text, consistent: consistent !== undefined });
  }
}

function readRandom(call: Call<UpstreamLevel>): void {
  const [two, method] = call.args;
  if (two !== undefined && two.text !== 'two') badValue(call, two, '"two"', 'Write random; or random two;');
  else if (method !== undefined && !/^least_(conn|time(=(header|last_byte))?)$/.test(method.text))
    badValue(call, method, 'least_conn', 'Write random two;');
  else {
    if (method?.text.startsWith('least_time'))
      notTaken(call, `random two ${method.text}`, method.at, 'Steward takes the less busy of the two.');
    setBalance(call, two === undefined ? 'random' : 'random-two');
  }
}

/** Only the commercial nginx has it: `sticky cookie name [expires=] [domain=] [httponly] [secure] [path=]`. */
function readSticky(call: Call<UpstreamLevel>): void {
  const [kind, name, ...words] = call.args as [Word, Word?, ...Word[]];
  if (kind.text !== 'cookie' || name === undefined) {
    notTaken(call, `sticky ${kind.text}`, kind.at, 'Use sticky cookie.');
    return;
  }
  const sticky: Exclude<UpstreamSource['sticky'], boolean | undefined> = { cookie: name.text };
  for (const word of words) {
    const [, key = word.text, value = ''] = /^(\w+)=(.*)$/.exec(word.text) ?? [];
    const ms = key === 'expires' && value !== 'max' ? parseTime(value, 'seconds') : undefined;
    if (ms !== undefined) sticky.maxAge = formatDuration(ms);
    else if (key === 'expires' && value === 'max') sticky.maxAge = '3650d';
    else if (key === 'path') sticky.path = value;
    else if (key === 'secure') sticky.secure = true;
    else if (key === 'samesite' && /^(lax|strict|none)$/i.test(value)) sticky.sameSite = value.toLowerCase() as 'lax';
    else if (key !== 'httponly') notTaken(call, `sticky cookie: "${word.text}"`, word.at, 'Leave it out.');
  }
  call.scene.draft.set(call.level.rules, 'sticky', given(sticky, name));
}

function readKeepalive(call: Call<UpstreamLevel>): void {
  const count = readCount(call, firstArg(call), 1, 2 ** 31);
  if (count !== undefined) call.scene.draft.set(call.level.rules, 'keepIdle', given(count, firstArg(call)));
}

function readIdleTimeout(call: Call<UpstreamLevel>): void {
  const ms = readTime(call);
  if (ms !== undefined) call.scene.draft.set(call.level.rules, 'keepIdleTimeout', given(formatDuration(ms), firstArg(call)));
}

const entry = (name: string, args: Entry['args'], read: (call: Call<UpstreamLevel>) => void, once?: string): Entry => ({
  name,
  contexts: ['upstream'] as readonly Context[],
  args,
  ...(once === undefined ? {} : { once }),
  read: (call) => read(call as Call<UpstreamLevel>),
});

export const upstreamEntries: readonly Entry[] = [
  entry('server', [1, many], readUpstreamServer),
  entry('least_conn', [0, 0], (call) => setBalance(call, 'least-connections')),
  entry('ip_hash', [0, 0], (call) => setBalance(call, 'client-address')),
  entry('hash', [1, 2], readHash),
  entry('random', [0, 2], readRandom),
  entry('sticky', [1, many], readSticky, 'sticky'),
  entry('keepalive', [1, 1], readKeepalive, 'keepalive'),
  entry('keepalive_timeout', [1, 1], readIdleTimeout, 'keepalive_timeout'),
  entry('least_time', [0, many], (call) => notTaken(call, 'least_time', call.directive.at, 'Use least_conn.')),
  entry('resolver', [1, many], ({ scene, directive }) =>
    scene.instead('resolver', directive.at, 'Steward asks the resolver of the system.', 'resolver'),
  ),
  ...['queue', 'health_check', 'ntlm', 'state'].map((name) =>
    entry(name, [0, many], (call) => notTaken(call, name, call.directive.at, 'See `check` of upstreams in docs/config.md.')),
  ),
  ...['zone', 'keepalive_requests', 'keepalive_time'].map((name) => entry(name, [1, 2], () => {})),
];
