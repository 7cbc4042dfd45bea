/**
 * Debian's own supervisorctl asks Steward and the real supervisord the same things, both under the same file: what it prints and
 * how it ends is compared line by line, with nothing but pids, times and uptimes put aside.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { freePort, isRunning, kill, newPlace, type Outcome, type Place, run, until } from './harness.ts';

const missing = existsSync('/usr/bin/supervisorctl') ? false : 'Debian package supervisor is not installed';
if (missing && process.env.CI === 'true') throw new Error(missing);

const sides = ['ours', 'theirs'] as const;
type Side = (typeof sides)[number];

const head = `[supervisord]
nodaemon=true
logfile=%(here)s/d.log
pidfile=%(here)s/d.pid
childlogdir=%(here)s
[unix_http_server]
file=%(here)s/s.sock
chmod=0770
[inet_http_server]
port=127.0.0.1:PORT
username=ops
password={SHA}5bcaff7f22ff533ca099b3408ead876c0ebba9a7
[supervisorctl]
serverurl=unix://%(here)s/s.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
`;
/** What the SHA-1 in `head` is of. */
const password = 'open sesame';

/**
 * supervisorctl's own code, loaded once: a line is a command, and its exit code follows. A line that begins with ! is an expression
 * over the XML-RPC proxy `s`.
 */
const driver = `
import sys
from supervisor.compat import xmlrpclib
from supervisor.options import ClientOptions
from supervisor.supervisorctl import Controller
for line in iter(sys.stdin.readline, ''):
    options = ClientOptions()
    options.realize(['-c', sys.argv[1]] + line.split())
    controller = Controller(options)
    if line.startswith('!'):
        try:
            print(repr(eval(line[1:], {'s': options.getServerProxy(), 'x': xmlrpclib})))
        except xmlrpclib.Fault as fault:
            print('fault', fault.faultCode, fault.faultString)
        except xmlrpclib.ProtocolError as error:
            print('HTTP', error.errcode)
    else:
        controller.onecmd(' '.join(options.args))
    print('\\x1e%d' % controller.exitstatus, flush=True)
`;

interface Asked {
  readonly code: number;
  readonly out: string;
}

