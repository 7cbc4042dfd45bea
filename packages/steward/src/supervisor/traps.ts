/**
 * Why a run ended, as far as that can be seen from outside, in words: it made itself a daemon, somebody has its port, it
 * may not write where its socket should be, and, when it keeps ending, the last lines it wrote.
 */
import { statSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { InstanceSpec } from '../config/model.ts';
import { commandLineOf, environmentOf, listenersAt, type ProcessRow } from '../kernel/process-table.ts';
import type { Exit } from './machine.ts';
import { instanceMark } from './registry.ts';
import { type Identity, mayWriteIn } from './spawn.ts';

/** A process that outlived the first one of its run. */
export interface Stray {
  readonly pid: number;
  readonly command: string;
}

/** What keeps a program in the foreground, by the name of its executable. Source: the manual of each. */
const foreground: Readonly<Record<string, string>> = {
  apache2: '-DFOREGROUND',
  celery: 'take --detach away',
  crond: '-n',
  cron: '-f',
  dnsmasq: '--keep-in-foreground',
  gunicorn: 'take --daemon away, and daemon = True out of its configuration',
  haproxy: '-W without -D, and no daemon in its configuration',
  httpd: '-DFOREGROUND',
  lighttpd: '-D',
  memcached: 'take -d away',
  mongod: 'take --fork away, and processManagement.fork out of its configuration',
  mysqld: 'take --daemonize away',
  named: '-f',
  nginx: "-g 'daemon off;'",
  pg_ctl: 'run postgres -D FOLDER itself',
  'php-fpm': '--nodaemonize',
  'redis-server': '--daemonize no',
  rsyslogd: '-n',
  smbd: '--foreground',
  snmpd: '-f',
  sshd: '-D',
  stunnel: 'foreground = yes in its configuration',
  supervisord: '--nodaemon',
  uwsgi: 'take daemonize out of its configuration',
  varnishd: '-F',
  'valkey-server': '--daemonize no',
};

/** What keeps this command in the foreground; undefined when that is not known. Versions in a name (php-fpm8.2) do not count. */
export function foregroundOption(command: readonly string[]): string | undefined {
  for (const word of command) {
    const name = basename(word).replace(/[-.\d]*\d$/, '');
    if (Object.hasOwn(foreground, name)) return foreground[name];
  }
  return undefined;
}

/** That a command went to the background: which processes it left, and what keeps it in the foreground. */
export function describeDaemon(command: readonly string[], strays: readonly Stray[]): string {
  const shown = strays.slice(0, 3).map((stray) => `pid ${stray.pid} (${stray.command})`);
  const more = strays.length > shown.length ? ` and ${strays.length - shown.length} more` : '';
  const option = foregroundOption(command);
  return `it made itself a daemon: ${shown.join(', ')}${more} lived on without it; keep it in the foreground${option === undefined ? '' : `: ${option}`}`;
}

const linesShown = 3;
const longestLine = 160;

/** A line that names what went wrong, in the words of most runtimes. */
const namesError =
  /\b([A-Z]\w*)?(Error|Exception)\b|\bERROR\b|\berror:|\b(panic|[Ff]atal|FATAL|[Cc]annot|[Uu]nable to|refused|denied|not found|[Nn]o such)\b/;
/** Frames of a stack, and lines without a word, say little on their own. */
const saysSomething = (line: string): boolean => /\p{L}/u.test(line) && !/^\s+at /.test(line);

/**
 * The last lines of a program as one text; undefined when there are none. Runtimes that print a stack after the message
 * would push it out: the last line that names an error is always among them.
 */
export function quoteLines(lines: readonly string[]): string | undefined {
  const telling = lines.filter(saysSomething);
  const last = telling.slice(-linesShown);
  const error = telling.findLast((line) => namesError.test(line));
  const shown = error === undefined || last.includes(error) ? last : [error, ...last.slice(1)];
  if (shown.length === 0) return undefined;
  const cut = (line: string): string => (line.length > longestLine ? `${line.slice(0, longestLine - 3)}...` : line);
  return `it wrote: ${shown.map((line) => cut(line.trim())).join(' / ')}`;
}

const portTaken = /EADDRINUSE|address (is )?already in use/i;
const portWritten = /(?::|port[ =:]+|', )(\d{2,5})(?!\d)/gi;

/** A port that the last lines say is taken; undefined when they say no such thing. */
export function portInLines(lines: readonly string[]): number | undefined {
  const ports = lines
    .filter((line) => portTaken.test(line))
    .flatMap((line) => [...line.matchAll(portWritten)].map(([, port]) => Number(port)));
  return ports.findLast((port) => port > 0 && port < 65536);
}

function whoListens(at: number | string, what: string): string | undefined {
  const holders = listenersAt(at);
  const [holder] = holders;
  if (holder === undefined) return undefined;
  const instance = environmentOf(holder.pid, instanceMark);
  return `${what} is taken by ${holder.command} (pid ${holder.pid}${instance === undefined ? '' : `, instance ${instance}`})`;
}

/** Who has the port or socket where a spec should listen by itself. */
function describeTaken({ endpoint }: InstanceSpec, early: boolean, lines: readonly string[]): string | undefined {
  const said = portInLines(lines);
  const own = early && endpoint?.shared === undefined && endpoint?.kind === 'tcp' ? endpoint.port : undefined;
  const port = said ?? own;
  return port === undefined ? undefined : whoListens(port, `port ${port}`);
}

/** That the folder of a socket the program makes itself is missing or closed to it. */
export function describeSocketFolder({ endpoint }: InstanceSpec, identity: Identity): string | undefined {
  if (endpoint?.kind !== 'unix' || endpoint.owned || endpoint.shared !== undefined) return undefined;
  const folder = dirname(endpoint.path);
  if (mayWriteIn(folder, identity)) return undefined;
  const isThere = statSync(folder, { throwIfNoEntry: false }) !== undefined;
  return `${isThere ? `user ${identity.user.name} may not make its socket in ${folder}` : `the folder of its socket, ${folder}, does not exist`}; with socket: true Steward makes one that fits`;
}

/** What is known of a run that ended. */
export interface Ended {
  readonly spec: InstanceSpec;
  readonly identity: Identity | undefined;
  readonly exit: Exit;
  /** The kernel killed in its control group, because that was over its memory. */
  readonly outOfMemory: boolean;
  /** It never got as far as RUNNING. */
  readonly early: boolean;
  /** What lived on when its first process ended with code 0. */
  readonly strays: readonly Stray[];
  /** Its last lines, when it keeps ending; else none. */
  readonly lines: readonly string[];
}

/** Why it ended, by everything that can be seen; undefined when nothing can. */
export function explainEnd({ spec, identity, exit, outOfMemory, early, strays, lines }: Ended): string | undefined {
  const failed = exit.code !== 0;
  const reasons = [
    outOfMemory ? 'the kernel killed it: its tree was over limits.memory' : undefined,
    strays.length > 0 ? describeDaemon(spec.command, strays) : undefined,
    failed && strays.length === 0 ? describeTaken(spec, early, lines) : undefined,
    failed && identity !== undefined && early ? describeSocketFolder(spec, identity) : undefined,
    quoteLines(lines),
  ].filter((reason) => reason !== undefined);
  return reasons.length === 0 ? undefined : reasons.join('; ');
}

/** Rows as strays: what they are called is asked while they live. */
export const straysOf = (rows: readonly ProcessRow[]): Stray[] =>
  rows.flatMap(({ pid }) => {
    const command = commandLineOf(pid);
    return command === undefined ? [] : [{ pid, command }];
  });
