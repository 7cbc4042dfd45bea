/** Handing requests on (https://httpd.apache.org/docs/2.4/mod/mod_proxy.html). */
import type { Word } from '../lex.ts';
import { badValue, type Call, type Entry, firstArg, given, many, type Pass, type ProxyTarget, readFlag, type Settings } from '../scene.ts';

/** Milliseconds of `30`, `30s`, `500ms`, `2min`, `1h`, or undefined. */
export function parseTime(text: string): number | undefined {
  const [, number, unit = 's'] = /^(\d{1,9})(ms|s|mi|min|h)?$/.exec(text) ?? [];
  return number === undefined ? undefined : Number(number) * ({ ms: 1, s: 1000, mi: 60_000, min: 60_000, h: 3_600_000 }[unit] as number);
}

/** The URL of ProxyPass taken apart: `http://host:port/path`, `unix:/path.sock|http://host/path`; undefined when it is neither. */
export function parseTarget(text: string): ProxyTarget | undefined {
  const [, socket, url = ''] = /^(?:(unix:\/[^|]+)\|)?(.*)$/is.exec(text) ?? [];
  const [, protocol, host, port, path = ''] =
    /^(https?|wss?):\/\/(\[[0-9a-fA-F:.]+\]|[^\s/:?#[\]]+)(?::(\d{1,5}))?(\/\S*)?$/i.exec(url) ?? [];
  if (protocol === undefined || host === undefined) return undefined;
  const scheme = /^(https|wss)$/i.test(protocol) ? 'https' : 'http';
  const number = port === undefined ? (scheme === 'https' ? 443 : 80) : Number(port);
  if (number < 1 || number > 65535) return undefined;
  return { scheme, address: socket ?? `${host}:${number}`, host: port === undefined ? host : `${host}:${port}`, path };
}

/** Parameters that tune Apache's own connections. */
const tuning =
  /^(min|max|smax|acquire|disablereuse|enablereuse|flushpackets|flushwait|iobuffersize|responsefieldsize|keepalive|lbset|loadfactor|ping|receivebuffersize|redirect|retry|route|status|ttl|upgrade|mapping|secret|addressttl|backlog|failontimeout|forcerecovery|growth|lbmethod|maxattempts|nofailover|stickysession|stickysessionsep|scolonpathdelim)$/i;

function readParameters(call: Call, words: readonly Word[]): Pick<Pass, 'connectTimeoutMs' | 'timeoutMs'> {
  const found: { connectTimeoutMs?: number; timeoutMs?: number } = {};
  for (const word of words) {
    const [, name = '', value] = /^([^=]+)(?:=(.*))?$/.exec(word.text) ?? [];
    const ms = value === undefined ? undefined : parseTime(value);
    if (/^(nocanon|interpolate|noquery)$/i.test(name) && value === undefined) continue;
    if (/^timeout$/i.test(name) && ms !== undefined) found.timeoutMs = ms;
    else if (/^connectiontimeout$/i.test(name) && ms !== undefined) found.connectTimeoutMs = ms;
    else if (value === undefined || !tuning.test(name))
      badValue(call, word, 'a parameter of ProxyPass', 'Write name=value, such as timeout=30 or retry=0.');
  }
  return found;
}

function readTarget(call: Call, word: Word): ProxyTarget | 'none' | undefined {
  if (word.text === '!') return 'none';
  const target = parseTarget(word.text);
  if (target !== undefined) return target;
  const { scene, directive } = call;
  const [, protocol] = /^(?:unix:[^|]*\|)?([a-z][a-z0-9+.-]*):\/\//i.exec(word.text) ?? [];
  if (protocol !== undefined && !/^(https?|wss?)$/i.test(protocol)) {
    const hint =
      protocol.toLowerCase() === 'balancer'
        ? 'Name the servers under upstreams: and the route in steward.yaml.'
        : 'Let the program speak HTTP.';
    scene.error('config/apache-not-taken-over', `${directive.name}: "${protocol}:" is not taken over`, word.at, hint);
  } else badValue(call, word, 'an address', 'Write http://host:port/, unix:/path.sock|http://localhost/ or !');
  return undefined;
}

/** Adds a ProxyPass for `path`. Apache would glue path and address together wrongly when only one ends in a slash: that is told. */
export function addPass(call: Call, path: Word, words: readonly Word[], list: Pass[]): void {
  const [word, ...more] = words as [Word, ...Word[]];
  const target = readTarget(call, word);
  const parameters = readParameters(call, more);
  if (!path.text.startsWith('/')) {
    badValue(call, path, 'a path', 'It starts with /.');
    return;
  }
  if (target === undefined) return;
  const isPlain = target !== 'none' && path.text.endsWith('/') !== target.path.endsWith('/');
  if (isPlain) {
    const hint = 'Steward joins them with exactly one /. Write the / at both ends or at none.';
    call.scene.warning(
      'config/apache-value',
      `${call.directive.name}: only one of "${path.text}" and "${word.text}" ends in /`,
      word.at,
      hint,
    );
  }
  list.push({ path: path.text, ...(target === 'none' ? {} : { target }), ...parameters, at: path.at, targetAt: word.at });
}

function readProxyPass(call: Call): void {
  const [path, ...words] = call.args as [Word, ...Word[]];
  addPass(call, path, words, call.server.settings.passes);
}

/** Adds a ProxyPassReverse: redirects below `url` are turned into redirects below `path`; inside <Location> for that alone. */
export function addReverse(call: Call, path: string, url: Word, location?: string): void {
  const from = url.text.replace(/^unix:[^|]*\|/, '');
  call.server.settings.reverses.push({ from, to: path, at: url.at, ...(location === undefined ? {} : { location }) });
}

function readReverse(call: Call): void {
  const [path, url] = call.args as [Word, Word];
  addReverse(call, path.text, url);
}

function setFlag(key: keyof Settings & ('preserveHost' | 'addForwarded'), call: Call): void {
  const flag = readFlag(call);
  if (flag !== undefined) call.server.settings[key] = flag;
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

function setTime(key: keyof Settings & ('timeout' | 'proxyTimeout'), call: Call): void {
  const word = firstArg(call);
  const ms = parseTime(word.text);
  if (ms === undefined) badValue(call, word, 'a time', 'Write seconds, or a number with ms, s, min or h.');
  else call.server.settings[key] = given(ms, word);
}

export const proxyEntries: readonly Entry[] = [
  { name: 'ProxyPass', args: [2, many], read: readProxyPass },
  { name: 'ProxyPassReverse', args: [2, 3], read: readReverse },
  { name: 'ProxyPreserveHost', args: [1, 1], read: (call) => setFlag('preserveHost', call) },
  { name: 'ProxyAddHeaders', args: [1, 1], read: (call) => setFlag('addForwarded', call) },
  { name: 'ProxyRequests', args: [1, 1], read: readRequests },
  { name: 'ProxyTimeout', args: [1, 1], read: (call) => setTime('proxyTimeout', call) },
  { name: 'Timeout', args: [1, 1], read: (call) => setTime('timeout', call) },
];