/** A supervisorctl that takes one command after the other. */
function newDriver(conf: string): { ask(line: string): Promise<Asked>; stop(): void } {
  const child = spawn('/usr/bin/python3', ['-u', '-c', driver, conf], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, LC_ALL: 'C.UTF-8' },
  });
  let text = '';
  let wake: () => void = () => {};
  child.stdout.on('data', (chunk) => {
    text += chunk;
    wake();
  });
  child.once('exit', () => wake());
  return {
    async ask(line) {
      child.stdin.write(`${line}\n`);
      for (;;) {
        const [whole, out = '', code] = /^(.*?)\x1e(\d+)\n/s.exec(text) ?? [];
        if (whole !== undefined) {
          text = text.slice(whole.length);
          return { code: Number(code), out };
        }
        if (child.exitCode !== null) return assert.fail(`supervisorctl ended at "${line}": ${text}`);
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    stop: () => void child.stdin.end(),
  };
}

const program = (name: string, command: string, ...options: string[]): string =>
  `[program:${name}]\ncommand=${command}\n${options.join('\n')}\n\n`;

const sleeps = '/usr/bin/sleep 1000';
const quick = 'startsecs=0';
const talks = 'sh -c "echo first line; echo second line; echo complaint >&2; exec sleep 1000"';
const team = '[group:team]\nprograms=one,two\n\n';

const steady = program('steady', sleeps);
const silent = program('silent', sleeps, quick, 'stdout_logfile=NONE', 'stderr_logfile=NONE');
const others = [
  program('plain', talks, quick),
  program('numbered', sleeps, quick, 'numprocs=3', 'process_name=%(program_name)s_%(process_num)02d'),
  program('fatal', 'sh -c "echo oh; exit 1"', 'startretries=0'),
  program('missing', '/no/such/program', 'startretries=0'),
  program('folder', '/usr', 'startretries=0'),
  program('ended', '/usr/bin/true', quick, 'autorestart=false'),
  program('manual', sleeps, quick, 'autostart=false', 'priority=5'),
  program('merged', 'sh -c "echo out; echo err >&2; exec sleep 1000"', quick, 'redirect_stderr=true', 'stdout_logfile=%(here)s/merged.log'),
  program('one', sleeps, quick),
  program('two', sleeps, quick),
  team,
].join('');

interface Both {
  readonly place: Place;
  /** The folder of a side, with its supervisord.conf. */
  folder(side: Side): string;
  port(side: Side): number;
  /** Gives both the same programs. */
  write(text: string): void;
  /** Asks both and compares. Gives what was said, neutralised. */
  same(line: string, look?: (asked: Asked) => unknown): Promise<Asked>;
  each(line: string): Promise<readonly [Asked, Asked]>;
  /** Asks both, and waits for neither. */
  begin(line: string): readonly [Promise<Asked>, Promise<Asked>];
  /** The real program, asking Steward alone. */
  ours(...words: string[]): Promise<Outcome>;
  /** The real program, in a process of its own; PORT stands for the port of the side. */
  sameProgram(...words: string[]): Promise<Outcome>;
}

async function bothAt(t: TestContext, text: string): Promise<Both> {
  const place = newPlace(t);
  const folder = (side: Side): string => join(place.folder, side);
  const file = (side: Side): string => join(folder(side), 'supervisord.conf');
  const ports = { ours: await freePort(), theirs: await freePort() };
  for (const side of sides) mkdirSync(folder(side));
  const write = (next: string): void => {
    for (const side of sides) writeFileSync(file(side), head.replace('PORT', String(ports[side])) + next);
  };
  /** What differs although the answer is the same. */
  const neutral = (said: string, side: Side): string =>
    said
      .replaceAll(folder(side), '/HERE')
      .replaceAll(String(ports[side]), 'PORT')
      .replace(/pid \d+/g, 'pid N')
      .replace(/uptime (\d+ days?, )?\d+:\d\d:\d\d/g, 'uptime T')
      .replace(/[A-Z][a-z]{2} \d\d \d\d:\d\d [AP]M/g, 'DATE');
  write(text);
  const daemon = spawn('/usr/bin/supervisord', ['-c', file('theirs')], { cwd: folder('theirs'), stdio: 'ignore' });
  const ended = new Promise((resolve) => daemon.once('exit', resolve));
  const drivers = { ours: newDriver(file('ours')), theirs: newDriver(file('theirs')) };
  t.after(async () => {
    for (const side of sides) drivers[side].stop();
    daemon.kill('SIGTERM');
    await ended;
  });
  await place.steward('up', '-d', file('ours')); // ends with 1, since some are meant to fail
  const ask = async (side: Side, line: string): Promise<Asked> => {
    const { code, out } = await drivers[side].ask(line);
    return { code, out: neutral(out, side) };
  };
  const begin = (line: string): readonly [Promise<Asked>, Promise<Asked>] => [ask('ours', line), ask('theirs', line)];
  const each = (line: string): Promise<readonly [Asked, Asked]> => Promise.all(begin(line));
  return {
    place,
    folder,
    port: (side) => ports[side],
    write,
    begin,
    each,
    async same(line, look = (asked) => asked) {
      const [ours, theirs] = await each(line);
      assert.deepEqual(look(ours), look(theirs), `supervisorctl ${line}`);
      return ours;
    },
    ours: (...words) => run('/usr/bin/supervisorctl', ['-c', file('ours'), ...words]),
    async sameProgram(...words) {
      const [ours, theirs] = await Promise.all(
        sides.map(async (side) => {
          const here = words.map((word) => word.replace('PORT', String(ports[side])));
          const { code, out, err } = await run('/usr/bin/supervisorctl', ['-c', file(side), ...here]);
          return { code, out: neutral(out, side), err: neutral(err, side) };
        }),
      );
      assert.deepEqual(ours, theirs, `supervisorctl ${words.join(' ')}`);
      return ours as Outcome;
    },
  };
}

/** Several at once are told as they are done, in an order that is chance. */
const manyAtOnce = /^(stop|restart) .*(\*|all| .* )/;
const anyOrder = ({ code, out }: Asked): unknown => [code, out.split('\n').toSorted()];

const isSettled = ({ out }: Asked): boolean => /fatal +FATAL/.test(out) && !/STARTING|BACKOFF|STOPPING/.test(out);

const atRest = ({ each }: Both): Promise<unknown> => until('both have come to rest', async () => (await each('status')).every(isSettled));

/** Sends bytes to the XML-RPC path of a side; the status, and the code of a fault. */
function post({ folder }: Both, side: Side, body: string, headers: Record<string, string> = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { socketPath: join(folder(side), 's.sock'), path: '/RPC2', method: 'POST', agent: false as const };
    const sent = request(
      { ...options, headers: { 'content-type': 'text/xml', 'content-length': Buffer.byteLength(body), ...headers } },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8');
        answer.on('data', (chunk) => (text += chunk));
        answer.once('end', () => resolve(`${answer.statusCode} ${/faultCode<\/name>\s*<value><int>(\d+)/.exec(text)?.[1] ?? ''}`));
      },
    );
    sent.once('error', reject);
    sent.end(body);
  });
}

