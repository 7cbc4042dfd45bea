/**
 * nginx with what Steward does by default: the same headers added, connections to clients and upstreams kept, the port shared by
 * SO_REUSEPORT, an answer never written to disk on its way. The rest is as Debian ships it: sendfile and tcp_nopush on, open_file_cache off.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { filesPath, type Gateway, type Peer, type Serve } from '../measurement.ts';
import { startProgram, versionOf } from '../program.ts';

const configuration = (task: Serve): string => `
daemon off;
worker_processes ${task.workers};
worker_rlimit_nofile 20000;
pid ${task.folder}/nginx.pid;
error_log ${task.folder}/error.log;
events { worker_connections 19000; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  client_body_temp_path ${task.folder}/body;
  proxy_temp_path ${task.folder}/proxy;
  fastcgi_temp_path ${task.folder}/fastcgi;
  uwsgi_temp_path ${task.folder}/uwsgi;
  scgi_temp_path ${task.folder}/scgi;
  keepalive_requests 100000000;
  ${task.proxy ? upstream(task.proxy) : ''}
  server {
    listen 127.0.0.1:${task.port} ${task.tls ? 'ssl ' : ''}${task.http2 ? 'http2 ' : ''}backlog=4096 reuseport;
    ${task.tls ? `ssl_certificate ${task.tls.cert};\n    ssl_certificate_key ${task.tls.key};\n    ssl_protocols TLSv1.2 TLSv1.3;` : ''}
    ${task.proxy ? proxied : ''}
    ${task.files ? `location ${filesPath(task)} { alias ${task.files}/; }` : ''}
  }
}
`;

const upstream = (addresses: readonly string[]): string => `upstream back {
    ${addresses.map((address) => `server ${address};`).join('\n    ')}
    keepalive 64;
    keepalive_requests 100000000;
    keepalive_timeout 600s;
  }`;

const proxied = `location / {
      proxy_pass http://back;
      proxy_http_version 1.1;
      proxy_max_temp_file_size 0;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Real-IP $remote_addr;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Request-Id $request_id;
    }`;

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
