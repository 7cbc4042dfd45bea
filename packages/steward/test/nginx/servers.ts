/** nginx and Steward's gateway, each serving the same file. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { formatProblems, hasErrors, type Problem } from '../../src/config/problem.ts';
import { loadConfig } from '../../src/config/read.ts';
import { buildTable, createGateway, loadCertificates, loadSiteFiles, noInputs, workerCommand } from '../../src/gateway/gateway.ts';

export const nginxProgram = '/usr/sbin/nginx';

export const needsNginx = (): void => {
  if (!existsSync(nginxProgram)) throw new Error(`${nginxProgram} is not there: apt-get install nginx`);
};

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

async function opened(port: number, mistake: () => string | undefined): Promise<void> {
  for (const end = Date.now() + 10_000; Date.now() < end; await wait(10)) {
    const wrong = mistake();
    if (wrong !== undefined) throw new Error(wrong);
    if (await isOpen(port)) return;
  }
  throw new Error(`port ${port} does not open; ${mistake() ?? ''}`);
}

export interface Running {
  /** What was told about the file. */
  readonly said: string;
  stop(): Promise<void>;
}

const ended = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve();
    else child.once('close', () => resolve());
  });

/** Where all of nginx's own files are. */
const frame = (folder: string, site: string): string => `daemon off;
user root;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log;
events { worker_connections 512; }
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  include ${site};
}
`;

/** Starts nginx with `site` inside http; resolves once `port` accepts. Throws with what nginx says when it refuses the file. */
export async function startNginx(folder: string, site: string, port: number): Promise<Running> {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'nginx.conf');
  writeFileSync(file, frame(folder, site));
  const child = spawn(nginxProgram, ['-p', folder, '-c', file, '-e', join(folder, 'error.log')], { stdio: ['ignore', 'ignore', 'pipe'] });
  let text = '';
  child.stderr.on('data', (part) => {
    text += String(part);
  });
  await opened(port, () => (child.exitCode === null ? undefined : `nginx refuses ${site}:\n${text}${readFileSync(site, 'utf8')}`));
  return {
    said: text,
    async stop() {
      child.kill('SIGTERM');
      await ended(child);
    },
  };
}

export interface Gateway {
  /** Serves the file from now on; resolves once `port` accepts. Throws when the file has errors. */
  serve(site: string, port: number): Promise<string>;
  stop(): Promise<void>;
}

const problemText = (problems: readonly Problem[]): string => formatProblems(problems, []);

/** Steward's gateway with one worker, as the daemon runs it. */
export async function startGateway(folder: string): Promise<Gateway> {
  mkdirSync(folder, { recursive: true });
  const gateway = await createGateway({ dir: folder, log: () => {} });
  const [command, ...words] = workerCommand(folder);
  let worker: ChildProcess | undefined;
  let errors = '';
  const start = (): ChildProcess => {
    const child = spawn(command, words, { stdio: ['ignore', 'ignore', 'pipe'] });
    child.stderr.on('data', (part) => {
      errors += String(part);
    });
    return child;
  };
  const mistake = (): string | undefined =>
    worker === undefined || worker.exitCode === null ? undefined : `the worker ended with ${worker.exitCode}:\n${errors.slice(-3000)}`;
  return {
    async serve(site, port) {
      const { config, problems } = loadConfig([site], { env: {}, socketFolder: folder, base: '/' });
      if (hasErrors(problems)) throw new Error(`Steward refuses ${site}:\n${problemText(problems)}`);
      const { certificates } = await loadCertificates(config.sites, join(folder, 'authority'), Date.now());
      const table = buildTable(config.sites, config.gateway, {
        ...noInputs,
        certificates,
        files: (await loadSiteFiles(config.sites)).files,
      });
      errors = '';
      if (worker === undefined || worker.exitCode !== null) worker = undefined;
      const set = gateway.setTable(table);
      if (worker === undefined) {
        await set;
        worker = start();
      }
      const told = await set;
      await opened(port, mistake);
      return problemText([...problems, ...told]);
    },
    async stop() {
      await gateway.stop();
      worker?.kill('SIGKILL');
      if (worker !== undefined) await ended(worker);
    },
  };
}