/** How often a process went to sleep by itself so far. */
const sleepsOf = (pid: number): string | undefined =>
  /^voluntary_ctxt_switches:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];

/** Resolves when a process waits for something to come and does nothing else. A Ctrl-C in the middle of its work is told in other words than one while it waits. */
async function untilItWaits(pid: number): Promise<void> {
  let before = sleepsOf(pid);
  for (let still = 0, looks = 0; still < 5 && looks < 100; looks++) {
    await wait(40);
    const now = sleepsOf(pid);
    still = now === before ? still + 1 : 0;
    before = now;
  }
}

/** Runs `words` until it has printed `wanted`, then gets Ctrl-C; what it printed. */
async function bounded(conf: string, words: readonly string[], wanted: RegExp): Promise<Outcome> {
  const child: ChildProcess = spawn('/usr/bin/supervisorctl', ['-c', conf, ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C.UTF-8' },
  });
  let out = '';
  let err = '';
  child.stdout?.on('data', (chunk) => (out += chunk));
  child.stderr?.on('data', (chunk) => (err += chunk));
  const closed = new Promise<number | null>((resolve) => child.once('close', resolve));
  try {
    await until(`${words.join(' ')} prints ${wanted}`, () => wanted.test(out));
    await untilItWaits(child.pid as number);
  } finally {
    child.kill('SIGINT');
  }
  return { code: await closed, out, err };
}

const call = (method: string, params = ''): string =>
  `<?xml version='1.0'?><methodCall><methodName>${method}</methodName><params>${params}</params></methodCall>`;
const stringParam = (text: string): string => `<param><value><string>${text}</string></value></param>`;

