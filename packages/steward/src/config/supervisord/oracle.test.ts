/**
 * Compares this reader with supervisord's own parser (cases/oracle.py), on written files and on damaged ones: what both
 * accept must mean the same, and what supervisord refuses must be an error here.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import type { Reading, Surroundings } from '../format.ts';
import { createRandom } from '../mutate.ts';
import { formatProblems } from '../problem.ts';
import type { ServiceSource } from '../sections/service.ts';
import { parseDuration, parseSize } from '../units.ts';
import { damage } from './cases/damage.ts';
import { readSupervisord } from './supervisord.ts';

const python = '/usr/bin/python3';
const present = spawnSync(python, ['-c', 'import supervisor.options']).status === 0;
// Under CI the comparison must not be lost silently: there the tests run and fail.
const skip = present || process.env.CI === 'true' ? false : 'supervisor is not installed for /usr/bin/python3';

const env: Record<string, string> = {
  PATH: '/usr/bin:/bin',
  HOME: '/root',
  WORDS: `-a 'b c' "d"`,
  PLAIN: 'plain',
  PERCENT: '50%',
  BRACES: '{{x}}',
  LANG: 'C.UTF-8',
};

interface Told {
  readonly error?: string;
  readonly processes?: readonly Record<string, unknown>[];
}

let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'supervisord-oracle-'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

let count = 0;

/** Writes each set of files (the first is the main one) into a folder of its own; gives the paths of the main files. */
function writeAll(sets: readonly (readonly string[])[]): string[] {
  return sets.map(([main = '', ...included]) => {
    const place = join(folder, String(count++));
    mkdirSync(join(place, 'conf.d'), { recursive: true });
    writeFileSync(join(place, 'supervisord.conf'), main);
    for (const [index, text] of included.entries()) writeFileSync(join(place, 'conf.d', `${index}.conf`), text);
    return join(place, 'supervisord.conf');
  });
}

