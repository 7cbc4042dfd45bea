/** nginx with what Steward does by default: the same headers added, connections to clients and upstreams kept, the port shared by SO_REUSEPORT. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Gateway, Peer, Serve } from '../measurement.ts';
import { startProgram, versionOf } from '../program.ts';

const configuration = ({ port, workers, sockets, folder }: Serve): string => `
daemon off;
worker_processes ${workers};
pid ${folder}/nginx.pid;
error_log ${folder}/error.log;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  keepalive_requests 100000000;
  upstream back {
    ${sockets.map((socket) => `server unix:${socket};`).join('\n    ')}
    keepalive 64;
    keepalive_requests 100000000;
    keepalive_timeout 600s;
  }
  server {
    listen 127.0.0.1:${port} reuseport;
    location / {
      proxy_pass http://back;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Real-IP $remote_addr;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
    }
  }
}
`;

export const nginx: Peer<Serve, Gateway> = {
  name: 'nginx',
  version: () => versionOf('nginx', ['-v']),
  async start(task) {
    const file = join(task.folder, 'nginx.conf');
    await writeFile(file, configuration(task));
    const master = await startProgram('nginx', ['-e', join(task.folder, 'error.log'), '-c', file]);
    return { ...master, workers: await childrenOf(master.pid, task.workers) };
  },
};

/** The pids of the workers, once all have been forked. @throws after 10 s. */
async function childrenOf(pid: number, count: number): Promise<number[]> {
  for (const deadline = Date.now() + 10_000; Date.now() < deadline; await wait(20)) {
    const children = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).trim().split(' ').map(Number);
    if (children.length === count && children[0] !== 0) return children;
  }
  throw new Error('nginx did not start its workers');
}
