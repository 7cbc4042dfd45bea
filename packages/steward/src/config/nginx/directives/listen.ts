/** Where a server listens and under which names: listen, server_name and its certificate. */

import type { Word } from '../parse.ts';
import { type Call, type Entry, firstArg, given, many, readFlag, type ServerLevel, type Settings } from '../scene.ts';
import { parseHostPort, regexError } from '../values.ts';
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

function readListenFlags(call: Call, flags: readonly Word[]): { ssl: boolean; isDefault: boolean } {
  const found = { ssl: false, isDefault: false };
  const { scene } = call;
  for (const word of flags) {
    if (word.text === 'ssl') found.ssl = true;
    else if (word.text === 'default_server' || word.text === 'default') found.isDefault = true;
    else if (/^(http2|spdy|quic)$/.test(word.text)) {
      scene.instead(`listen ${word.text}`, word.at, `"${word.text}" needs no word here: Steward agrees on the protocol with each client.`);
    } else if (word.text === 'proxy_protocol') {
      scene.warning(
        'config/nginx-not-taken-over',
        'listen: "proxy_protocol" is not taken over',
        word.at,
        'Let the balancer in front speak plain HTTP.',
      );
    } else if (!tuning.test(word.text)) {
      scene.error(
        'config/nginx-value',
        `listen: "${word.text}" is not a parameter of listen`,
        word.at,
        'Known are default_server, ssl and what tunes the socket.',
      );
    }
  }
  return found;
}

function readListen(call: Call<ServerLevel>): void {
  const [word, ...flags] = call.args as [Word, ...Word[]];
  const options = readListenFlags(call, flags);
  const { scene, level } = call;
  if (word.text.startsWith('unix:')) {
    scene.warning(
      'config/nginx-not-taken-over',
      `listen "${word.text}": a site on a unix socket is not taken over`,
      word.at,
      'Give it a port.',
    );
    return;
  }
  if (/:\d+-\d+$|^\d+-\d+$/.test(word.text)) {
    scene.warning(
      'config/nginx-not-taken-over',
      `listen "${word.text}": a range of ports is not taken over`,
      word.at,
      'Write one listen for each port.',
    );
    return;
  }
  const address = parseAddress(word.text);
  if (address === undefined) {
    scene.error(
      'config/nginx-value',
      `listen: "${word.text}" is not an address`,
      word.at,
      'Write a port, address:port or [v6]:port; ports run from 1 to 65535.',
    );
    return;
  }
  const twice = level.seen.get(`listen ${word.text}`);
  level.seen.set(`listen ${word.text}`, word.at);
  if (twice !== undefined)
    scene.error(
      'config/nginx-duplicate',
      `listen "${word.text}" stands twice in this server, first on line ${twice.line}`,
      word.at,
      'Remove one.',
    );
  else level.listens.push({ ...address, ...options, at: word.at });
}

function nameError(name: string): string | undefined {
  if (name.startsWith('~')) return name.length === 1 ? 'an empty regular expression' : regexError(name.slice(1));
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
    const wrong = nameError(name);
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

function readSwitch(key: keyof Settings & ('tls' | 'rejectHandshake'), call: Call): void {
  const flag = readFlag(call);
  if (flag !== undefined) call.level.settings[key] = flag;
}

export const listenEntries: readonly Entry[] = [
  { name: 'listen', contexts: ['server'], args: [1, many], read: (call) => readListen(call as Call<ServerLevel>) },
  { name: 'server_name', contexts: ['server'], args: [1, many], read: (call) => readServerName(call as Call<ServerLevel>) },
  { name: 'ssl_certificate', contexts: ['http', 'server'], args: [1, 1], read: (call) => readFile('cert', call) },
  { name: 'ssl_certificate_key', contexts: ['http', 'server'], args: [1, 1], read: (call) => readFile('key', call) },
  { name: 'ssl', contexts: ['http', 'server'], args: [1, 1], once: true, read: (call) => readSwitch('tls', call) },
  {
    name: 'ssl_reject_handshake',
    contexts: ['http', 'server'],
    args: [1, 1],
    once: true,
    read: (call) => readSwitch('rejectHandshake', call),
  },
];
