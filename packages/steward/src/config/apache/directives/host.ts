/** Names, addresses and certificates: VirtualHost, Listen, ServerName, ServerAlias, SSL*. */
import { posix } from 'node:path';
import type { Word } from '../lex.ts';
import {
  badValue,
  type Call,
  type Entry,
  firstArg,
  given,
  type ListenAddress,
  many,
  newSettings,
  readFlag,
  type Server,
  type Settings,
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
  const host: Server = { settings: newSettings(), main: scene.main, at: directive.at, addresses };
  if (addresses.length > 0) scene.hosts.push(host);
  scene.walk(directive.block ?? [], host);
}

function readListen(call: Call): void {
  const word = firstArg(call);
  const address = /^\d+$/.test(word.text) ? parseAddress({ text: `*:${word.text}`, at: word.at }) : parseAddress(word);
  if (address?.port === undefined) badValue(call, word, 'an address to listen on', 'Write a port, address:port or [v6]:port.');
  else call.scene.listens.push(address as ListenAddress);
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
    if (isHost(call, word)) call.server.settings.aliases.push(given(aliasOf(word.text), word));
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

function readFile(key: keyof Settings & ('cert' | 'key' | 'chain'), call: Call): void {
  const { settings } = call.server;
  const word = firstArg(call);
  if (settings[key] === undefined) settings[key] = given(filePath(call, word), word);
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
  if (flag !== undefined) call.server.settings.ssl = flag;
}

function readName(call: Call): void {
  const word = firstArg(call);
  if (isHost(call, word)) call.server.settings.name = given(hostOf(word.text), word);
}

export const hostEntries: readonly Entry[] = [
  { name: 'VirtualHost', section: true, args: [1, many], read: readVirtualHost },
  { name: 'Listen', mainOnly: true, args: [1, 2], read: readListen },
  { name: 'ServerName', args: [1, 1], read: readName },
  { name: 'ServerAlias', args: [1, many], read: readAliases },
  { name: 'SSLEngine', args: [1, 1], read: readEngine },
  { name: 'SSLCertificateFile', args: [1, 1], read: (call) => readFile('cert', call) },
  { name: 'SSLCertificateKeyFile', args: [1, 1], read: (call) => readFile('key', call) },
  { name: 'SSLCertificateChainFile', args: [1, 1], read: (call) => readFile('chain', call) },
];
