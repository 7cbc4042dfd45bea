/** Names, addresses and certificates: VirtualHost, Listen, ServerName, ServerAlias, SSL*. */
import { posix } from 'node:path';
import type { Word } from '../lex.ts';
import { rangeOf } from '../ranges.ts';
import {
  badValue,
  type Call,
  type Entry,
  firstArg,
  given,
  type ListenAddress,
  leaveOut,
  levelOf,
  many,
  newServer,
  readFlag,
  refuse,
  type Server,
  type ServerSettings,
} from '../scene.ts';

const everyAddress = new Set(['*', '_default_', '0.0.0.0', '[::]']);

/** `*:443`, `10.0.0.1`, `[::1]:80`, `_default_:443`; undefined when it is none of them. */
function parseAddress(word: Word): Server['addresses'][number] | undefined {
  const [, host, port] = /^(\[[0-9a-fA-F:.]+\]|[^\s:[\]]+)(?::(\d{1,5}|\*))?$/.exec(word.text) ?? [];
  if (host === undefined) return undefined;
  const number = port === undefined || port === '*' ? undefined : Number(port);
  if (number !== undefined && (number < 1 || number > 65535)) return undefined;
  return {
    ...(everyAddress.has(host.toLowerCase()) ? {} : { host: host.toLowerCase() }),
    ...(number === undefined ? {} : { port: number }),
    at: word.at,
  };
}

function readVirtualHost(call: Call): void {
  const { scene, directive, args, server } = call;
  if (server.main !== undefined) {
    scene.error(
      'config/apache-not-allowed-here',
      '<VirtualHost> stands inside another one',
      directive.at,
      'Close the first one above with </VirtualHost>.',
    );
    return;
  }
  const addresses = args.flatMap((word) => {
    const address = parseAddress(word);
    if (address === undefined) badValue(call, word, 'an address', 'Write *:443, an address:port or [v6]:port.');
    return address ?? [];
  });
  const host = newServer(directive.at, addresses, scene.main);
  if (addresses.length > 0) scene.hosts.push(host);
  scene.walk(directive.block ?? [], host, levelOf(host));
}

function readListen(call: Call): void {
  const word = firstArg(call);
  const address = /^\d+$/.test(word.text) ? parseAddress({ text: `*:${word.text}`, at: word.at }) : parseAddress(word);
  if (address?.port === undefined) badValue(call, word, 'an address to listen on', 'Write a port, address:port or [v6]:port.');
  else {
    const protocol = call.args[1]?.text ?? (address.port === 443 ? 'https' : 'http');
    const tls = protocol.toLowerCase() === 'https';
    call.scene.listens.push({ ...(address as ListenAddress), ...(tls ? { tls } : {}) });
  }
}

