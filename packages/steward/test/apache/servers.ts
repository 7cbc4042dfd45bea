/** Apache, serving the same file as Steward. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

export const apacheProgram = '/usr/sbin/apache2';
const modules = '/usr/lib/apache2/modules';

export const needsApache = (): void => {
  if (!existsSync(apacheProgram)) throw new Error(`${apacheProgram} is not there: apt-get install apache2-bin`);
};

const loaded = `mpm_event authz_core authz_host authz_user authn_core authn_file auth_basic access_compat alias dir mime headers rewrite
  proxy proxy_http proxy_wstunnel proxy_balancer slotmem_shm lbmethod_byrequests lbmethod_bybusyness lbmethod_bytraffic setenvif env
  expires filter deflate socache_shmcb ssl remoteip status autoindex`.split(/\s+/);

const types = 'text/html html htm\ntext/css css\ntext/javascript js\napplication/json json\nimage/png png\ntext/plain txt\n';

/** Where all of Apache's own files are. */
const frame = (folder: string, site: string): string => `ServerRoot ${folder}
${loaded.map((name) => `LoadModule ${name}_module ${modules}/mod_${name}.so`).join('\n')}
PidFile ${folder}/apache.pid
ErrorLog ${folder}/error.log
LogLevel warn
DefaultRuntimeDir ${folder}
User www-data
Group www-data
TypesConfig ${folder}/mime.types
StartServers 1
ServerLimit 1
ThreadsPerChild 8
MaxRequestWorkers 8
MinSpareThreads 1
MaxSpareThreads 8
ServerName frame.example
AccessFileName .none
DocumentRoot ${folder}/nothing
Include ${site}
`;

const isOpen = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });

const ended = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve();
    else child.once('close', () => resolve());
  });

/** Starts Apache with `site` included; resolves once `port` accepts. Throws with what Apache says when it refuses the file. */
export async function startApache(folder: string, site: string, port: number): Promise<{ stop(): Promise<void> }> {
  mkdirSync(join(folder, 'nothing'), { recursive: true });
  const file = join(folder, 'httpd.conf');
  writeFileSync(join(folder, 'mime.types'), types);
  writeFileSync(file, frame(folder, site));
  const child = spawn(apacheProgram, ['-d', folder, '-f', file, '-DFOREGROUND'], { stdio: ['ignore', 'ignore', 'pipe'] });
  let text = '';
  child.stderr.on('data', (part) => {
    text += String(part);
  });
  for (const end = Date.now() + 10_000; !(await isOpen(port)); await wait(10)) {
    const log = join(folder, 'error.log');
    if (child.exitCode !== null || Date.now() > end)
      throw new Error(`Apache refuses ${site}:\n${text}${existsSync(log) ? readFileSync(log, 'utf8') : ''}${readFileSync(site, 'utf8')}`);
  }
  return {
    async stop() {
      child.kill('SIGTERM');
      await ended(child);
    },
  };
}
