/** The command line: finds the command, reads its options, runs it, and turns what went wrong into words and an exit code. */
import { parseArgs } from 'node:util';
import { createClient, RequestRefused, Unreachable } from '@steward/sdk/client';
import { didYouMean } from '../config/near.ts';
import type { ErrorCode } from '../error-codes.ts';
import { StewardError } from '../errors.ts';
import { stateFolderAt } from '../state-folder.ts';
import { type Command, type CommandEntry, type Io, targetOf } from './command.ts';

const running = () => import('./commands/up.ts');
const instances = () => import('./commands/instances.ts');
const services = () => import('./commands/services.ts');
const output = () => import('./commands/logs.ts');
const files = () => import('./commands/config.ts');
const other = () => import('./commands/other.ts');
const people = () => import('./commands/people.ts');

const commands: readonly CommandEntry[] = [
  {
    name: 'up',
    summary: 'runs the services and sites of files (steward.yaml, supervisord, nginx, Apache, in any mix)',
    load: async () => (await running()).up,
  },
  { name: 'down', summary: 'stops all services in order, then Steward', load: async () => (await running()).down },
  {
    name: 'ps',
    summary: 'shows what runs: state, pid, uptime, cpu, memory, restarts, last log line',
    load: async () => (await instances()).ps,
  },
  {
    name: 'logs',
    summary: 'shows what services wrote, merged by time; -f goes on with what comes',
    load: async () => (await output()).logs,
  },
  { name: 'start', summary: 'starts instances, also those stopped by hand', load: async () => (await instances()).start },
  {
    name: 'stop',
    summary: 'stops instances; they stay stopped, also after a reboot, until somebody starts them',
    load: async () => (await instances()).stop,
  },
  { name: 'restart', summary: 'stops and starts instances', load: async () => (await instances()).restart },
  {
    name: 'reload',
    summary: 'replaces the instances of services one after the other, without a gap',
    load: async () => (await services()).reload,
  },
  { name: 'scale', summary: 'changes how many instances a service has', load: async () => (await services()).scale },
  {
    name: 'run',
    summary: "runs a command once in a service's environment, under Steward",
    load: async () => (await services()).run,
  },
  { name: 'exec', summary: "runs a command in a service's environment, in this terminal", load: async () => (await services()).exec },
  {
    name: 'signal',
    summary: 'sends a signal (HUP, USR1, ...) to the processes of instances',
    load: async () => (await instances()).signal,
  },
  {
    name: 'plan',
    summary: 'shows what an apply would start, restart, stop and leave, and why; changes nothing',
    load: async () => (await files()).plan,
  },
  {
    name: 'apply',
    summary: 'does exactly what the plan says; a file with errors changes nothing',
    load: async () => (await files()).apply,
  },
  {
    name: 'check',
    summary: 'tells every problem of the files, with line and column; exit 2 when there are errors',
    load: async () => (await files()).check,
  },
  {
    name: 'history',
    summary: 'shows the configurations that were applied: when, by whom, what each changed; with a number its texts',
    load: async () => (await import('./commands/history.ts')).history,
  },
  {
    name: 'rollback',
    summary: 'writes the texts of an earlier configuration over the files and applies them',
    load: async () => (await import('./commands/history.ts')).rollback,
  },
  {
    name: 'import',
    summary: 'prints supervisord, nginx and Apache files as one steward.yaml; what it cannot take over is told',
    load: async () => (await files()).importCommand,
  },
  { name: 'events', summary: 'shows what happened and why; -f goes on with what comes', load: async () => (await output()).events },
  {
    name: 'top',
    summary: 'shows what runs, or with --sites what goes through the gateway, again every second',
    load: async () => (await import('./commands/top.ts')).top,
  },
  {
    name: 'boot',
    summary: 'runs the boot list of this host, or shows how far it is',
    load: async () => (await import('./commands/boot.ts')).boot,
  },
  {
    name: 'secret',
    summary: 'stores what services need and nobody is to see: set, list, rm, rekey',
    load: async () => (await import('./commands/secret.ts')).secret,
  },
  { name: 'admin', summary: 'adds a super admin: create NAME', load: async () => (await people()).admin },
  {
    name: 'user',
    summary: 'who may use Steward: list, add, roles, disable, enable, reset, rm, redeem',
    load: async () => (await people()).user,
  },
  { name: 'token', summary: 'what programs use in place of a password: create, list, rm', load: async () => (await people()).token },
  { name: 'session', summary: 'who is logged in: list, revoke', load: async () => (await people()).session },
  {
    name: 'audit',
    summary: 'shows who did what; verify, export',
    load: async () => (await import('./commands/audit.ts')).audit,
  },
  { name: 'ca', summary: 'prints the certificate of the local authority that `tls: internal` uses', load: async () => (await other()).ca },
  {
    name: 'version',
    summary: 'prints the versions of this program, of Node, and of the daemon that runs',
    load: async () => (await other()).version,
  },
  {
    name: 'upgrade-daemon',
    summary: 'makes the daemon that runs the program of this command; services run on',
    load: async () => (await import('./commands/upgrade.ts')).upgradeDaemon,
  },
  {
    name: 'install',
    summary: 'writes a systemd unit, so that Steward runs after a reboot',
    load: async () => (await import('./commands/install.ts')).install,
  },
  { name: 'uninstall', summary: 'takes that unit away', load: async () => (await import('./commands/install.ts')).uninstall },
  { name: 'daemon', summary: 'runs the daemon itself', hidden: true, load: async () => (await running()).daemon },
];

