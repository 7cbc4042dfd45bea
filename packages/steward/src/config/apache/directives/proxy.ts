/** Handing requests on (https://httpd.apache.org/docs/2.4/mod/mod_proxy.html). */
import { regexMistake } from '../../regular-expression.ts';
import type { Word } from '../lex.ts';
import type { Matcher } from '../matchers.ts';
import {
  type Balancer,
  badValue,
  type Call,
  type Entry,
  firstArg,
  given,
  type Level,
  leaveOut,
  type Member,
  many,
  type Pass,
  type ProxyTarget,
  readFlag,
  type Scene,
} from '../scene.ts';
import { filePath } from './host.ts';

/** Milliseconds of `30`, `30s`, `500ms`, `2min`, `1h`, or undefined. */
export function parseTime(text: string): number | undefined {
  const [, number, unit = 's'] = /^(\d{1,9})(ms|s|mi|min|h)?$/.exec(text) ?? [];
  return number === undefined ? undefined : Number(number) * ({ ms: 1, s: 1000, mi: 60_000, min: 60_000, h: 3_600_000 }[unit] as number);
}

/** The URL of ProxyPass taken apart: `http://host:port/path`, `unix:/path.sock|http://host/path`; undefined when it is neither. */
export function parseTarget(text: string): ProxyTarget | undefined {
  const [, name, rest = ''] = /^balancer:\/\/([^/\s]+)(\/\S*)?$/i.exec(text) ?? [];
  if (name !== undefined) return { scheme: 'http', address: balancerName(name), host: name, path: rest, balancer: true };
  const [, socket, url = ''] = /^(?:(unix:\/[^|]+)\|)?(.*)$/is.exec(text) ?? [];
  const [, protocol, host, port, path = ''] =
    /^(https?|wss?):\/\/(\[[0-9a-fA-F:.]+\]|[^\s/:?#[\]$]+)(?::(\d{1,5}))?((?:\/|\$)\S*)?$/i.exec(url) ?? [];
  if (protocol === undefined || host === undefined) return undefined;
  const scheme = /^(https|wss)$/i.test(protocol) ? 'https' : 'http';
  const number = port === undefined ? (scheme === 'https' ? 443 : 80) : Number(port);
  if (number < 1 || number > 65535) return undefined;
  return { scheme, address: socket ?? `${host}:${number}`, host: port === undefined ? host : `${host}:${port}`, path };
}

/** Names of upstreams are plain words. */
const balancerName = (name: string): string => name.toLowerCase().replace(/[^a-z0-9_.-]/g, '-');

/** Parameters that tune Apache's own connections. */
const tuning =
  /^(min|max|smax|acquire|disablereuse|enablereuse|flushpackets|flushwait|iobuffersize|responsefieldsize|keepalive|lbset|ping|receivebuffersize|redirect|retry|route|ttl|upgrade|mapping|addressttl|backlog|failontimeout|forcerecovery|growth|maxattempts|nofailover|stickysessionsep|scolonpathdelim|timeout|connectiontimeout|loadfactor|status|lbmethod|stickysession)$/i;

/** What would change who answers, and Steward has no word for. */
const untold = /^(secret|failonstatus|hcmethod|hcuri|hcexpr|hcinterval|hctemplate|hcpasses|hcfails|bgrowth|bstatus)$/i;

type Parameters = ReadonlyMap<string, Word>;

function readParameters(call: Call, words: readonly Word[]): Parameters {
  const found = new Map<string, Word>();
  for (const word of words) {
    const [, name = '', value] = /^([^=]+)(?:=(.*))?$/.exec(word.text) ?? [];
    if (/^(nocanon|interpolate|noquery)$/i.test(name) && value === undefined) continue;
    const isTime = /^(timeout|connectiontimeout)$/i.test(name);
    if (value !== undefined && untold.test(name))
      call.scene.warning(
        'config/apache-not-taken-over',
        `${call.directive.name}: ${name}= is not taken over`,
        word.at,
        'Write a check for the upstream in steward.yaml.',
      );
    else if (value === undefined || !tuning.test(name) || (isTime && parseTime(value) === undefined))
      badValue(call, word, 'a parameter of ProxyPass', 'Write name=value, such as timeout=30 or retry=0.');
    else found.set(name.toLowerCase(), { text: value, at: word.at });
  }
  return found;
}

function timesOf(found: Parameters): Pick<Pass, 'connectTimeoutMs' | 'timeoutMs'> {
  const read = parseTime(found.get('timeout')?.text ?? '');
  const connect = parseTime(found.get('connectiontimeout')?.text ?? '');
  return { ...(connect === undefined ? {} : { connectTimeoutMs: connect }), ...(read === undefined ? {} : { timeoutMs: read }) };
}

function readTarget(call: Call, word: Word): ProxyTarget | 'none' | undefined {
  if (word.text === '!') return 'none';
  const target = parseTarget(word.text);
  if (target !== undefined) return target;
  const { scene, directive } = call;
  const [, protocol] = /^(?:unix:[^|]*\|)?([a-z][a-z0-9+.-]*):\/\//i.exec(word.text) ?? [];
  if (protocol !== undefined && !/^(https?|wss?)$/i.test(protocol)) {
    const hint = 'Let the program speak HTTP.';
    scene.error('config/apache-not-taken-over', `${directive.name}: "${protocol}:" is not taken over`, word.at, hint);
  } else badValue(call, word, 'an address', 'Write http://host:port/, unix:/path.sock|http://localhost/ or !');
  return undefined;
}

export function balancerOf(scene: Scene, name: string, at: Word['at']): Balancer {
  const key = balancerName(name);
  const found = scene.balancers.get(key) ?? { name: key, members: [], rules: {}, at };
  scene.balancers.set(key, found);
  return found;
}

/** Tells a path and an address of which only one ends in a slash. */
function tellSlashes(call: Call, path: string, target: ProxyTarget, word: Word): void {
  if (path.endsWith('/') === target.path.endsWith('/')) return;
  const front = `${call.directive.name}: only one of "${path}" and "${word.text}" ends in /`;
  if (target.path === '' && path.endsWith('/')) {
    const hint = 'Steward puts a / between them. Write the / at both ends.';
    call.scene.warning('config/apache-value', `${front}; Apache would take the path for a part of the host`, word.at, hint);
  } else if (target.path !== '') {
    const [from, to] = path.endsWith('/') ? [`${path}x`, `${target.path}x`] : [`${path}/x`, `${target.path}/x`];
    call.scene.warning('config/apache-value', `${front}: ${from} is handed on as ${to}`, word.at, 'Write the / at both ends or at none.');
  }
}

/** The ProxyPass of `match`, with what is wrong told. A path and an address of which only one ends in a slash are glued as they are. */
export function passOf(call: Call, match: Matcher, at: Word['at'], words: readonly Word[]): Pass | undefined {
  const [word, ...more] = words as [Word, ...Word[]];
  const target = readTarget(call, word);
  const parameters = readParameters(call, more);
  if (target === undefined) return undefined;
  if (target !== 'none' && target.balancer === true) setRules(balancerOf(call.scene, target.host, word.at), parameters, call);
  const path = match.kind === 'path' ? match.path : undefined;
  if (target !== 'none' && path !== undefined) tellSlashes(call, path, target, word);
  return {
    match,
    ...(target === 'none' ? {} : { target }),
    ...timesOf(parameters),
    ...(more.some(({ text }) => /^nocanon$/i.test(text)) ? { isRaw: true } : {}),
    at,
    targetAt: word.at,
  };
}

/** `ProxyPass path url`, and `ProxyPass url` in a <Location>. */
function readProxyPass(call: Call): void {
  const { level, server } = call;
  if (level.context !== 'server') {
    readInSection(call, call.args);
    return;
  }
  const [path, ...words] = call.args as [Word, ...Word[]];
  if (words.length === 0)
    call.scene.error('config/apache-arguments', `${call.directive.name} needs at least 2 arguments, not 1`, call.directive.at);
  else if (!path.text.startsWith('/')) badValue(call, path, 'a path', 'It starts with /.');
  else {
    const pass = passOf(call, { kind: 'path', path: path.text }, path.at, words);
    if (pass !== undefined) server.own.passes.push(pass);
  }
}

function readInSection(call: Call, words: readonly Word[]): void {
  const [match] = call.level.matchers;
  if (call.level.context !== 'location' || match === undefined) {
    call.scene.error(
      'config/apache-not-allowed-here',
      `${call.directive.name} is not allowed in ${call.level.shown}`,
      call.directive.at,
      'Write it in <Location>, or outside of sections.',
    );
    return;
  }
  const pass = passOf(call, match, call.directive.at, words);
  if (pass !== undefined) call.level.settings.pass = pass;
}

function readPassMatch(call: Call): void {
  const [pattern, ...words] = call.args as [Word, ...Word[]];
  if (call.level.context !== 'server') readInSection(call, call.args);
  else if (words.length === 0)
    call.scene.error('config/apache-arguments', `${call.directive.name} needs at least 2 arguments, not 1`, call.directive.at);
  else if (isExpression(call, pattern)) {
    const pass = passOf(call, { kind: 'regex', pattern: pattern.text }, pattern.at, words);
    if (pass !== undefined) call.server.own.passes.push(pass);
  }
}

/** `ProxyPassReverse path url`: redirects below `url` are turned into redirects below `path`; in <Location> for that alone. */
function readReverse(call: Call): void {
  const { level } = call;
  const [match] = level.matchers;
  const inside = level.context === 'location' && match?.kind === 'path' ? match.path : undefined;
  const [path, url] = inside === undefined ? call.args : [{ text: inside }, call.args[0]];
  if (path === undefined || url === undefined)
    call.scene.error('config/apache-arguments', `${call.directive.name} needs 2 arguments, not 1`, call.directive.at);
  else level.settings.reverses.push({ from: url.text.replace(/^unix:[^|]*\|/, ''), to: path.text, at: url.at });
}

function readCookieRule(attribute: 'domain' | 'path', call: Call): void {
  const [from, to] = call.args as [Word, Word];
  call.level.settings.cookieRules.push({ attribute, from: from.text, to: to.text, at: from.at });
}

function setFlag(key: 'preserveHost' | 'addForwarded' | 'interceptErrors', call: Call): void {
  const flag = readFlag(call);
  if (flag !== undefined) call.level.settings[key] = flag;
}

function readRequests(call: Call): void {
  const flag = readFlag(call);
  if (flag?.value !== true) return;
  const hint = 'Write ProxyRequests Off; ProxyPass works without it. For a way out use a program made for it.';
  call.scene.error(
    'config/apache-forward-proxy',
    'ProxyRequests On would open a forward proxy, which Steward does not offer',
    flag.at,
    hint,
  );
}

function setTime(key: 'timeout' | 'proxyTimeout', call: Call): void {
  const word = firstArg(call);
  const ms = parseTime(word.text);
  if (ms === undefined) badValue(call, word, 'a time', 'Write seconds, or a number with ms, s, min or h.');
  else call.server.own[key] = given(ms, word);
}

/** Letters of `status=`: what becomes of a member. */
function statusOf(call: Call, word: Word | undefined): { readonly backup?: true; readonly down?: true; readonly drain?: true } {
  let found = {};
  for (const [, sign, letters = ''] of (word?.text ?? '').matchAll(/([+-]?)([A-Za-z]+)/g))
    for (const letter of letters.toUpperCase()) {
      if (sign === '-') continue;
      if (letter === 'H' || letter === 'R') found = { ...found, backup: true };
      else if (letter === 'D' || letter === 'S' || letter === 'C') found = { ...found, down: true };
      else if (letter === 'N') found = { ...found, drain: true };
      else if (!/[EI]/.test(letter) && word !== undefined)
        badValue(call, word, 'a status of a member', 'Write +H (backup), +D (down) or +N (drain).');
    }
  return found;
}

/** Apache leaves a failed member alone for a minute. */
const apacheRetryMs = 60_000;

/** `BalancerMember [balancer://name] url [key=value ...]`. */
function readMember(call: Call): void {
  const [first, ...others] = call.args as [Word, ...Word[]];
  const named = /^balancer:\/\/([^/\s]+)/i.exec(first.text)?.[1];
  const balancer = named === undefined ? call.level.balancer : balancerOf(call.scene, named, first.at);
  const [url, ...words] = named === undefined ? [first, ...others] : others;
  if (balancer === undefined || url === undefined) {
    call.scene.error(
      'config/apache-not-allowed-here',
      'BalancerMember belongs to no balancer',
      call.directive.at,
      'Write it in <Proxy balancer://NAME>.',
    );
    return;
  }
  const target = readTarget(call, url);
  if (target === undefined || target === 'none') return;
  const found = readParameters(call, words);
  const factor = Number(found.get('loadfactor')?.text ?? 1);
  if (!(factor >= 1 && factor <= 100)) badValue(call, found.get('loadfactor') ?? url, 'a load factor', 'Write 1 to 100.');
  const most = Number(found.get('max')?.text ?? 0);
  const retryMs = parseTime(found.get('retry')?.text ?? '') ?? apacheRetryMs;
  const server = {
    to: target.address,
    ...(most > 0 ? { maxConnections: most } : {}),
    ...(retryMs === 0 ? { maxFails: 0 } : { failTimeout: `${Math.round(retryMs / 1000)}s` }),
    ...statusOf(call, found.get('status')),
  };
  const member: Member = {
    server,
    scheme: target.scheme,
    path: target.path,
    weight: factor >= 1 ? factor : 1,
    host: target.host,
    at: url.at,
  };
  balancer.members.push(member);
}

function setRules(balancer: Balancer, found: Parameters, call: Call): void {
  const method = found.get('lbmethod');
  if (method !== undefined) {
    const name = method.text.toLowerCase();
    if (name === 'bybusyness' || name === 'heartbeat') balancer.rules.balance = 'least-connections';
    else if (name !== 'byrequests' && name !== 'bytraffic')
      badValue(call, method, 'a way to balance', 'Write byrequests, bytraffic or bybusyness.');
    if (name === 'bytraffic') call.scene.instead('lbmethod', method.at, 'Steward counts requests, not bytes.', 'lbmethod=bytraffic');
    if (name === 'heartbeat')
      call.scene.instead('lbmethod', method.at, 'Steward asks the server with fewest requests under way.', 'lbmethod=heartbeat');
  }
  const sticky = found.get('stickysession');
  if (sticky === undefined) return;
  balancer.rules.sticky = true;
  call.scene.instead('stickysession', sticky.at, 'Steward brings clients back by a cookie of its own, steward_server.', 'stickysession=');
}

/** `ProxySet [balancer://name] key=value ...`. */
function readSet(call: Call): void {
  const [first] = call.args as [Word];
  const name = /^balancer:\/\/([^/\s]+)/i.exec(first.text)?.[1];
  const balancer = name === undefined ? call.level.balancer : balancerOf(call.scene, name, first.at);
  const found = readParameters(call, name === undefined && !/:\/\//.test(first.text) ? call.args : call.args.slice(1));
  if (balancer !== undefined) setRules(balancer, found, call);
}

/** Whether a word is a regular expression; told when it is none. */
export function isExpression(call: Call, word: Word): boolean {
  const mistake = regexMistake(word.text);
  if (mistake !== undefined) badValue(call, word, `a regular expression (${mistake})`, 'Write it as JavaScript can read it.');
  return mistake === undefined;
}

function readVerify(call: Call): void {
  const word = firstArg(call);
  if (!/^(none|optional|optional_no_ca|require)$/i.test(word.text)) badValue(call, word, 'a way to check', 'Write none or require.');
  else call.level.settings.verifyUpstream = given(/^require$/i.test(word.text), word);
}

/** The section that `<Proxy balancer://name>` is; others are read as sections of addresses. */
export function balancerLevel(call: Call, level: Level): Level {
  const name = /^balancer:\/\/([^/\s]+)/i.exec(firstArg(call).text)?.[1];
  return name === undefined ? level : { ...level, balancer: balancerOf(call.scene, name, firstArg(call).at) };
}

export const proxyEntries: readonly Entry[] = [
  { name: 'ProxyPass', args: [1, many], read: readProxyPass },
  { name: 'ProxyPassMatch', args: [1, many], read: readPassMatch },
  { name: 'ProxyPassReverse', args: [1, 3], read: readReverse },
  { name: 'ProxyPassReverseCookieDomain', args: [2, 3], read: (call) => readCookieRule('domain', call) },
  { name: 'ProxyPassReverseCookiePath', args: [2, 3], read: (call) => readCookieRule('path', call) },
  { name: 'ProxyPreserveHost', args: [1, 1], read: (call) => setFlag('preserveHost', call) },
  { name: 'ProxyAddHeaders', args: [1, 1], read: (call) => setFlag('addForwarded', call) },
  { name: 'ProxyErrorOverride', args: [1, many], read: (call) => setFlag('interceptErrors', call) },
  { name: 'ProxyRequests', in: 'server', args: [1, 1], read: readRequests },
  { name: 'ProxyTimeout', in: 'server', args: [1, 1], read: (call) => setTime('proxyTimeout', call) },
  { name: 'Timeout', in: 'server', args: [1, 1], read: (call) => setTime('timeout', call) },
  { name: 'BalancerMember', args: [1, many], read: readMember },
  { name: 'ProxySet', args: [1, many], read: readSet },
  { name: 'SSLProxyVerify', args: [1, 1], read: readVerify },
  {
    name: 'SSLProxyCACertificateFile',
    args: [1, 1],
    read: (call) => {
      call.level.settings.upstreamCa = given(filePath(call, firstArg(call)), firstArg(call));
    },
  },
  { name: 'ProxyExpressMap', args: [1, many], read: (call) => leaveOut(call, 'Write variables: with cases in steward.yaml.') },
];