test('supervisorctl says of Steward what it says of supervisord', { skip: missing, timeout: 170_000 }, async (t) => {
  const both = await bothAt(t, others + steady + silent);
  const { same, each, write, folder, place } = both;
  await atRest(both);
  const part = (name: string, work: () => Promise<void>): Promise<void> => t.test(name, work);
  /** supervisord starts what was added in its next round, or the one after: a moment is given to it. When it is over, `same` tells. */
  const cameToTheSame = (line: string): Promise<unknown> =>
    until('both say the same', async () => {
      const [ours, theirs] = await each(line);
      return ours.out === theirs.out;
    }).catch(() => undefined);
  const asks = async (...lines: string[]): Promise<void> => {
    for (const line of lines) {
      if (line.startsWith('status')) await cameToTheSame(line);
      await (manyAtOnce.test(line) ? same(line, anyOrder) : same(line));
    }
  };

  await part('states, of one, several, groups and unknown names', async () => {
    const { out } = await same('status');
    assert.match(out, /plain +RUNNING +pid N, uptime T/);
    assert.match(out, /manual +STOPPED +Not started/);
    await asks('status plain', 'status plain steady', 'status team:*', 'status team:one numbered:numbered_01', 'status ended');
    await asks('status nobody', 'status nobody:*', 'status team:nobody', 'status all', 'version', 'avail');
    await asks('pid nobody', 'pid manual', 'pid missing');
    const count = ({ code, out }: Asked): unknown => [code, out.split('\n').map((line) => line === '0')];
    await same('pid all', count);
    await same('pid plain', count);
    await same('pid', count);
  });

  await part('starting, stopping and restarting', async () => {
    await asks('start', 'start plain', 'start manual', 'start nobody', 'start nobody:*', 'start team:nobody', 'start missing');
    await asks('start folder', 'start fatal', 'start ended', 'start team:*');
    await asks('stop', 'stop manual', 'stop manual', 'stop steady', 'start steady', 'stop nobody', 'stop nobody:*');
    await asks('stop team:*', 'status team:*', 'start team:*', 'stop numbered:numbered_01 plain');
    await asks('restart plain numbered:numbered_01', 'restart manual', 'restart nobody', 'restart', 'restart team:*');
    await asks('stop fatal', 'stop ended', 'fg', 'fg nobody', 'fg plain steady', 'fg missing', 'status');
  });

  await part('signals', async () => {
    await asks('signal HUP', 'signal CONT plain', 'signal SIGCONT team:*', 'signal 18 plain', 'signal cont numbered:*');
    await asks('signal NONSENSE plain', 'signal NONSENSE team:*', 'signal 999 plain', 'signal HUP ended', 'signal HUP nobody');
    await asks('signal HUP nobody:*', 'signal CONT all');
  });

  await part('logs', async () => {
    const { out } = await same('tail plain');
    assert.match(out, /second line/);
    await asks('tail', 'tail -5 plain', 'tail plain stderr', 'tail -4 plain stderr', 'tail plain nowhere', 'tail -x plain', 'tail -9');
    await asks('tail nobody', 'tail silent', 'tail merged', 'tail merged stderr', 'tail manual', 'tail missing', 'tail -3 fatal');
    await asks('tail team:one', 'tail team:*', 'tail 1 2 3 4', 'clear', 'clear nobody', 'clear plain', 'tail plain', 'tail plain stderr');
    await asks('restart plain', 'clear plain nobody merged', 'tail merged');
    await asks('maintail -x', 'maintail 1 2', 'maintail x');
    for (const { code, out } of await each('maintail')) assert.ok(code === 0 && out.length > 10);
  });

  await part('the calls behind it', async () => {
    await asks('!s.system.listMethods()', '![(m, s.system.methodSignature(m)) for m in s.system.listMethods()]');
    await asks("!s.system.methodSignature('supervisor.nothing')", "!s.system.methodHelp('supervisor.nothing')");
    await asks("!sorted(s.supervisor.getProcessInfo('plain'))", '!sorted(s.supervisor.getAllConfigInfo()[0])', '!s.supervisor.getState()');
    const fields = "('name','group','state','statename','spawnerr','exitstatus','stderr_logfile')";
    await asks(`![[i[f] for f in ${fields} if f != 'stderr_logfile' or not i[f]] for i in s.supervisor.getAllProcessInfo()]`);
    await asks("!s.supervisor.tailProcessStdoutLog('merged', 0, 100)", "!s.supervisor.tailProcessStdoutLog('silent', 5, 100)");
    await asks("!s.supervisor.readProcessStdoutLog('merged', 0, -1)", "!s.supervisor.readProcessStdoutLog('merged', -1, 1)");
    await asks("!s.supervisor.clearProcessLogs('team:*')", "!s.supervisor.getProcessInfo('team:*')", '!s.supervisor.startProcess()');
    await asks("!s.supervisor.startProcess('a', True, 1)", '!s.supervisor.readLog([], 0)', "!s.supervisor.sendProcessStdin('plain', 5)");
    await asks("!s.supervisor.sendProcessStdin('ended', 'x')", "!s.supervisor.sendProcessStdin('nobody', 'x')");
    await asks("!s.supervisor.sendRemoteCommEvent('a', 'b')", "!s.supervisor.stopProcessGroup('team', False)[0]['status']");
    await asks("!s.supervisor.startProcess('team:one', False)", "!s.supervisor.startProcess('team:two')");
    const mixed =
      "[{'methodName': m, 'params': []} for m in ('supervisor.getAPIVersion', 'system.multicall', 'nothing', 'supervisor.nothing')]";
    await asks(`!s.system.multicall(${mixed} + [{}, {'methodName': 'supervisor.getState', 'params': [1]}])`, '!s.system.multicall([])');
    await asks('!s.nothing()', '!s.supervisor._update()', '!s.supervisor.a.b()', '!s.system.nothing()');
    const names = "!s.supervisor.signalProcess('plain', 18)";
    await asks(names, "!s.supervisor.signalProcess('plain', 'SIGNOTHING')", "!s.supervisor.addProcessGroup('plain')");
  });

  await part('requests that are no calls', async () => {
    const bodies: Record<string, string> = {
      'nothing at all': ' ',
      'no XML': 'what is this',
      'an open tag': '<methodCall><methodName>supervisor.getState</methodName>',
      'no method': '<methodCall><params></params></methodCall>',
      'an empty method': call(''),
      'a number that is none': call('supervisor.readLog', '<param><value><int>x</int></value></param>'),
      'no parameters': '<methodCall><methodName>supervisor.getState</methodName></methodCall>',
      'a value without a type': call('supervisor.getProcessInfo', '<param><value>nobody</value></param>'),
      'an unknown entity': call('supervisor.getProcessInfo', stringParam('&nothing;')),
      'entities of XML': call('supervisor.getProcessInfo', stringParam('&lt;&#65;&#x42;&amp;')),
    };
    for (const [name, body] of Object.entries(bodies)) assert.equal(await post(both, 'ours', body), await post(both, 'theirs', body), name);
    const bomb = `<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>${call('supervisor.getProcessInfo', stringParam('&b;'))}`;
    assert.equal(await post(both, 'ours', bomb), '400 ');
    assert.equal(await post(both, 'ours', call('supervisor.getProcessInfo', stringParam('x'.repeat(300_000)))), '413 ');
    assert.equal(await post(both, 'ours', call('a'), { 'content-type': 'text/plain' }), '415 ');
    assert.equal(await post(both, 'ours', call('a'), { origin: 'http://example.com' }), '403 ');
    assert.equal(await post(both, 'ours', call('a'), { host: 'example.com' }), '403 ');
    await same('status plain');
  });

  await part('names and passwords', async () => {
    const at = ['-s', 'http://127.0.0.1:PORT'];
    const { out } = await both.sameProgram(...at, '-u', 'ops', '-p', password, 'status', 'plain');
    assert.match(out, /RUNNING/);
    await both.sameProgram(...at, '-u', 'ops', '-p', 'wrong', 'status');
    await both.sameProgram(...at, 'status');
    await both.sameProgram('-s', 'unix:///no/such/socket', 'status');
    await both.sameProgram('-s', 'unix:///no/such/socket', 'pid');
    for (const side of sides) assert.equal(statSync(join(folder(side), 's.sock')).mode & 0o777, 0o770);
  });

  await part('following a log', async () => {
    await asks('restart plain');
    const follow = (words: string[], wanted: RegExp): Promise<Outcome[]> =>
      Promise.all(sides.map((side) => bounded(join(folder(side), 'supervisord.conf'), words, wanted)));
    const [ours, theirs] = await follow(['tail', '-f', 'plain'], /second line/);
    assert.deepEqual(ours, theirs);
    const [a, b] = await follow(['tail', '-f', 'plain', 'stderr'], /complaint/);
    assert.deepEqual(a, b);
    const [c, d] = await follow(['maintail', '-f'], /<==\n.+\n/);
    assert.deepEqual([c?.code, c?.err], [d?.code, d?.err]);
    await both.sameProgram('tail', '-f', 'nobody');
    await both.sameProgram('tail', '-f', 'silent');
  });

  await part('reread, add, remove and update', async () => {
    await asks('reread', 'update');
    const fresh = program('fresh', sleeps, quick, 'priority=7');
    write(others + program('steady', '/usr/bin/sleep 2000', quick) + fresh);
    await asks('reread', 'reread', 'avail', 'status', 'add nobody', 'add plain', 'add fresh', 'add fresh', 'status fresh', 'avail');
    await asks('remove nobody', 'remove silent', 'stop silent', 'remove silent', 'remove silent', 'status silent', 'reread');
    await asks('update nobody', 'update', 'status', 'reread', 'update', 'update all');
    write(`${others.replace('numprocs=3', 'numprocs=2').replace(team, '')}${fresh}${program('steady', sleeps, quick)}`);
    await asks('reread', 'update numbered', 'status', 'update one two team', 'status', 'update', 'status', 'reread');
    write(`${others}[program:broken]\nautostart=what\n`);
    const start = ({ code, out }: Asked): unknown => [code, out.slice(0, 'ERROR: CANT_REREAD: '.length)];
    await same('reread', start);
    await same('update', ({ code }) => code);
    await asks('status');
    write(others);
    await asks('update', 'status', 'reread');
  });

  await part('reload starts everything anew, in the same daemon', async () => {
    await asks('start manual', 'stop merged');
    const pids = (): Promise<readonly Asked[]> => each('pid plain');
    const [before, daemon] = [await pids(), await place.daemonPid()];
    write(others + program('later', sleeps, quick));
    await asks('reload');
    await until('both have started anew', async () => {
      const after = await each('status');
      const now = await pids();
      return after.every(isSettled) && now.every(({ out }, side) => /^[1-9]\d*\n$/.test(out) && out !== before[side]?.out);
    });
    await asks('status', 'reread', 'avail');
    assert.equal(await place.daemonPid(), daemon);
  });

  await part('what it changed is in the audit trail, and what it asked is not', async () => {
    const text = await place.ok('audit', '--json');
    assert.match(text, /supervisor\.stopProcess/);
    assert.match(text, /wrong user name or password/);
    assert.doesNotMatch(text, /getAllProcessInfo/);
  });

  const cleared = both.begin('clear all'); // supervisord takes a second for each program
  await cleared[0];

  await part('a reload of files with errors stops nothing', async () => {
    const before = (await place.instance('plain')).pid;
    writeFileSync(
      join(folder('ours'), 'supervisord.conf'),
      `${readFileSync(join(folder('ours'), 'supervisord.conf'), 'utf8')}[program:broken]\nautostart=what\n`,
    );
    const { code, out } = await both.ours('reload');
    assert.equal(code, 1);
    assert.match(out, /CANT_REREAD.*the files have errors/s);
    assert.equal((await place.instance('plain')).pid, before);
    write(others + program('later', sleeps, quick));
  });

  await part('a group that was removed stays out over a scale, until files are applied again', async () => {
    const has = async (): Promise<boolean> => (await place.ps()).some(({ id }) => id === 'later');
    assert.match((await both.ours('stop', 'later')).out, /stopped/);
    assert.match((await both.ours('remove', 'later')).out, /removed/);
    await place.ok('scale', 'ended', '2');
    assert.equal(await has(), false);
    await place.ok('scale', 'ended', '1');
    await place.steward('apply', join(folder('ours'), 'supervisord.conf')); // ends with 1, since some are FATAL
    assert.equal(await has(), true);
  });

  await part('after a kill -9 of the daemon the next one answers at the same place', async () => {
    const [{ pid }, daemon] = [await place.instance('plain'), await place.daemonPid()];
    kill(daemon);
    await until('it has gone', () => !isRunning(daemon));
    await place.steward('up', '-d', join(folder('ours'), 'supervisord.conf'));
    assert.equal((await both.ours('pid', 'plain')).out, `${pid}\n`);
  });

  await part('clearing all logs', async () => {
    const [ours, theirs] = await Promise.all(cleared);
    assert.match(ours.out, /plain: cleared/);
    assert.deepEqual(ours, theirs);
  });

  await part('shutdown ends everything', async () => {
    const daemon = await place.daemonPid();
    await asks('shutdown');
    await until('both have ended', () => !isRunning(daemon) && sides.every((side) => !existsSync(join(folder(side), 's.sock'))));
    await asks('status', 'start plain', 'shutdown', 'version');
  });
});

