/**
 * Clients with kept connections that send so many requests a second, whether or not the ones before are answered (open loop); a latency
 * counts from when the request was handed to the client, waiting for a free connection included, so a server that stops for a second shows
 * as a second to all who came meanwhile. A program of its own, told by its argument (JSON) what to send; it reports over IPC.
 */
import http from 'node:http';
import https from 'node:https';
import { createHistogram } from 'node:perf_hooks';

/** `url` is asked in its turn; with `postBytes` it is a POST of so many bytes with a header x-id of its own. */
export type Target = { url: string; postBytes?: number };
export type ClientsTask = { targets: readonly Target[]; perSecond: number; connections: number };

/** Since the last report. `failures`: how often what went wrong. */
export type ClientsReport = {
  sent: number;
  answered: number;
  failures: Record<string, number>;
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
  /** Ids of the POSTs that were answered 200. */
  posted: string[];
};

/** How often it is looked whether requests are due. */
const tickMs = 2;
const patienceMs = 30_000;

const task = JSON.parse(process.argv[2] ?? '') as ClientsTask;
const agentOptions = { keepAlive: true, maxSockets: task.connections, maxFreeSockets: task.connections, scheduling: 'fifo' } as const;
const agents = { 'http:': new http.Agent(agentOptions), 'https:': new https.Agent({ ...agentOptions, rejectUnauthorized: false }) };

let latency = createHistogram();
let counts: Pick<ClientsReport, 'sent' | 'answered' | 'failures' | 'posted'> = { sent: 0, answered: 0, failures: {}, posted: [] };
let open = 0;
let number = 0;

function send(): void {
  const sentAt = performance.now();
  const target = task.targets[number++ % task.targets.length];
  if (target === undefined) return;
  const url = new URL(target.url);
  const secure = url.protocol === 'https:';
  const method = target.postBytes === undefined ? 'GET' : 'POST';
  const id = `${process.pid}-${number}`;
  const headers = target.postBytes === undefined ? {} : { 'x-id': id, 'content-length': target.postBytes };
  counts.sent++;
  open++;
  let settled = false;
  const settle = (failure?: string): void => {
    if (settled) return;
    settled = true;
    open--;
    latency.record(Math.max(1, Math.round((performance.now() - sentAt) * 1_000)));
    if (failure === undefined) {
      counts.answered++;
      if (method === 'POST') counts.posted.push(id);
    } else {
      const what = `${method} ${url.pathname}: ${failure}`;
      counts.failures[what] = (counts.failures[what] ?? 0) + 1;
    }
  };
  const options = { method, headers, agent: agents[secure ? 'https:' : 'http:'], timeout: patienceMs };
  const request = (secure ? https : http).request(url, options, (answer: http.IncomingMessage) => {
    let bytes = 0;
    answer.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    answer.on('end', () => {
      const told = Number(answer.headers['content-length'] ?? bytes);
      if (answer.statusCode !== 200) settle(`status ${answer.statusCode}`);
      else settle(answer.complete && bytes === told ? undefined : `${bytes} of ${told} bytes`);
    });
    answer.on('error', (error: NodeJS.ErrnoException) => settle(`answer cut: ${error.code}`));
  });
  request.on('timeout', () => request.destroy(Object.assign(new Error(), { code: 'no answer in 30 s' })));
  request.on('error', (error: NodeJS.ErrnoException) => settle(`${error.code}${request.reusedSocket ? ' on a kept connection' : ''}`));
  request.end(target.postBytes === undefined ? undefined : Buffer.alloc(target.postBytes, 'x'));
}

const ms = (micros: number): number => micros / 1_000;

function report(): void {
  const { sent, answered, failures, posted } = counts;
  const [p50Ms, p99Ms, maxMs] = sent === 0 ? [0, 0, 0] : [ms(latency.percentile(50)), ms(latency.percentile(99)), ms(latency.max)];
  const found: ClientsReport = { sent, answered, failures, p50Ms, p99Ms, maxMs, posted };
  process.send?.(found);
  latency = createHistogram();
  counts = { sent: 0, answered: 0, failures: {}, posted: [] };
}

const startedAt = performance.now();
let due = 0;
const ticking = setInterval(() => {
  const untilNow = Math.floor(((performance.now() - startedAt) / 1_000) * task.perSecond);
  for (; due < untilNow; due++) send();
}, tickMs);

process.on('message', (message) => {
  if (message === 'report') return report();
  // Sends nothing more, and reports once all is answered.
  clearInterval(ticking);
  const look = setInterval(() => {
    if (open > 0) return;
    clearInterval(look);
    report();
    for (const agent of Object.values(agents)) agent.destroy();
  }, 10);
});
process.on('disconnect', () => process.exit());
