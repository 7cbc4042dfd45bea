/**
 * Caddy with what Steward does by default: the same headers added, connections to clients and upstreams kept. Its workers are the
 * processors its scheduler may use at once (GOMAXPROCS): it is one process. No admin port, and its own files in the task's folder.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { filesPath, type Gateway, type Peer, type Serve } from '../measurement.ts';
import { startProgram, versionOf } from '../program.ts';
import { usualConnections } from '../wrk.ts';

const proxied = (addresses: readonly string[]): object => ({
  handle: [
    {
      handler: 'reverse_proxy',
      upstreams: addresses.map((address) => ({ dial: address.replace(/^unix:/, 'unix/') })),
      load_balancing: { selection_policy: { policy: 'round_robin' } },
      transport: { protocol: 'http', keep_alive: { max_idle_conns_per_host: usualConnections, idle_timeout: '600s' } },
      headers: { request: { set: { 'X-Real-Ip': ['{http.request.remote.host}'], 'X-Request-Id': ['{http.request.uuid}'] } } },
    },
  ],
});

const files = (root: string, path: string): object => ({
  match: [{ path: [`${path}*`] }],
  handle: [...(path === '/' ? [] : [{ handler: 'rewrite', strip_path_prefix: path.slice(0, -1) }]), { handler: 'file_server', root }],
  terminal: true,
});

const configuration = (task: Serve): object => ({
  admin: { disabled: true, config: { persist: false } },
  logging: { logs: { default: { level: 'ERROR' } } },
  apps: {
    http: {
      servers: {
        main: {
          listen: [`127.0.0.1:${task.port}`],
          protocols: task.http2 ? ['h1', 'h2'] : ['h1'],
          automatic_https: { disable: true },
          routes: [...(task.files ? [files(task.files, filesPath(task))] : []), ...(task.proxy ? [proxied(task.proxy)] : [])],
          ...(task.tls && { tls_connection_policies: [{}] }),
        },
      },
    },
    ...(task.tls && { tls: { certificates: { load_files: [{ certificate: task.tls.cert, key: task.tls.key }] } } }),
  },
});

export const caddy: Peer<Serve, Gateway> = {
  name: 'Caddy',
  version: () => versionOf('caddy', ['version']),
  async start(task) {
    const { folder, workers } = task;
    const file = join(folder, 'caddy.json');
    await writeFile(file, JSON.stringify(configuration(task), undefined, 2));
    const env = { GOMAXPROCS: String(workers), HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder };
    const program = await startProgram('caddy', ['run', '--config', file], env, join(folder, 'caddy.log'));
    return { ...program, workers: [program.pid] };
  },
};