test('where steward.yaml has supervisorctl answered follows each apply', { skip: missing }, async (t) => {
  const place = newPlace(t, { CTL: password });
  const services = 'services:\n  web: {run: sleep 1000, upAfter: 0s}\n';
  const write = (section: string): string => place.write('steward.yaml', services + section);
  const ask = (socket: string, ...words: string[]): Promise<Outcome> =>
    run('/usr/bin/supervisorctl', ['-s', `unix://${join(place.folder, socket)}`, ...words]);
  const file = write('secrets: {ctl: {env: CTL}}\nsupervisorctl:\n  unix: {path: a.sock}\n');
  await place.steward('up', '-d', file);
  const { out, code } = await ask('a.sock', 'status');
  assert.match(out, /^web +RUNNING +pid \d+, uptime 0:00:\d\d\n$/);
  assert.equal(code, 0);

  write('secrets: {ctl: {env: CTL}}\nsupervisorctl:\n  unix: {path: b.sock, username: ops, password: "{{secret.ctl}}"}\n');
  await place.steward('apply', file);
  assert.match((await ask('a.sock', 'status')).out, /no such file/);
  assert.match((await ask('b.sock', 'status')).out, /requires authentication/);
  assert.match((await ask('b.sock', '-u', 'ops', '-p', password, 'status', 'web')).out, /RUNNING/);

  write('supervisorctl:\n  tcp: {address: 9001}\n');
  const refused = await place.steward('apply', file);
  assert.equal(refused.code, 2);
  assert.match(refused.out + refused.err, /everybody who reaches this machine could control Steward/);
  assert.match((await ask('b.sock', '-u', 'ops', '-p', password, 'status', 'web')).out, /RUNNING/);

  write('');
  await place.steward('apply', file);
  assert.match((await ask('b.sock', 'status')).out, /no such file/);
});
