/**
 * The state directory: everything that outlives the daemon is in it, and one daemon at a time owns it.
 *
 *   state.db  secret.key  secrets.key  control.sock  daemon.log       0600: the daemon's own
 *   secrets/ 0711 values of secrets as files, while a run lasts, where /run is not in memory
 *   io/ 0700 pipes and keeper   logs/ 0750   authority/ 0700   acme/ 0700   gateway/ 0700 the workers' table   sockets/ 0711 by service   notify/ 0711 sd_notify
 */
import { randomBytes } from 'node:crypto';
import { chmodSync, closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { StewardError } from './errors.ts';
import { lockFile, longestSocketPath } from './kernel/kernel.ts';

export interface StateFolder {
  readonly path: string;
  readonly database: string;
  readonly controlSocket: string;
  readonly daemonLog: string;
  readonly io: string;
  readonly logs: string;
  readonly authority: string;
  readonly acme: string;
  readonly gateway: string;
  readonly sockets: string;
  readonly notify: string;
}

/** Where it is: `given`, else $STEWARD_STATE, else /var/lib/steward for root and ~/.local/state/steward for others. */
export function stateFolderAt(given: string | undefined): StateFolder {
  const chosen =
    given ??
    process.env.STEWARD_STATE ??
    (process.getuid?.() === 0 ? '/var/lib/steward' : join(process.env.XDG_STATE_HOME ?? join(homedir(), '.local/state'), 'steward'));
  const path = resolve(chosen);
  const at = (name: string): string => join(path, name);
  return {
    path,
    database: at('state.db'),
    controlSocket: at('control.sock'),
    daemonLog: at('daemon.log'),
    io: at('io'),
    logs: at('logs'),
    authority: at('authority'),
    acme: at('acme'),
    gateway: at('gateway'),
    sockets: at('sockets'),
    notify: at('notify'),
  };
}

function makeFolders(state: StateFolder): void {
  const modes: [string, number][] = [
    [state.path, 0o711],
    [state.io, 0o700],
    [state.logs, 0o750],
    [state.authority, 0o700],
    [state.acme, 0o700],
    [state.gateway, 0o700],
    [state.sockets, 0o711],
    [state.notify, 0o711],
  ];
  for (const [path, mode] of modes) {
    mkdirSync(path, { recursive: true, mode });
    chmodSync(path, mode);
  }
}

/** A key that only this installation knows; made once. */
export function secretKeyIn(state: StateFolder): string {
  const file = join(state.path, 'secret.key');
  try {
    return readFileSync(file, 'utf8');
  } catch {
    const key = randomBytes(32).toString('base64url');
    writeFileSync(file, key, { mode: 0o600, flag: 'wx' });
    return key;
  }
}

export interface Claim {
  release(): void;
}

/** Makes the folder and takes it for this process. @throws StewardError when another daemon has it or it cannot be made. */
export function claimState(state: StateFolder): Claim {
  if (Buffer.byteLength(state.controlSocket) > longestSocketPath) {
    throw new StewardError(
      'daemon/state-path',
      `the path ${state.controlSocket} is longer than ${longestSocketPath} bytes, the most a unix socket may have`,
      { status: 400, hint: 'Give a shorter folder with --state.' },
    );
  }
  let lock: number;
  try {
    makeFolders(state);
    lock = openSync(join(state.path, 'daemon.lock'), 'a+', 0o600);
  } catch (error) {
    throw new StewardError('daemon/state-folder', `the state directory ${state.path} cannot be used: ${(error as Error).message}`, {
      status: 400,
      hint: 'Give another one with --state DIR or STEWARD_STATE.',
      cause: error,
    });
  }
  if (!lockFile(lock)) {
    throw new StewardError(
      'daemon/already-running',
      `a Steward daemon (pid ${readFileSync(join(state.path, 'daemon.lock'), 'utf8').trim()}) already uses ${state.path}`,
      { status: 409, hint: 'Speak to it with the other commands, or give another folder with --state.' },
    );
  }
  ftruncateSync(lock, 0);
  writeSync(lock, `${process.pid}\n`, 0);
  return { release: () => closeSync(lock) };
}
