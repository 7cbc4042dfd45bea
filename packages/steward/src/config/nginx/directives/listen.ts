/** Where a server listens and under which names: listen, server_name and its certificate. */

import { flag, takeRegex, text } from '../arguments.ts';
import type { Word } from '../parse.ts';
import { badValue, type Call, type Context, type Entry, firstArg, given, many, notTaken, type ServerLevel } from '../scene.ts';
import { parseHostPort } from '../values.ts';
import { hasVariable } from '../variables.ts';

/** Flags that tune the kernel and change nothing a client sees. */
const tuning =
  /^(bind|deferred|reuseport|backlog=.*|rcvbuf=.*|sndbuf=.*|setfib=.*|fastopen=.*|accept_filter=.*|ipv6only=(on|off)|so_keepalive=.*)$/;

/** `*`, `0.0.0.0` and `[::]` are every address to Steward. */
const everyAddress = new Set(['*', '0.0.0.0', '[::]']);

function parseAddress(text: string): { host?: string; port: number } | undefined {
  if (/^\d+$/.test(text)) return parseHostPort(`x:${text}`)?.port === undefined ? undefined : { port: Number(text) };
  const parsed = parseHostPort(text);
  if (parsed === undefined) return undefined;
  return { ...(everyAddress.has(parsed.host) ? {} : { host: parsed.host.toLowerCase() }), port: parsed.port ?? 80 };
}

type ListenFlags = { ssl: boolean; isDefault: boolean; proxyProtocol: boolean };

function readListenFlags(call: Call, flags: readonly Word[]): ListenFlags {
  const found: ListenFlags = { ssl: false, isDefault: false, proxyProtocol: false };
  const { scene } = call;
  for (const word of flags) {
    if (word.text === 'ssl') found.ssl = true;
    else if (word.text === 'default_server' || word.text === 'default') found.isDefault = true;
    else if (word.text === 'proxy_protocol') found.proxyProtocol = true;
    else if (/^(http2|spdy|quic)$/.test(word.text)) {
      if (word.text === 'http2') scene.gateway.http2 = true;
      scene.instead(`listen ${word.text}`, word.at, `"${word.text}" needs no word here: Steward agrees on the protocol with each client.`);
    } else if (!tuning.test(word.text)) {
      scene.error(
        'config/nginx-value',
        `listen: "${word.text}" is not a parameter of listen`,
        word.at,
        'Known are default_server, ssl, proxy_protocol and what tunes the socket.',
      );
    }
  }
  return found;
}

const widestRange = 1000;

/** `8000-8010` and `127.0.0.1:8000-8010` as one text for each port; any other text as it is. */
function portsOf(text: string): readonly string[] {
  const [, host, first, last] = /^(.*:)?(\d{1,5})-(\d{1,5})$/.exec(text) ?? [];
  const [from, to] = [Number(first), Number(last)];
  if (first === undefined || from > to || to - from >= widestRange) return [text];
  return Array.from({ length: to - from + 1 }, (_, index) => `${host ?? ''}${from + index}`);
}

function addListen(call: Call<ServerLevel>, text: string, options: ListenFlags): void {
  const { scene, level } = call;
  const word = firstArg(call);
  const address = parseAddress(text);
  if (address === undefined) {
    const hint = 'Write a port, address:port or [v6]:port; ports run from 1 to 65535.';
    scene.error('config/nginx-value', `listen: "${word.text}" is not an address`, word.at, hint);
    return;
  }
  const twice = level.seen.get(`listen ${text}`);
  level.seen.set(`listen ${text}`, word.at);
  const message = `listen "${text}" stands twice in this server, first on line ${twice?.line}`;
  if (twice !== undefined) scene.error('config/nginx-duplicate', message, word.at, 'Remove one.');
  else level.listens.push({ ...address, ...options, at: word.at });
}

function readListen(call: Call<ServerLevel>): void {
  const [word, ...flags] = call.args as [Word, ...Word[]];
  const options = readListenFlags(call, flags);
  if (word.text.startsWith('unix:')) notTaken(call, `listen "${word.text}": a site on a unix socket`, word.at, 'Give it a port.');
  else for (const text of portsOf(word.text)) addListen(call, text, options);
}

