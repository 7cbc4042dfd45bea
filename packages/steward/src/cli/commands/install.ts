/** install, uninstall: a systemd unit that keeps the daemon up over reboots. Files are written and removed; what to run is told. */
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { formatProblems, hasErrors } from '../../config/problem.ts';
import { StewardError } from '../../errors.ts';
import type { Call, Command } from '../command.ts';
import { systemdUnit, unitMark } from '../systemd-unit.ts';
import { filesOf, load } from './config.ts';

const unitName = 'steward.service';

/** The launcher of this program: beside src/ in a checkout, beside dist/ in a package. */
function launcherFile(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); folder !== '/'; folder = dirname(folder)) {
    const file = join(folder, 'bin', 'steward');
    if (statSync(file, { throwIfNoEntry: false })?.isFile()) return file;
  }
  throw new StewardError('daemon/program', 'the launcher bin/steward is not above this program', {
    hint: 'Install Steward again: a part of it is missing.',
  });
}

interface Target {
  readonly isForUser: boolean;
  readonly file: string;
  /** `systemctl` or `systemctl --user`. */
  readonly control: string;
}

function targetOf({ values, io }: Call): Target {
  const isForUser = values.user === true;
  const folder = isForUser
    ? join(io.env.XDG_CONFIG_HOME ?? join(io.env.HOME ?? homedir(), '.config'), 'systemd/user')
    : '/etc/systemd/system';
  const root = typeof values.root === 'string' ? resolve(io.cwd, values.root) : '/';
  return { isForUser, file: join(root, folder, unitName), control: isForUser ? 'systemctl --user' : 'systemctl' };
}

/** sd_booted(3): this folder is there while systemd is the machine's first process. */
const runsSystemd = (): boolean => existsSync('/run/systemd/system');

function refuseWithoutSystemd({ values }: Call): void {
  if (values.root !== undefined || runsSystemd()) return;
  throw new StewardError('daemon/no-service-manager', 'this machine does not run systemd', {
    status: 400,
    hint: 'In a container make `steward up FILE` its command. Elsewhere let your init run `steward daemon --resume FILE`, or start `steward up -d FILE` at boot. --dry-run prints the unit, --root DIR writes it for another machine.',
  });
}

const isOurs = (file: string): boolean => readFileSync(file, 'utf8').startsWith(unitMark);

function refuseForeign(file: string): void {
  if (!existsSync(file) || isOurs(file)) return;
  throw new StewardError('daemon/not-ours', `${file} was not written by \`steward install\``, {
    status: 409,
    hint: 'Move it away if it is not needed.',
  });
}

/** The files to begin with, absolute and without errors; undefined, after telling, when they have some. */
function checkedFiles(call: Call): readonly string[] | undefined {
  const files = filesOf(call) ?? [];
  if (files.length === 0) return files;
  const { problems, sources } = load(files, call.io, call.state.sockets);
  if (problems.length > 0) call.io.err(`${formatProblems(problems, sources)}\n`);
  return hasErrors(problems) ? undefined : files;
}

/** Does what touches the disk. @throws StewardError with the reason in words. */
function touching<T>(file: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw new StewardError('daemon/state-folder', `${file} cannot be changed: ${(error as Error).message}`, {
      status: 400,
      hint: 'Run it as root, or with --user for a unit of your own.',
      cause: error,
    });
  }
}

export const install: Command = {
  name: 'install',
  usage: '[--user] [--dry-run] [--root DIR] [FILE...]',
  details:
    '  FILE is what the daemon applies when nothing was applied before; without one: the steward.yaml of the current folder, if there is one.\n      --user       for your own user, without root\n      --dry-run    print the unit and write nothing\n      --root DIR   write below DIR, as for an image',
  options: { user: { type: 'boolean' }, 'dry-run': { type: 'boolean' }, root: { type: 'string' } },
  takes: 'any',
  here: true,
  async run(call) {
    const { values, io, state } = call;
    const files = checkedFiles(call);
    if (files === undefined) return 2;
    const { isForUser, file, control } = targetOf(call);
    const text = systemdUnit({ launcher: launcherFile(), state: state.path, files, isForUser });
    if (values['dry-run']) {
      io.out(text.trimEnd());
      return 0;
    }
    refuseWithoutSystemd(call);
    refuseForeign(file);
    touching(file, () => {
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, text, { mode: 0o644 });
    });
    io.out(`wrote ${file}`);
    const daemon = await call.client.getStatus().catch(() => undefined);
    if (daemon !== undefined) io.out(`let the daemon that runs go first, its services run on: kill -USR2 ${daemon.pid}`);
    io.out(`now run:\n  ${control} daemon-reload\n  ${control} enable --now steward`);
    if (isForUser) io.out('  loginctl enable-linger    # so that it runs without you logged in');
    return 0;
  },
};

export const uninstall: Command = {
  name: 'uninstall',
  usage: '[--user] [--root DIR]',
  options: { user: { type: 'boolean' }, root: { type: 'string' } },
  takes: 'nothing',
  here: true,
  async run(call) {
    const { io } = call;
    const { isForUser, file, control } = targetOf(call);
    if (!existsSync(file)) {
      io.out(`there is no ${file}`);
      return 0;
    }
    refuseForeign(file);
    const wants = join(dirname(file), `${isForUser ? 'default' : 'multi-user'}.target.wants`, unitName);
    touching(file, () => {
      rmSync(wants, { force: true });
      rmSync(file);
    });
    io.out(`removed ${file}`);
    io.out(`now run:\n  ${control} daemon-reload`);
    const daemon = await call.client.getStatus().catch(() => undefined);
    if (daemon !== undefined) io.out('Steward and its services run on: `steward down` stops them');
    return 0;
  },
};