/** The host of `www.example.com`, `www.example.com:443` or `https://www.example.com`. */
const hostOf = (text: string): string =>
  text
    .replace(/^https?:\/\//i, '')
    .replace(/:\d+$/, '')
    .toLowerCase();

function isHost(call: Call, word: Word): boolean {
  if (/^[^\s/:]+$/.test(hostOf(word.text))) return true;
  badValue(call, word, 'a host name', 'Write the host name alone, without a path.');
  return false;
}

/** Apache's `*` and `?` may stand anywhere; Steward has them as a whole first or last part, else as a regular expression. */
function aliasOf(text: string): string {
  const host = text.toLowerCase();
  if (!/[*?]/.test(host) || /^\*\.[^*?]+$/.test(host)) return host;
  const pattern = host
    .replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return `~^${pattern}$`;
}

function readAliases(call: Call): void {
  for (const word of call.args) {
    if (isHost(call, word)) call.server.own.aliases.push(given(aliasOf(word.text), word));
  }
}

/** A file name, made absolute with ServerRoot when the file has one. */
export function filePath(call: Call, word: Word): string {
  const { serverRoot } = call.scene;
  if (word.text.startsWith('/')) return word.text;
  if (serverRoot !== undefined) return posix.join(serverRoot, word.text);
  const hint = `Apache takes it from ServerRoot, which this file does not name; Steward from ${call.scene.folder}. Write it with a leading /.`;
  call.scene.warning('config/apache-value', `${call.directive.name}: "${word.text}" is relative`, word.at, hint);
  return word.text;
}

function readFile(key: 'cert' | 'key' | 'chain' | 'clientCa', call: Call): void {
  const { own } = call.server;
  const word = firstArg(call);
  if (own[key] === undefined) own[key] = given(filePath(call, word), word);
  else {
    const hint = 'Keep the one your clients need; Steward serves one per site.';
    call.scene.warning(
      'config/apache-not-taken-over',
      `${call.directive.name}: a second certificate for one host is not taken over`,
      word.at,
      hint,
    );
  }
}

function readEngine(call: Call): void {
  const flag = readFlag(call);
  if (flag !== undefined) call.server.own.ssl = flag;
}

function readName(call: Call): void {
  const word = firstArg(call);
  if (isHost(call, word)) call.server.own.name = given(hostOf(word.text), word);
}

/** https://httpd.apache.org/docs/2.4/mod/mod_ssl.html#sslverifyclient */
function readVerifyClient(call: Call): void {
  const word = firstArg(call);
  const modes: Readonly<Record<string, NonNullable<ServerSettings['clientMode']>['value']>> = {
    none: 'none',
    optional: 'optional',
    optional_no_ca: 'optional',
    require: 'require',
  };
  const mode = Object.hasOwn(modes, word.text.toLowerCase()) ? modes[word.text.toLowerCase()] : undefined;
  if (mode === undefined) badValue(call, word, 'a way to ask clients for certificates', 'Write none, optional or require.');
  else if (call.level.context === 'server') call.server.own.clientMode = given(mode, word);
  else if (mode === 'require') {
    const hint = 'Steward asks for certificates when a connection begins: write SSLVerifyClient in the virtual host.';
    refuse(call, `SSLVerifyClient in ${call.level.shown}`, hint);
  } else if (mode === 'optional') leaveOut(call, 'Write SSLVerifyClient in the virtual host.');
}

/** The oldest version that is left of `all -SSLv3 +TLSv1.3`; Steward speaks none that is older than 1.2. */
function readProtocols(call: Call): void {
  const versions = ['tlsv1', 'tlsv1.1', 'tlsv1.2', 'tlsv1.3'];
  let open = new Set<string>();
  call.args.forEach((word, index) => {
    const [, sign = '', name = ''] = /^([+-]?)(.*)$/.exec(word.text.toLowerCase()) ?? [];
    const named = name === 'all' ? versions : [name];
    if (!/^(all|sslv[23]|tlsv1(\.[123])?)$/.test(name)) badValue(call, word, 'a protocol', 'Write all, TLSv1.2 or TLSv1.3, with + or -.');
    if (sign === '-') open = open.difference(new Set(named));
    else open = sign === '' && index > 0 ? new Set(named) : open.union(new Set(named));
  });
  const word = firstArg(call);
  if (!open.has('tlsv1.2') && open.has('tlsv1.3')) call.server.own.tlsLeast = given('TLSv1.3', word);
  else if (open.has('tlsv1') || open.has('tlsv1.1'))
    call.scene.instead('SSLProtocol', call.directive.at, 'Steward speaks TLS 1.2 and 1.3.');
}

/** https://httpd.apache.org/docs/2.4/mod/mod_remoteip.html */
function readTrusted(call: Call): void {
  for (const word of call.args) {
    const range = rangeOf(word.text);
    if (range === undefined)
      badValue(call, word, 'an address or a range', 'Write 10.0.0.1 or 10.0.0.0/8; names of hosts are not looked up.');
    else call.server.own.trusted.push(given(range, word));
  }
}

function readProxyProtocol(call: Call): void {
  const flag = readFlag(call);
  if (flag !== undefined) call.server.own.proxyProtocol = flag;
}

export const hostEntries: readonly Entry[] = [
  { name: 'VirtualHost', section: true, args: [1, many], read: readVirtualHost },
  { name: 'Listen', in: 'main', args: [1, 2], read: readListen },
  { name: 'ServerName', in: 'server', args: [1, 1], read: readName },
  { name: 'ServerAlias', in: 'server', args: [1, many], read: readAliases },
  { name: 'SSLEngine', in: 'server', args: [1, 1], read: readEngine },
  { name: 'SSLCertificateFile', in: 'server', args: [1, 1], read: (call) => readFile('cert', call) },
  { name: 'SSLCertificateKeyFile', in: 'server', args: [1, 1], read: (call) => readFile('key', call) },
  { name: 'SSLCertificateChainFile', in: 'server', args: [1, 1], read: (call) => readFile('chain', call) },
  { name: 'SSLCACertificateFile', in: 'server', args: [1, 1], read: (call) => readFile('clientCa', call) },
  { name: 'SSLVerifyClient', args: [1, 1], read: readVerifyClient },
  { name: 'SSLProtocol', in: 'server', args: [1, many], read: readProtocols },
  {
    name: 'RemoteIPHeader',
    in: 'server',
    args: [1, 1],
    read: (call) => {
      call.server.own.trustHeader = given(firstArg(call).text, firstArg(call));
    },
  },
  { name: 'RemoteIPTrustedProxy', in: 'server', args: [1, many], read: readTrusted },
  { name: 'RemoteIPInternalProxy', in: 'server', args: [1, many], read: readTrusted },
  { name: 'RemoteIPProxyProtocol', in: 'server', args: [1, 1], read: readProxyProtocol },
];
