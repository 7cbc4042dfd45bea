/** What the gateway's tests share: real workers as child processes, real upstreams, raw sockets. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import type { Address, FilesAction, GatewaySpec, ProxyAction, RouteAction, RouteSpec, ServerSpec, SiteSpec } from '../config/model.ts';
import { plainBalance, plainGateway, plainRoute, plainServer } from '../config/model.ts';
import type { Problem } from '../config/problem.ts';
import { createGateway, type Gateway, workerCommand } from './gateway.ts';

export { freePort } from '../kernel/free-port.ts';

import { buildTable, noInputs, type RouteTable, type TableInputs } from './table.ts';

export const gatewaySpec: GatewaySpec = plainGateway;

/** Looks until `condition` gives something other than undefined or false; fails loudly after 20 s. */
export async function until<T>(what: string, condition: () => T | undefined | false | Promise<T | undefined | false>): Promise<T> {
  for (const end = performance.now() + 20_000; performance.now() < end; await new Promise((resolve) => setTimeout(resolve, 10))) {
    const found = await condition();
    if (found !== undefined && found !== false) return found;
  }
  throw new Error(`waited in vain for ${what}`);
}

export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'gateway-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A real HTTP server on a unix socket (a path) or a TCP port (0: any); its address. Closed after the test. */
export async function startUpstream(
  t: TestContext,
  at: string | 0,
  handler: http.RequestListener,
): Promise<{ address: Address; server: http.Server }> {
  const server = http.createServer(handler);
  await new Promise<void>((resolve) => (at === 0 ? server.listen(0, '127.0.0.1', resolve) : server.listen(at, resolve)));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const bound = server.address();
  const address: Address =
    typeof bound === 'object' && bound !== null ? { kind: 'tcp', host: '127.0.0.1', port: bound.port } : { kind: 'unix', path: String(at) };
  return { address, server };
}

export const serverAt = (address: Address, more: Partial<ServerSpec> = {}): ServerSpec => ({ ...plainServer, address, ...more });

export function proxyTo(addresses: readonly (Address | ServerSpec)[], more: Partial<ProxyAction> = {}): ProxyAction {
  const servers = addresses.map((one) => ('address' in one ? one : serverAt(one, { maxFails: 0 })));
  return { ...proxyToService('unused'), target: { ...plainBalance, kind: 'servers', name: 'backend', servers }, ...more };
}

export const proxyToService = (service: string): ProxyAction => ({
  kind: 'proxy',
  target: { ...plainBalance, kind: 'service', service },
  scheme: 'http',
  path: { kind: 'keep' },
  setHeaders: [],
  passHeaders: true,
  passBody: true,
  requestId: false,
  traceparent: false,
  forwardedHeaders: 'set',
  upstreamHost: 'keep',
  rewriteLocation: [],
  rewriteCookies: [],
  hideHeaders: [],
  interceptErrors: false,
  buffering: false,
  connectTimeoutMs: 2_000,
  readTimeoutMs: 10_000,
  sendTimeoutMs: 10_000,
  retry: { on: ['error', 'timeout'], tries: 0, timeoutMs: 0 },
  holdMs: 0,
});

export const filesIn = (folder: string, more: Partial<FilesAction> = {}): FilesAction => ({
  kind: 'files',
  folder,
  mapping: 'append',
  index: ['index.html'],
  precompressed: [],
  types: {},
  defaultType: 'application/octet-stream',
  ...more,
});

export const route = (pathText: string, action: RouteAction, more: Partial<RouteSpec> = {}): RouteSpec => ({
  ...plainRoute,
  match: { kind: 'prefix', path: pathText, stop: false },
  maxBodyBytes: 0,
  logs: [{ format: { kind: 'steward' }, maxBytes: 0, keep: 0 }],
  action,
  ...more,
});

export const site = (port: number, routes: readonly RouteSpec[], more: Partial<SiteSpec> = {}): SiteSpec => ({
  hosts: [],
  isDefault: false,
  listen: [{ host: '127.0.0.1', port }],
  redirectFrom: [],
  serverName: 'site',
  steps: [],
  routes,
  rest: route('/', { kind: 'answer', answer: { status: 404 } }),
  ...more,
});

export interface Running {
  readonly dir: string;
  readonly gateway: Gateway;
  readonly worker: ChildProcess & { readonly pid: number };
  /** Everything the worker has written so far. */
  readonly access: () => string;
  readonly errors: () => string;
  /** Applies new sites; the problems. */
  readonly apply: (sites: readonly SiteSpec[], more?: Inputs) => Promise<Problem[]>;
}

export interface Inputs extends Partial<TableInputs> {
  readonly gateway?: GatewaySpec;
}

export const tableOf = (sites: readonly SiteSpec[], more: Inputs = {}): RouteTable =>
  buildTable(sites, more.gateway ?? gatewaySpec, { ...noInputs, ...more });

/** Starts the worker of a gateway in `dir` as a child process. It is killed after the test. */
export function startWorker(
  t: TestContext,
  dir: string,
): { worker: ChildProcess & { readonly pid: number }; access: () => string; errors: () => string } {
  const [command, ...args] = workerCommand(dir);
  const worker = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] }) as unknown as ChildProcess & { readonly pid: number };
  let access = '';
  let errors = '';
  worker.stdout?.setEncoding('utf8').on('data', (text: string) => {
    access += text;
  });
  worker.stderr?.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  t.after(() => {
    worker.kill('SIGKILL');
    assert.doesNotMatch(errors, /bug:/);
  });
  return { worker, access: () => access, errors: () => errors };
}

/** A gateway with one worker that serves `sites`. Both end after the test. */
export async function startGateway(t: TestContext, sites: readonly SiteSpec[], more: Inputs = {}): Promise<Running> {
  const dir = await temporaryFolder(t);
  const gateway = await createGateway({ dir, log: () => {} });
  t.after(() => gateway.stop());
  await gateway.setTable(tableOf(sites, more));
  const started = startWorker(t, dir);
  const ports = new Set(sites.flatMap(({ listen, redirectFrom }) => [...listen, ...redirectFrom].map(({ port }) => port)));
  for (const port of ports) await until(`port ${port}: ${started.errors()}`, () => canConnect(port));
  return { dir, gateway, ...started, apply: (next, inputs = more) => gateway.setTable(tableOf(next, inputs)) };
}

export function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly body: string;
}

export interface AskOptions extends http.RequestOptions {
  readonly body?: string | Buffer;
}

/** One request to a port of 127.0.0.1, on a connection of its own unless `agent` says otherwise. */
export function ask(port: number, target: string, { body, ...options }: AskOptions = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port, path: target, agent: false, ...options }, (answer) =>
      readAnswer(answer).then(resolve, reject),
    );
    request.on('error', reject);
    request.end(body);
  });
}

export function readAnswer(answer: http.IncomingMessage): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    answer.on('data', (chunk: Buffer) => chunks.push(chunk));
    answer.on('error', reject);
    answer.on('end', () =>
      resolve({
        status: answer.statusCode ?? 0,
        headers: answer.headers,
        rawHeaders: answer.rawHeaders,
        body: Buffer.concat(chunks).toString(),
      }),
    );
  });
}

/** Sends bytes as they are and gives back all that comes until the other side closes. */
export function askRaw(port: number, text: string): Promise<string> {
  return new Promise((resolve) => {
    let received = '';
    const socket = net.connect(port, '127.0.0.1', () => socket.write(text, 'latin1'));
    socket.setEncoding('latin1').on('data', (part) => {
      received += String(part);
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(received));
  });
}
