/** supervisord over many programs, spoken to by XML-RPC over its unix socket and by supervisorctl. */
import { access, readdir, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { dirname, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { outputOf, type Program, startProgram } from '../program.ts';
import { type Fleet, type FleetPeer, isAlive, type Seen, type Service, type Way } from '../supervised.ts';
import { supervisord } from './supervisord.ts';

/** Three pipes and two logs of each program, and what it needs itself. Not more: each child closes as many, one by one, before it begins. */
const descriptors = ({ services }: Fleet): number => Math.max(1_024, services.length * 6 + 100);

const quoted = (word: string): string => (/^[\w./:=,-]+$/.test(word) ? word : `"${word.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`);

const stanza = ({ name, command, upAtOnce, once, later, rotateBytes }: Service, folder: string): string => `
[program:${name}]
command=${command.map(quoted).join(' ').replaceAll('%', '%%')}
autorestart=${once ? 'false' : 'true'}
autostart=${later ? 'false' : 'true'}
${upAtOnce ? 'startsecs=0' : ''}
stdout_logfile=${folder}/${name}.log
stderr_logfile=${folder}/${name}.err.log
${rotateBytes ? `stdout_logfile_maxbytes=${rotateBytes}\nstdout_logfile_backups=10000` : ''}
`;

const configuration = (fleet: Fleet): string => `
[supervisord]
logfile=${fleet.folder}/supervisord.log
pidfile=${fleet.folder}/supervisord.pid
childlogdir=${fleet.folder}
minfds=${descriptors(fleet)}
[unix_http_server]
file=${fleet.folder}/supervisor.sock
[supervisorctl]
serverurl=unix://${fleet.folder}/supervisor.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
${fleet.services.map((service) => stanza(service, fleet.folder)).join('')}`;

const patienceMs = 60_000;

/** The answer to a call, as XML. @throws on a fault, with its text. */
function call(socketPath: string, method: string, params: readonly string[] = []): Promise<string> {
  const values = params.map((value) => `<param><value>${value}</value></param>`).join('');
  const body = `<?xml version="1.0"?><methodCall><methodName>${method}</methodName><params>${values}</params></methodCall>`;
  const headers = { 'content-type': 'text/xml', 'content-length': Buffer.byteLength(body) };
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path: '/RPC2', method: 'POST', headers, agent: false, timeout: patienceMs }, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (chunk) => (text += chunk));
      answer.once('error', reject);
      answer.once('end', () => {
        const fault = text.includes('<fault>') ? (/<string>([^<]*)<\/string>/.exec(text)?.[1] ?? 'fault') : undefined;
        if (fault !== undefined) reject(new Error(`${method}: ${fault}`));
        else resolve(text);
      });
    });
    asked.once('error', reject);
    asked.once('timeout', () => asked.destroy(new Error(`${method}: no answer`)));
    asked.end(body);
  });
}

const member = (text: string, name: string): string =>
  new RegExp(`<name>${name}</name>\\s*<value><(?:string|int)>([^<]*)<`).exec(text)?.[1] ?? '';

function overSocket(socket: string): Way {
  const named = (name: string): string => `<string>${name}</string>`;
  const start = async (name: string): Promise<void> =>
    void (await call(socket, 'supervisor.startProcess', [named(name), '<boolean>0</boolean>']));
  const stop = async (name: string): Promise<void> => void (await call(socket, 'supervisor.stopProcess', [named(name)]));
  const acts = {
    start,
    stop,
    restart: async (name: string): Promise<void> => {
      await stop(name);
      await start(name);
    },
  };
  return {
    name: 'supervisord, XML-RPC',
    status: async () =>
      (await call(socket, 'supervisor.getAllProcessInfo'))
        .split('<struct>')
        .slice(1)
        .map((text): Seen => ({ name: member(text, 'name'), pid: Number(member(text, 'pid')), state: member(text, 'statename') })),
    act: (action, service) => acts[action](service),
  };
}

function byCommand(file: string): Way {
  // status ends with 3 when something does not run: its output counts, not its code.
  const control = (...words: readonly string[]): Promise<string> =>
    outputOf('/bin/sh', ['-c', 'supervisorctl -c "$@"; true', 'sh', file, ...words], {}, undefined, 2 * patienceMs);
  return {
    name: 'supervisorctl',
    status: async () =>
      (await control('status')).split('\n').flatMap((line): Seen[] => {
        const [, name, state, pid] = /^(\S+) +([A-Z]+)(?: +pid (\d+))?/.exec(line) ?? [];
        return name === undefined || state === undefined ? [] : [{ name, state, pid: Number(pid ?? 0) }];
      }),
    act: async (action, service) => void (await control(action, service)),
  };
}

/** A thousand programs are started before the first call is answered. */
const startMs = 300_000;

/** Lets it stop all its programs, which are left alone when it is killed. */
async function end(program: Program): Promise<void> {
  if (await isAlive(program.pid)) process.kill(program.pid, 'SIGTERM');
  for (const deadline = Date.now() + startMs; Date.now() < deadline && (await isAlive(program.pid)); ) await wait(20);
  await program[Symbol.asyncDispose]();
}

async function answering(socket: string, program: Program): Promise<Program> {
  const way = overSocket(socket);
  for (const deadline = Date.now() + startMs; Date.now() < deadline; await wait(50)) {
    const answers = await access(socket)
      .then(
        () => way.status().then(() => true),
        () => false,
      )
      .catch(() => false);
    if (answers) return program;
  }
  await end(program);
  throw new Error('supervisord does not answer');
}

export const supervisordFleet: FleetPeer = {
  name: 'supervisord',
  version: supervisord.version,
  async start(fleet) {
    const { folder } = fleet;
    const file = join(folder, 'supervisord.conf');
    const socket = join(folder, 'supervisor.sock');
    // FLEET is inherited: a program that is left over is known by it.
    // Not where its own files are: that disk may be full, and what it says of that is not to be its end.
    const stderr = join(dirname(folder), 'supervisord.stderr');
    await writeFile(file, configuration(fleet));
    const begin = async (): Promise<Program> =>
      answering(socket, await startProgram('supervisord', ['-n', '-c', file], { FLEET: folder }, stderr));
    let program = await begin();
    return {
      processes: async () => [program.pid],
      ways: [overSocket(socket), byCommand(file)],
      save: async () => {},
      again: async () => {
        program = await begin();
      },
      logs: async (service) => {
        const number = (name: string): number => Number(/\.log\.(\d+)$/.exec(name)?.[1] ?? 0);
        const files = (await readdir(folder)).filter((name) => name.replace(/\.\d+$/, '') === `${service}.log`);
        return files.toSorted((a, b) => number(b) - number(a)).map((name) => join(folder, name));
      },
      [Symbol.asyncDispose]: () => end(program),
    };
  },
};