function ask(paths: readonly string[]): Told[] {
  const oracle = join(import.meta.dirname, 'cases', 'oracle.py');
  const out = execFileSync(python, [oracle], {
    input: `${paths.join('\n')}\n`,
    env,
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  return out
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Told);
}

const around: Surroundings = {
  open: (pattern, from) =>
    globSync(pattern, { cwd: from })
      .map((file) => resolve(from, file))
      .filter((file) => statSync(file).isFile())
      .toSorted()
      .map((file) => ({ file, text: readFileSync(file, 'utf8') })),
  env,
  hostname: hostname(),
};

const read = (path: string): Reading => readSupervisord({ file: path, text: readFileSync(path, 'utf8') }, around);

/** Fills in a template as Steward will. */
function render(template: string, names: Readonly<Record<string, string | number>>): string {
  return template.replace(/\{\{\{\{|\{\{([^{}]*)\}\}/g, (whole, inner?: string) => {
    if (inner === undefined) return '{{';
    const [name = '', format] = inner.split(':');
    const value = name.startsWith('env.') ? env[name.slice(4)] : names[name];
    assert.notEqual(value, undefined, `no name ${whole}`);
    return format === undefined ? String(value) : String(value).padStart(Number(/^0(\d+)d$/.exec(format)?.[1]), '0');
  });
}

const users = new Map(
  readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => [line.split(':')[0] as string, Number(line.split(':')[2])]),
);
const signals: Readonly<Record<string, number>> = {
  HUP: 1,
  INT: 2,
  QUIT: 3,
  ABRT: 6,
  KILL: 9,
  USR1: 10,
  USR2: 12,
  PIPE: 13,
  ALRM: 14,
  TERM: 15,
  CONT: 18,
  STOP: 19,
  TTIN: 21,
  TTOU: 22,
  WINCH: 28,
};

function outputOf(output: ServiceSource['stdout'], fill: (template: string) => string): unknown {
  if (output?.file === 'none') return null;
  return [output?.file === undefined ? 'AUTO' : fill(output.file), parseSize(output?.maxSize ?? ''), output?.keep];
}

function processOf(service: ServiceSource, name: string, number: number, fileEnv: Record<string, unknown>): Record<string, unknown> {
  const instances = service.instances ?? 1;
  const names = { service: name, group: service.group ?? name, instance: number, instances, host: hostname() };
  const fill = (template: string): string => render(template, names);
  const variables = Object.entries({ ...fileEnv, ...service.env }).filter(([key]) => !key.startsWith('SUPERVISOR_'));
  return {
    group: names.group,
    name: service.instanceName === undefined ? (instances === 1 ? name : `${name}_${number}`) : fill(service.instanceName),
    argv: [service.run].flat().map(fill),
    cwd: service.cwd === undefined ? null : fill(service.cwd),
    umask: service.umask === undefined ? null : Number.parseInt(String(service.umask), 8),
    priority: service.group === undefined ? (service.priority ?? 999) : 'in a group',
    autostart: service.autostart ?? true,
    restart: service.restart,
    startsecs: (parseDuration(service.upAfter ?? '1s') ?? 0) / 1000,
    startretries: service.startRetries,
    stopsignal: signals[service.stop?.signal ?? ''],
    stopwaitsecs: (parseDuration(service.stop?.timeout ?? '') ?? 0) / 1000,
    stopasgroup: service.stop?.scope === 'group',
    killasgroup: service.stop?.killScope === 'group',
    exitcodes: service.expectedExitCodes,
    uid: service.user === undefined ? null : (users.get(service.user) ?? Number(service.user)),
    redirect_stderr: service.stderr === 'stdout',
    stdout: outputOf(service.stdout, fill),
    stderr: service.stderr === 'stdout' ? null : outputOf(service.stderr, fill),
    environment: Object.fromEntries(variables.map(([key, value]) => [key, fill(String(value))])),
  };
}

const byName = (a: Record<string, unknown>, b: Record<string, unknown>): number =>
  `${a.group}\n${a.name}` < `${b.group}\n${b.name}` ? -1 : 1;

function ours({ config }: Reading): Record<string, unknown>[] {
  return Object.entries(config.services ?? {})
    .flatMap(([name, service]) =>
      Array.from({ length: service.instances ?? 1 }, (_, index) =>
        processOf(service, name, (service.firstInstance ?? 1) + index, config.env ?? {}),
      ),
    )
    .toSorted(byName);
}

function theirs({ processes = [] }: Told): Record<string, unknown>[] {
  return processes
    .map(({ groupPriority: _, ...process }) => {
      const { stdout, stderr, environment } = process as { stdout: unknown[]; stderr: unknown[]; environment: object };
      const variables = Object.entries(environment).filter(([key]) => !key.startsWith('SUPERVISOR_'));
      return {
        ...process,
        stdout: stdout[0] === null ? null : stdout,
        stderr: stderr[0] === null ? null : stderr,
        environment: Object.fromEntries(variables),
      };
    })
    .toSorted(byName);
}

const errorsOf = (reading: Reading): string[] => reading.problems.filter(({ severity }) => severity === 'error').map(({ code }) => code);
const tell = (reading: Reading): string => formatProblems(reading.problems, reading.sources);

/** What both make of a file must be the same; the priority is left out where a group rules it. */
function same(told: Told, reading: Reading, path: string): void {
  const expected: readonly Record<string, unknown>[] = theirs(told);
  const found = ours(reading).map((process, index) =>
    process.priority === 'in a group' ? { ...process, priority: expected[index]?.priority } : process,
  );
  assert.deepEqual(found, expected, `${readFileSync(path, 'utf8')}\n${tell(reading)}`);
}

const head = '[supervisord]\n';
const accepted: readonly (readonly string[])[] = [
  [
    `${head}[program:aiohttp]\nnumprocs = 4\nnumprocs_start = 1\nprocess_name = example_%(process_num)s\n; comment\ncommand=python3.6 /srv/main.py --path=/srv/example_%(process_num)s.sock --port=808%(process_num)s\nuser=www-data\nautostart=true\nautorestart=true\n`,
  ],
  [`${head}[program:cut]\ncommand=echo "a" ; "b\nautostart = OFF ; no\nexitcodes=0,2 , 3 # more\nstopsignal = sigusr1\n`],
  [`${head}[program:hash]\ncommand=echo a;b #c ;d\n[program:both]\ncommand=echo x;y ;z # w\n`],
  [
    `${head}[program:lines]\ncommand=bash -c\n  'echo one\n   two'\n\n  three\npriority : 5\nENVIRONMENT = A=1,\n   B="two words",\n   C='x,y'\n`,
  ],
  [
    `${head}environment=ROOT="/srv",FROM="%(ENV_HOME)s",SAME="a"\n[program:env]\ncommand=%(ENV_ROOT)s/bin %(ENV_WORDS)s %(ENV_MINE)s\nenvironment=MINE="m %(process_num)d",SAME="%(ENV_ROOT)s",QUOTED='"q"',BARE=/a.b+c-(d):e,EMPTY="",PERCENT="100%%"\ndirectory=%(ENV_MINE)s/x\n`,
  ],
  [
    `${head}[program:numbers]\ncommand=x %(process_num)03d %(process_num)d %(process_num).2d %(numprocs)s %(numprocs)03d %% %(program_name)s-%(program_name).3s|%(group_name)s %(host_node_name)s\nnumprocs=3\nnumprocs_start=9\nprocess_name=%(program_name)s_%(process_num)02d\nstdout_logfile=/tmp/%(program_name)s-%(process_num)d.log\n`,
  ],
  [
    `${head}[program:logs]\ncommand=x\nstdout_logfile=NONE\nstderr_logfile=/tmp/e.log\nstderr_logfile_maxbytes=1gb\nstderr_logfile_backups=0\n[program:logs2]\ncommand=x\nstdout_logfile=Auto\nstdout_logfile_maxbytes=10 KB\nredirect_stderr=yes\nstderr_logfile=/tmp/ignored\n[program:logs3]\ncommand=x\nstdout_logfile=/tmp/%%%%20.log\nstderr_logfile=\n[program:logs4]\ncommand=x\nstdout_logfile=~/out.log\nstdout_logfile_maxbytes=0\n`,
  ],
  [
    `${head}[program:stop]\ncommand=x\nstopasgroup=1\nstopwaitsecs=1_0\nstopsignal=9\numask=0o27\nstartsecs=0\nstartretries= 7\n[program:kill]\ncommand=x\nkillasgroup=On\nautorestart=Unexpected\nexitcodes=\numask=002\n`,
  ],
  [
    `${head}[group:pair]\nprograms=a, b\npriority=5\n[program:a]\ncommand=x %(group_name)s\npriority=1\n[program:b]\ncommand=y\n[program:c]\ncommand=z\npriority=3\n`,
  ],
  [`${head}[fcgi-program:f]\ncommand=x\nsocket=unix:///tmp/%(program_name)s.sock\nnumprocs=2\nprocess_name=f%(process_num)d\n`],
  [
    `${head}[program:two]\ncommand=x\nautostart=false\n[program:two]\ncommand=y\nuser=0\nuser=nobody\n[DEFAULT]\nstartsecs=4\n[program:three]\ncommand=z %(here)s\n`,
  ],
  [
    `${head}[include]\nfiles = conf.d/*.conf %(here)s/conf.d/1.conf\n  nowhere/*\n`,
    '[program:inner]\ncommand=%(here)s/run\n',
    '[program:inner2]\ncommand=a {{b}} {{{ "{"{ %(ENV_BRACES)s {%(process_num)d}\n[include]\nfiles=x\n',
  ],
  [`${head}\r\n[program:crlf]\r\ncommand=x \\\r\n  y "a\\\\b" 'c\\d' e\\ f "g\\h"\r\nautostart=true\r\n`],
  [`${head}[program: spaced]\ncommand=x\n[program:zero]\ncommand=x\nnumprocs=0\n[program:tab]\tcommand\n\tcommand\t=\tx\ty\n`],
];

test('a file that supervisord accepts means the same here', { skip }, () => {
  const paths = writeAll(accepted);
  for (const [index, told] of ask(paths).entries()) {
    const path = paths[index] as string;
    const reading = read(path);
    assert.equal(told.error, undefined, path);
    assert.deepEqual(errorsOf(reading), [], tell(reading));
    same(told, reading, path);
  }
});

const refused: readonly string[] = [
  'command=x\nautostart=maybe',
  'command=x\nnumprocs=2',
  'command=x\nnumprocs=two',
  'command=x\nexitcodes=0,256',
  'command=x\nexitcodes=0,,1',
  'command=x\nstopsignal=NOPE',
  'command=x\nstopsignal=35',
  'command=x\nstopasgroup=true\nkillasgroup=false',
  'command=x\nautorestart=sometimes',
  'command=x\numask=9',
  'command=x\nstdout_logfile_maxbytes=1.5MB',
  'command=x\nstdout_logfile_maxbytes=5TB',
  'command=x\nenvironment=A="b',
  'command=x\nenvironment=A=b c=d',
  'command=x\nenvironment=A=a@b',
  'command=x\nenvironment=A',
  'command=x\nenvironment=A=',
  'command=x %d',
  'command=x %(nothing)s',
  'command=x %(ENV_LOST)s',
  'command=x %(program_name)d',
  'command=x %(program_name',
  'command=x 100%',
  'command=x\nuser=%(process_num)d',
  'command=x\nprocess_name=a:b',
  'command=x\nstdout_logfile=/tmp/%%d',
  'autostart=true',
  'command',
  '=x',
];

test('what supervisord refuses is an error here', { skip }, () => {
  const paths = writeAll(refused.map((text) => [`${head}[program:x]\n${text}\n`]));
  for (const [index, told] of ask(paths).entries()) {
    const text = refused[index] as string;
    assert.notEqual(told.error, undefined, text);
    assert.notDeepEqual(errorsOf(read(paths[index] as string)), [], text);
  }
});

/** Refusals that depend on the machine, which a pure reader cannot see, on sections that Steward does not read, or on a byte order mark. */
const beyondUs =
  /does not exist|for 'supervisord\.(?!umask|user)|existing directory|Invalid user|user:group|supervisord section|sockchown|chmod|rpcinterface|http_server|eventlistener|logging level|decode|embedded null|'\\ufeff/;

test('damaged files are understood alike, and what supervisord refuses is never accepted', { skip }, () => {
  const random = createRandom(Number(process.env.ORACLE_SEED ?? 20260928));
  const rounds = Number(process.env.ORACLE_ROUNDS ?? 600);
  const damaged = Array.from({ length: rounds }, (_, index) =>
    (accepted[index % accepted.length] as readonly string[]).map((text) => damage(text, random)),
  );
  const paths = writeAll(damaged);
  let compared = 0;
  for (const [index, told] of ask(paths).entries()) {
    const path = paths[index] as string;
    const reading = read(path);
    const errors = errorsOf(reading);
    const shown = `${damaged[index]?.join('\n=====\n')}\n${told.error ?? ''}\n${tell(reading)}`;
    // supervisord with an [include] fills in %%(here)s although its percent sign is escaped, and stumbles over the result.
    if (shown.includes('%%(here)s')) continue;
    if (told.error !== undefined) assert.ok(errors.length > 0 || beyondUs.test(told.error), shown);
    else if (errors.length === 0) {
      same(told, reading, path);
      compared++;
    }
  }
  assert.ok(compared > rounds / 4, `only ${compared} of ${rounds} could be compared`);
});
