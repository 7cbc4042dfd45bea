/** Runs the cases of a table against nginx and Steward. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { differenceOf, logLines, type Outcome, type Side, shown } from './compare.ts';
import { writeFixtures } from './fixtures.ts';
import type { Case } from './requests.ts';
import { type Gateway, needsNginx, startGateway, startNginx } from './servers.ts';
import { startUpstreams, type Upstreams } from './upstreams.ts';
import { exchange, type Sent } from './wire.ts';

/** Only nginx runs, and what it answered is printed: to write expectations by. */
const isRecording = process.env.STEWARD_RECORD === '1';

const only = process.env.STEWARD_ONLY;

function freePorts(count: number): Promise<number[]> {
  const one = (): Promise<number> =>
    new Promise((resolve, reject) => {
      const server = createServer().once('error', reject);
      server.listen(0, '127.0.0.1', () => {
        const { port } = server.address() as { port: number };
        server.close(() => resolve(port));
      });
    });
  return Promise.all(Array.from({ length: count }, one));
}

interface Bench {
  readonly folder: string;
  readonly upstreams: Upstreams;
  gateway: Gateway | undefined;
  cases: number;
}

const portsPerCase = 3;

function fill(conf: string, bench: Bench, side: Side): string {
  const values: Record<string, string> = {
    ...bench.upstreams.addresses,
    files: join(bench.folder, 'files'),
    tls: join(bench.folder, 'tls'),
    logs: side.logs,
    port: String(side.ports[0]),
    port2: String(side.ports[1]),
    port3: String(side.ports[2]),
  };
  return conf.replaceAll(/\{\{(\w+)\}\}/g, (whole, name: string) => values[name] ?? whole);
}

async function sideOf(bench: Bench, name: string): Promise<Side> {
  const logs = join(bench.folder, `logs-${bench.cases}-${name}`);
  mkdirSync(logs);
  return { ports: await freePorts(portsPerCase), logs };
}

/** Upstreams remember a request before they answer it; one that got no answer may still be on its way. */
const settleMs = 10;

/** With the certificate it shows. */
function shownWith(sent: Sent, folder: string): Sent {
  if (sent.shows === undefined) return sent;
  const pem = (kind: 'key' | 'crt'): Buffer => readFileSync(join(folder, `tls/${sent.shows}.${kind}`));
  return { ...sent, tls: { ...sent.tls, key: pem('key'), cert: pem('crt') } };
}

async function run(requests: readonly Sent[], side: Side, { upstreams, folder }: Bench): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  upstreams.take();
  for (const sent of requests) {
    const port = side.ports[(sent.port ?? 1) - 1] ?? 0;
    const found = await exchange(port, shownWith(sent, folder));
    if (found.end !== 'open') await wait(settleMs);
    outcomes.push({ exchange: found, got: upstreams.take(), side });
  }
  return outcomes;
}

const textOf = (file: string): string => (existsSync(file) ? readFileSync(file, 'utf8') : '');

async function logsOf({ logs = [] }: Case, side: Side, wanted: number): Promise<string> {
  if (logs.length === 0) return '';
  const read = (): string => logs.map((name) => `log ${name}\n${logLines(textOf(join(side.logs, name)), side)}`).join('\n');
  for (let n = 0; n < 40 && read().split('\n').length < wanted; n++) await wait(50);
  return read();
}

async function nginxSide(bench: Bench, one: Case): Promise<{ outcomes: Outcome[]; logs: string }> {
  const side = await sideOf(bench, 'nginx');
  const site = join(side.logs, 'site.conf');
  writeFileSync(site, fill(one.conf, bench, side));
  const nginx = await startNginx(join(bench.folder, `nginx-${bench.cases}`), site, side.ports[0] ?? 0);
  try {
    const outcomes = await run(one.requests, side, bench);
    return { outcomes, logs: await logsOf(one, side, 0) };
  } finally {
    await nginx.stop();
  }
}

async function stewardSide(bench: Bench, one: Case, wantedLogs: number): Promise<{ outcomes: Outcome[]; logs: string }> {
  const side = await sideOf(bench, 'steward');
  const site = join(side.logs, 'site.conf');
  writeFileSync(site, fill(one.conf, bench, side));
  bench.gateway ??= await startGateway(join(bench.folder, 'gateway'));
  await bench.gateway.serve(site, side.ports[0] ?? 0);
  const outcomes = await run(one.requests, side, bench);
  return { outcomes, logs: await logsOf(one, side, wantedLogs) };
}

/** Each request with what differs; empty when nothing does. */
export async function compareCase(bench: Bench, one: Case): Promise<string> {
  bench.cases++;
  const nginx = await nginxSide(bench, one);
  if (isRecording) {
    const text = nginx.outcomes.map(
      (outcome, index) => `  ${one.requests[index]?.name}\n${shown(outcome, outcome.exchange).replaceAll(/^/gm, '    ')}`,
    );
    process.stdout.write(`${one.name}\n${text.join('\n')}\n${nginx.logs}\n`);
    return '';
  }
  const steward = await stewardSide(bench, one, nginx.logs.split('\n').length);
  const allowed = Object.values(one.allow ?? {}).flat();
  const differences = nginx.outcomes.flatMap((outcome, index) => {
    const other = steward.outcomes[index];
    const name = one.requests[index]?.name ?? '';
    if (other === undefined) return [];
    const [left, right] = [shown(outcome, outcome.exchange), shown(other, outcome.exchange)];
    const isAllowed = allowed.some((start) => name.startsWith(start));
    if (isAllowed)
      return left === right
        ? [
            `  ${name}
    is the same on both sides: take it off the list of what may differ`,
          ]
        : [];
    return left === right
      ? []
      : [
          `  ${name}
${differenceOf(left, right) || '    (another order)'}`,
        ];
  });
  if (nginx.logs !== steward.logs) differences.push(`  access logs\n${differenceOf(nginx.logs, steward.logs)}`);
  return differences.join('\n');
}

function writeTls(folder: string): void {
  mkdirSync(folder);
  const make = (name: string, ...more: string[]): void =>
    void execFileSync(
      'openssl',
      [
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-nodes',
        '-days',
        '2',
        '-subj',
        `/CN=${name}`,
        '-addext',
        `subjectAltName=DNS:${name}`,
        '-keyout',
        join(folder, `${name}.key`),
        '-out',
        join(folder, `${name}.crt`),
        ...more,
      ],
      { stdio: 'ignore' },
    );
  for (const name of ['one.example', 'two.example', 'client']) make(name);
}

/** The folders, upstreams and gateway that the cases of a file share. */
export function useBench(): Bench {
  const folder = mkdtempSync(join(tmpdir(), 'steward-nginx-'));
  chmodSync(folder, 0o755);
  const bench: { -readonly [K in keyof Bench]: Bench[K] } = {
    folder,
    upstreams: undefined as unknown as Upstreams,
    gateway: undefined,
    cases: 0,
  };
  before(async () => {
    needsNginx();
    writeFixtures(join(folder, 'files'));
    writeTls(join(folder, 'tls'));
    bench.upstreams = await startUpstreams(folder);
  });
  after(async () => {
    await bench.gateway?.stop();
    bench.upstreams.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return bench;
}

/** A test for each case. */
export function testCases(bench: Bench, cases: readonly Case[]): void {
  for (const one of cases) {
    if (only !== undefined && !one.name.includes(only)) continue;
    test(one.name, async () => {
      const differences = await compareCase(bench, one);
      assert.equal(differences, '', `nginx and Steward differ:\n${differences}`);
    });
  }
}