const everywhere = {
  help: { type: 'boolean', short: 'h' },
  state: { type: 'string' },
  url: { type: 'string' },
  'token-file': { type: 'string' },
} as const;

function overview(): string {
  const rows = commands.filter(({ hidden }) => !hidden).map(({ name, summary }) => `  ${name.padEnd(14)} ${summary}`);
  return [
    'steward COMMAND [OPTIONS] [NAME...]',
    '',
    ...rows,
    '',
    '  --state DIR  the state directory (default: $STEWARD_STATE, else /var/lib/steward for root, ~/.local/state/steward for others)',
    '  --url URL    a Steward on another machine, with a token in $STEWARD_TOKEN or --token-file F (default: $STEWARD_URL; $STEWARD_CA: its authority)',
    '  -h, --help   of the command',
    '',
    'Exit codes: 0 done, 1 failed, 2 your input, 3 cannot reach Steward.',
  ].join('\n');
}

const helpOf = ({ summary }: CommandEntry, { name, usage, details }: Command): string =>
  [`steward ${name} ${usage}`.trimEnd(), `  ${summary}`, ...(details ? ['', details] : [])].join('\n');

function usageError(command: Command, message: string): StewardError {
  return new StewardError('cli/usage', message, { status: 400, hint: `steward ${command.name} ${command.usage}` });
}

/** A number with a minus is no option: `steward scale web -1`. */
const isNegative = /^-\d+$/;
const shielded = '\0';
const unshielded = (word: string): string => (word.startsWith(shielded) ? word.slice(1) : word);

function readOptions(command: Command, words: readonly string[]) {
  try {
    const { values, positionals } = parseArgs({
      args: words.map((word) => (isNegative.test(word) ? shielded + word : word)),
      options: { ...everywhere, ...command.options },
      allowPositionals: true,
    });
    return { values: values as Record<string, string | boolean | undefined>, positionals: positionals.map(unshielded) };
  } catch (error) {
    throw usageError(
      command,
      (error as Error).message.replace(/\. To specify.*$/s, '').replace(/^./, (char) => char.toLowerCase()),
    );
  }
}

