/** The same file under the real supervisord and under Steward: the same instances end in the same states. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { newPlace, type Place, run, until } from './harness.ts';

const missing = existsSync('/usr/bin/supervisord') ? false : 'Debian package supervisor is not installed';
if (missing && process.env.CI === 'true') throw new Error(missing);

const program = (name: string, command: string, ...options: string[]): string =>
  `[program:${name}]\ncommand=${command}\n${options.join('\n')}\n\n`;

/** Runs long enough to be RUNNING, then ends. One process, since supervisord stops no children. */
const endsWith = (code: number): string => `/usr/bin/python3 -c "import sys, time; time.sleep(1.5); sys.exit(${code})"`;

/** Programs that show every state and rule within ten seconds. */
const programs = [
  program('plain', 'sleep 1000'),
  program(
    'numbered',
    'sh -c "echo I am %(program_name)s %(process_num)02d of %(numprocs)d; exec sleep 1000"',
    'numprocs=3',
    'numprocs_start=1',
    'process_name=%(program_name)s_%(process_num)02d',
  ),
  program('fatal', 'sh -c "exit 1"', 'startretries=1'),
  program('early-success', 'true', 'startretries=1', 'autorestart=false'),
  program('missing', '/no/such/program', 'startretries=0'),
  program('expected', endsWith(2), 'exitcodes=0,2'),
  program('once', endsWith(3), 'autorestart=false'),
  program('instant', 'true', 'startsecs=0', 'autorestart=false'),
  program('manual', 'sleep 1000', 'autostart=false'),
  program('again', endsWith(3)),
  program(
    'environment',
    `sh -c 'echo "$A|$B|$SUPERVISOR_ENABLED|$SUPERVISOR_PROCESS_NAME|$SUPERVISOR_GROUP_NAME"; exec sleep 1000'`,
    `environment=A="a;b c",B='x y',C=%(here)s`,
  ),
  program('merged', 'sh -c "echo out; echo err >&2; exec sleep 1000"', 'redirect_stderr=true', 'stdout_logfile=%(here)s/merged.log'),
  program('member', 'sleep 1000'),
  '[group:team]\nprograms=member,manual2\n\n',
  program('manual2', 'sleep 1000', 'autostart=false'),
].join('');

/** `group:name` or `name` → state; FATAL programs that still retry are waited for. */
const settled = (states: Map<string, string>): boolean =>
  [...states.values()].every((state) => !['STARTING', 'BACKOFF', 'STOPPING'].includes(state)) &&
  states.get('once') === 'EXITED' &&
  states.get('expected') === 'EXITED';

test('every state and log is what the real supervisord makes of the same file', { skip: missing }, async (t) => {
  const place = newPlace(t);
  const conf = place.write('supervisord.conf', programs);
  const theirs = join(place.folder, 'theirs.conf');
  const socket = join(place.folder, 's.sock');
  writeFileSync(
    theirs,
    `[supervisord]\nnodaemon=true\nlogfile=${place.folder}/d.log\npidfile=${place.folder}/d.pid\nchildlogdir=${place.folder}\n[unix_http_server]\nfile=${socket}\n[supervisorctl]\nserverurl=unix://${socket}\n[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n\n${programs.replace('merged.log', 'merged-theirs.log')}`,
  );
  const daemon = spawn('/usr/bin/supervisord', ['-c', theirs], { cwd: place.folder, stdio: 'ignore' });
  const ended = new Promise((resolve) => daemon.once('exit', resolve));
  try {
    await compare(place, conf, theirs);
  } finally {
    daemon.kill('SIGTERM');
    await ended;
  }
});

async function compare(place: Place, conf: string, theirs: string): Promise<void> {
  await place.steward('up', '-d', conf); // ends with 1, since some are meant to fail

  const their = async (): Promise<Map<string, string>> => {
    const { out } = await run('/usr/bin/supervisorctl', ['-c', theirs, 'status']);
    return new Map(
      out.split('\n').flatMap((line) => (/^\S+ +[A-Z]+/.test(line) ? [line.split(/ +/).slice(0, 2) as [string, string]] : [])),
    );
  };
  const ours = async (): Promise<Map<string, string>> => new Map((await place.ps()).map(({ id, state }) => [id, state]));
  // `again` runs and ends for ever: it is in STARTING or RUNNING in both, and compared by its restarts.
  const without = (states: Map<string, string>): Map<string, string> =>
    new Map([...states].filter(([name]) => name !== 'again').toSorted(([a], [b]) => (a < b ? -1 : 1)));
  const [expected, found] = await until('both have come to rest', async () => {
    const both = [without(await their()), without(await ours())] as const;
    return both.every((states) => states.size > 5 && settled(states)) && both;
  });
  assert.deepEqual(found, expected);
  assert.ok((await place.instance('again')).restarts >= 1);

  const first = (file: string): string => readFileSync(file, 'utf8').split('\n')[0] as string;
  const theirLog = (name: string): string =>
    first(join(place.folder, readdirSync(place.folder).find((file) => file.startsWith(`${name}-stdout`)) as string));
  for (const name of ['environment', 'numbered_02']) {
    const own = name === 'environment' ? 'environment' : 'numbered:numbered_02';
    assert.equal(first(join(place.state, 'logs', `${own}.log`)), theirLog(name), `what ${name} wrote`);
  }
  assert.equal(readFileSync(join(place.folder, 'merged.log'), 'utf8'), readFileSync(join(place.folder, 'merged-theirs.log'), 'utf8'));
}
