/** Who gets in, how often, and who the client is: allow, deny, auth_*, satisfy, limit_*, real_ip_*. */
import { isIP } from 'node:net';
import { count, flag, isText, readCount, text } from '../arguments.ts';
import type { Word } from '../parse.ts';
import { anywhere, badValue, type Call, type Context, type Entry, firstArg, given, type LimitZone, many, notTaken } from '../scene.ts';
import { parseCount } from '../values.ts';

const guarded: readonly Context[] = ['http', 'server', 'location', 'limit_except'];

/** Whether a text is an address or a CIDR range. */
function isNetwork(text: string): boolean {
  const [, address = '', bits] = /^([0-9a-fA-F.:]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const version = isIP(address);
  return version !== 0 && (bits === undefined || Number(bits) <= (version === 4 ? 32 : 128));
}

function readAccess(verb: 'allow' | 'deny', call: Call): void {
  const word = firstArg(call);
  if (word.text === 'all' || word.text === 'unix:' || isNetwork(word.text))
    call.level.settings.access.push({ verb, who: word.text, at: word.at });
  else badValue(call, word, 'an address', 'Write all, unix:, an address or a range such as 10.0.0.0/8.');
}

function readRealm(call: Call): void {
  const word = firstArg(call);
  if (isText(call, word)) call.level.settings.realm = given(word.text === 'off' ? undefined : word.text, word);
}

function readAuthRequest(call: Call): void {
  const word = firstArg(call);
  if (isText(call, word)) call.level.settings.authRequest = given(word.text === 'off' ? undefined : word.text, word);
}

function readAuthSet(call: Call): void {
  const [name, value] = call.args as [Word, Word];
  const [, plain] = /^\$(\w+)$/.exec(name.text) ?? [];
  if (plain === undefined) badValue(call, name, 'a variable', 'Write auth_request_set $name $upstream_http_x_name;');
  else if (isText(call, value)) {
    call.scene.defined.add(plain.toLowerCase());
    call.level.settings.authSets.push({ name: plain.toLowerCase(), value: value.text, at: value.at });
  }
}

function readSatisfy(call: Call): void {
  const word = firstArg(call);
  if (word.text === 'all' || word.text === 'any') call.level.settings.satisfy = given(word.text, word);
  else badValue(call, word, 'all or any', 'Write all or any.');
}

type Parameters = Readonly<Record<string, Word>>;

/** `name=value` words by name; others are reported unless they are among `plain`. */
function parametersOf(call: Call, words: readonly Word[], names: readonly string[], plain: readonly string[] = []): Parameters | undefined {
  const found: Record<string, Word> = {};
  let isRight = true;
  for (const word of words) {
    const [, name = word.text, value] = /^(\w+)=([\s\S]*)$/.exec(word.text) ?? [];
    if (value === undefined ? plain.includes(name) : names.includes(name)) found[name] = { ...word, text: value ?? '' };
    else {
      isRight = false;
      badValue(call, word, 'a parameter of it', `Known are ${[...names.map((one) => `${one}=...`), ...plain].join(', ')}.`);
    }
  }
  return isRight ? found : undefined;
}

function addZone(call: Call, word: Word, name: string, zone: LimitZone): void {
  const { scene } = call;
  if (scene.zones.has(name)) scene.error('config/nginx-duplicate', `zone "${name}" stands twice`, word.at, 'Give it another name.');
  else scene.zones.set(name, zone);
}

/** https://nginx.org/en/docs/http/ngx_http_limit_req_module.html#limit_req_zone, and the same of limit_conn. */
function readZone(hasRate: boolean, call: Call): void {
  const [key, ...words] = call.args as [Word, ...Word[]];
  const found = parametersOf(call, words, hasRate ? ['zone', 'rate'] : ['zone'], hasRate ? ['sync'] : []);
  if (found === undefined || !isText(call, key)) return;
  const [, name, size] = /^([^:]+):(\d+[kKmM]?)$/.exec(found.zone?.text ?? '') ?? [];
  if (name === undefined || size === undefined || found.zone === undefined) {
    badValue(call, found.zone ?? key, 'a zone with its size', 'Write zone=name:10m.');
    return;
  }
  const [, number, unit] = /^(\d+)(?:r\/([sm]))?$/.exec(found.rate?.text ?? '1r/s') ?? [];
  if (number === undefined || Number(number) === 0) {
    badValue(call, found.rate ?? key, 'a rate', 'Write rate=10r/s or rate=300r/m.');
    return;
  }
  addZone(call, found.zone, name, { by: key.text, ...(hasRate ? { rate: `${number}/${unit ?? 's'}` } : {}), at: key.at });
}

function readRate(call: Call): void {
  const found = parametersOf(call, call.args, ['zone', 'burst', 'delay'], ['nodelay']);
  if (found === undefined) return;
  const burst = found.burst === undefined ? 0 : parseCount(found.burst.text);
  const undelayed = found.nodelay !== undefined ? 'all' : found.delay === undefined ? 0 : parseCount(found.delay.text);
  const wrong =
    burst === undefined || (found.burst !== undefined && burst === 0) ? found.burst : undelayed === undefined ? found.delay : undefined;
  if (found.zone === undefined) badValue(call, firstArg(call), 'a zone', 'Write zone=name.');
  else if (wrong !== undefined) badValue(call, wrong, 'a number', 'Write a number of requests.');
  else {
    const { zone } = found;
    if (call.level.settings.rates.some((line) => line.zone === zone.text))
      call.scene.error('config/nginx-duplicate', `limit_req "${zone.text}" stands twice in this block`, zone.at, 'Remove one.');
    else call.level.settings.rates.push({ zone: zone.text, burst: burst ?? 0, undelayed: undelayed ?? 0, at: zone.at });
  }
}

function readConnections(call: Call): void {
  const [zone, number] = call.args as [Word, Word];
  const most = readCount(call, number, 1, 65535);
  if (most === undefined) return;
  if (call.level.settings.connections.some((line) => line.zone === zone.text))
    call.scene.error('config/nginx-duplicate', `limit_conn "${zone.text}" stands twice in this block`, zone.at, 'Remove one.');
  else call.level.settings.connections.push({ zone: zone.text, most, at: zone.at });
}

function readTrusted(call: Call): void {
  const word = firstArg(call);
  if (call.level.context === 'location') notTaken(call, 'set_real_ip_from in a location', word.at, 'Move it into the server.');
  else if (word.text === 'unix:' || isNetwork(word.text)) call.level.settings.trusted.push(given(word.text, word));
  else if (/^[\w.-]+$/.test(word.text))
    notTaken(call, `set_real_ip_from "${word.text}", the name of a host,`, word.at, 'Write its addresses.');
  else badValue(call, word, 'an address', 'Write an address, a range such as 10.0.0.0/8, or unix:.');
}

function readTrustHeader(call: Call): void {
  const word = firstArg(call);
  const header = word.text === 'proxy_protocol' ? 'proxy-protocol' : word.text;
  if (/^[\w-]+$/.test(header)) call.level.settings.trustHeader = given(header, word);
  else badValue(call, word, 'the name of a header', 'Write X-Forwarded-For, another header, or proxy_protocol.');
}

export const accessEntries: readonly Entry[] = [
  { name: 'allow', contexts: guarded, args: [1, 1], read: (call) => readAccess('allow', call) },
  { name: 'deny', contexts: guarded, args: [1, 1], read: (call) => readAccess('deny', call) },
  { name: 'satisfy', contexts: anywhere, args: [1, 1], once: true, read: readSatisfy },
  { name: 'auth_basic', contexts: guarded, args: [1, 1], once: true, read: readRealm },
  text('auth_basic_user_file', 'users', guarded),
  { name: 'auth_request', contexts: anywhere, args: [1, 1], once: true, read: readAuthRequest },
  { name: 'auth_request_set', contexts: anywhere, args: [2, 2], read: readAuthSet },
  { name: 'limit_req_zone', contexts: ['http'], args: [3, 4], read: (call) => readZone(true, call) },
  { name: 'limit_conn_zone', contexts: ['http'], args: [2, 2], read: (call) => readZone(false, call) },
  { name: 'limit_req', contexts: anywhere, args: [1, 3], read: readRate },
  { name: 'limit_conn', contexts: anywhere, args: [2, 2], read: readConnections },
  count('limit_req_status', 'rateStatus', 400, 599),
  count('limit_conn_status', 'connectionsStatus', 400, 599),
  flag('limit_req_dry_run', 'rateDryRun'),
  flag('limit_conn_dry_run', 'connectionsDryRun'),
  { name: 'set_real_ip_from', contexts: anywhere, args: [1, 1], read: readTrusted },
  { name: 'real_ip_header', contexts: anywhere, args: [1, 1], once: true, read: readTrustHeader },
  flag('real_ip_recursive', 'trustRecursive'),
  ...['limit_req_log_level', 'limit_conn_log_level'].map((name): Entry => ({ name, contexts: anywhere, args: [1, many], read: () => {} })),
];