async function runCommand(entry: CommandEntry, words: readonly string[], io: Io): Promise<number> {
  const command = await entry.load();
  const { values, positionals } = readOptions(command, words);
  if (values.help) {
    io.out(helpOf(entry, command));
    return 0;
  }
  if (command.takes === 'nothing' && positionals.length > 0)
    throw usageError(command, `${command.name} takes no names, and got "${positionals[0]}"`);
  if (command.takes === 'some' && positionals.length === 0) throw usageError(command, `${command.name} needs at least one name`);
  const state = stateFolderAt(values.state as string | undefined);
  const target = targetOf(values, io.env, state);
  if ('url' in target && command.here) throw usageError(command, `${command.name} is done on the machine itself, not by --url`);
  try {
    return await command.run({ values, positionals, io, state, client: createClient(target) });
  } catch (error) {
    if (!(error instanceof Unreachable && 'url' in target)) throw error;
    io.err(unreachable(target.url, error));
    return 3;
  }
}

/** What keeps a Steward elsewhere from answering. */
function unreachable(url: string, { message }: Unreachable): string {
  const code: ErrorCode = 'cli/no-daemon';
  const hint = /certificate|self-signed/.test(message)
    ? '\n  With `tls: internal`, put what `steward ca` prints there into a file, and its name into $STEWARD_CA.'
    : '';
  return `no Steward answers at ${url}: ${message}  [${code}]${hint}`;
}

/** Says what went wrong; the exit code that goes with it. */
function tell(error: unknown, io: Io): number {
  if (error instanceof Unreachable) {
    const code: ErrorCode = 'cli/no-daemon';
    io.err(`no Steward daemon answers: start one with \`steward up\`, or name its state directory with --state  [${code}]`);
    return 3;
  }
  if (error instanceof StewardError || error instanceof RequestRefused) {
    const details = error instanceof RequestRefused ? error.body : error.details;
    if (typeof details.problemsText === 'string' && details.problemsText !== '') io.err(`${details.problemsText}\n`);
    io.err(`steward: ${error.message}  [${error.code}]${error.hint === undefined ? '' : `\n  ${error.hint}`}`);
    return error.status < 500 ? 2 : 1;
  }
  io.err(`steward: this is a bug: ${(error as Error)?.stack ?? error}`);
  return 1;
}

/** Runs one command line. @returns the exit code. */
export async function main(words: readonly string[], io: Io): Promise<number> {
  const [name, ...rest] = words;
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    const command = commands.find((candidate) => candidate.name === rest[0]);
    io.out(command === undefined ? overview() : helpOf(command, await command.load()));
    return name === undefined ? 2 : 0;
  }
  const command = commands.find((candidate) => candidate.name === (name === '--version' ? 'version' : name));
  try {
    if (command === undefined)
      throw new StewardError('cli/usage', `there is no command "${name}"`, {
        status: 400,
        hint: `\`steward help\` lists them.${didYouMean(
          name,
          commands.map((known) => known.name),
        )}`,
      });
    return await runCommand(command, rest, io);
  } catch (error) {
    return tell(error, io);
  }
}

if (import.meta.main) {
  // A reader that went away (`steward logs | head`) is the end, not an error; for what runs on it is a hang-up.
  const hangUp = (): void => {
    if (process.listenerCount('SIGHUP') > 0) process.emit('SIGHUP');
    else process.exit(0);
  };
  process.stdout.on('error', hangUp);
  process.stderr.on('error', hangUp);
  const io: Io = {
    out: (text) => void process.stdout.write(`${text}\n`),
    err: (text) => void process.stderr.write(`${text}\n`),
    cwd: process.cwd(),
    env: process.env,
    isTerminal: Boolean(process.stdout.isTTY) && process.env.NO_COLOR === undefined,
    columns: process.stdout.columns ?? 0,
  };
  const code = await main(process.argv.slice(2), io);
  // An exit would cut off what a slow reader has not taken yet.
  await Promise.all([process.stdout, process.stderr].map((stream) => new Promise((resolve) => stream.write('', resolve))));
  process.exit(code);
}