function nameError(scene: Call['scene'], name: string): string | undefined {
  if (name.startsWith('~')) {
    return name.length === 1 ? 'an empty regular expression' : takeRegex(scene, name.slice(1));
  }
  if (name === '') return undefined;
  const middle = name.replace(/^\*?\./, '').replace(/\.\*$/, '');
  if (middle === '' || middle.includes('*')) return 'a * stands for a whole first or last part: *.example.com or www.example.*';
  return name.includes('..') ? 'a part between two dots is empty' : undefined;
}

/** What looks like a path or holds a blank is most likely the next line, after a forgotten semicolon. */
function readServerName(call: Call<ServerLevel>): void {
  const { scene, level } = call;
  for (const word of call.args) {
    const name = word.text === '$hostname' ? scene.around.hostname : word.text;
    const wrong = nameError(scene, name);
    if (wrong !== undefined) scene.error('config/nginx-value', `server_name: "${name}" is not a host name: ${wrong}`, word.at);
    else if (!name.startsWith('~') && /[\s/$:]|^\*?\..*\*$/.test(name)) {
      scene.warning(
        'config/nginx-never-used',
        `server_name: no client asks for a host "${name}"`,
        word.at,
        'Write the host name alone, without scheme, port or path.',
      );
    } else level.names.push(given(name, word));
  }
}

function readFile(key: 'cert' | 'key', call: Call): void {
  const word = firstArg(call);
  const { scene, level } = call;
  if (hasVariable(word.text) || /^(data|engine|store):/.test(word.text)) {
    scene.error(
      'config/nginx-not-taken-over',
      `${call.directive.name}: "${word.text}" is not taken over: Steward reads certificates from files`,
      word.at,
      'Name one file per server.',
    );
  } else if (level.settings[key] === undefined) level.settings[key] = given(word.text, word);
  else {
    const hint = 'Keep the one your clients need; Steward serves one per site.';
    scene.warning(
      'config/nginx-not-taken-over',
      `${call.directive.name}: a second certificate for one server is not taken over`,
      word.at,
      hint,
    );
  }
}

function readClientMode(call: Call): void {
  const word = firstArg(call);
  const modes = { on: 'require', off: 'off', optional: 'optional', optional_no_ca: 'optional' } as const;
  if (!Object.hasOwn(modes, word.text)) badValue(call, word, 'on, off or optional', 'Write on, off or optional.');
  else {
    if (word.text === 'optional_no_ca')
      notTaken(
        call,
        'ssl_verify_client optional_no_ca',
        word.at,
        'Steward takes it for optional: certificates of other authorities get 400.',
      );
    call.level.settings.clientMode = given(modes[word.text as keyof typeof modes], word);
  }
}

function readProtocols(call: Call): void {
  const words = call.args.map((word) => word.text);
  const wrong = call.args.find((word) => !/^(SSLv[23]|TLSv1(\.[123])?)$/.test(word.text));
  if (wrong !== undefined) {
    badValue(call, wrong, 'a version of TLS', 'Write TLSv1.2 TLSv1.3.');
    return;
  }
  const old = call.args.find((word) => !/^TLSv1\.[23]$/.test(word.text));
  if (old !== undefined) call.scene.instead('ssl_protocols', old.at, 'Steward speaks TLS 1.2 and newer.', old.text);
  if (words.includes('TLSv1.3') && words.length === 1) call.level.settings.tlsLeast = given('TLSv1.3', firstArg(call));
  else call.level.settings.tlsLeast = given('TLSv1.2', firstArg(call));
}

const places: readonly Context[] = ['http', 'server'];

export const listenEntries: readonly Entry[] = [
  { name: 'listen', contexts: ['server'], args: [1, many], read: (call) => readListen(call as Call<ServerLevel>) },
  { name: 'server_name', contexts: ['server'], args: [1, many], read: (call) => readServerName(call as Call<ServerLevel>) },
  { name: 'ssl_certificate', contexts: places, args: [1, 1], read: (call) => readFile('cert', call) },
  { name: 'ssl_certificate_key', contexts: places, args: [1, 1], read: (call) => readFile('key', call) },
  flag('ssl', 'tls', places),
  flag('ssl_reject_handshake', 'rejectHandshake', places),
  text('ssl_client_certificate', 'clientCa', places),
  { name: 'ssl_verify_client', contexts: places, args: [1, 1], once: true, read: readClientMode },
  { name: 'ssl_protocols', contexts: places, args: [1, many], read: readProtocols },
];
