/** Runs the cases of a table against Apache and Steward. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { differenceOf } from '../nginx/compare.ts';
import { writeFixtures } from '../nginx/fixtures.ts';
import { type Gateway, startGateway } from '../nginx/servers.ts';
import { startUpstreams, type Upstreams } from '../nginx/upstreams.ts';
import { exchange, type Sent } from '../nginx/wire.ts';
import { logLines, type Outcome, type Side, shown } from './compare.ts';
import { needsApache, startApache } from './servers.ts';

/** Only Apache runs, and what it answered is printed. */
const isRecording = process.env.STEWARD_RECORD === '1';
const only = process.env.STEWARD_ONLY;

export interface Case {
  readonly name: string;
  /** {{port}}, {{port2}}, {{files}}, {{logs}} (folders), {{a}} to {{d}} (upstreams) are replaced. */
  readonly conf: string;
  readonly requests: readonly Sent[];
  /** Names of logs below {{logs}} to compare. */
  readonly logs?: readonly string[];
  /** Requests that differ by decision, by the beginning of their names: why. */
  readonly allow?: Readonly<Record<string, string>>;
}

interface Bench {
  readonly folder: string;
  upstreams: Upstreams | undefined;
  gateway: Gateway | undefined;
  cases: number;
}

const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });

async function sideOf(bench: Bench, name: string): Promise<Side> {
  const logs = join(bench.folder, `logs-${bench.cases}-${name}`);
  mkdirSync(logs);
  return { ports: [await freePort(), await freePort()], logs };
}

function fill(text: string, bench: Bench, side: Side): string {
  const values: Record<string, string> = {
    ...bench.upstreams?.addresses,
    files: join(bench.folder, 'files'),
    logs: side.logs,
    tls: join(bench.folder, 'tls'),
    port: String(side.ports[0]),
    port2: String(side.ports[1]),
  };
  return text.replaceAll(/\{\{(\w+)\}\}/g, (whole, name: string) => values[name] ?? whole);
}

function write(bench: Bench, one: Case, side: Side): string {
  const site = join(side.logs, 'site.conf');
  writeFileSync(site, fill(one.conf, bench, side));
  return site;
}

async function run(requests: readonly Sent[], side: Side, upstreams: Upstreams, bench: Bench): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  upstreams.take();
  for (const sent of requests) {
    const bytes = Buffer.from(fill(sent.bytes.toString('latin1'), bench, side), 'latin1');
    const found = await exchange(side.ports[(sent.port ?? 1) - 1] ?? 0, { ...sent, bytes });
    outcomes.push({ exchange: found, got: upstreams.take(), side });
  }
  return outcomes;
}

async function logsOf({ logs = [] }: Case, side: Side, wanted: number): Promise<string> {
  const textOf = (name: string): string => (existsSync(join(side.logs, name)) ? readFileSync(join(side.logs, name), 'utf8') : '');
  const read = (): string =>
    logs.map((name) => `log ${name}\n${logLines(textOf(name), side).trim().split('\n').sort().join('\n')}`).join('\n');
  for (let n = 0; n < 40 && read().split('\n').length < wanted; n++) await wait(50);
  return read();
}

/** Each request with what differs; empty when nothing does. */
async function compareCase(bench: Bench, one: Case): Promise<string> {
  const { upstreams } = bench;
  if (upstreams === undefined) throw new Error('the upstreams are not there');
  bench.cases++;
  const side = await sideOf(bench, 'apache');
  const apache = await startApache(join(bench.folder, `apache-${bench.cases}`), write(bench, one, side), side.ports[0] ?? 0);
  const wanted = await run(one.requests, side, upstreams, bench).finally(() => apache.stop());
  const wantedLogs = await logsOf(one, side, 0);
  if (isRecording) {
    const text = wanted.map((outcome, n) => `  ${one.requests[n]?.name}\n${shown(outcome, outcome.exchange).replaceAll(/^/gm, '    ')}`);
    process.stdout.write(`${one.name}\n${text.join('\n')}\n${wantedLogs}\n`);
    return '';
  }
  const other = await sideOf(bench, 'steward');
  bench.gateway ??= await startGateway(join(bench.folder, 'gateway'));
  await bench.gateway.serve(write(bench, one, other), other.ports[0] ?? 0);
  const found = await run(one.requests, other, upstreams, bench);
  const differences = wanted.flatMap((outcome, n) => {
    const mine = found[n];
    const name = one.requests[n]?.name ?? '';
    if (mine === undefined) return [];
    const [left, right] = [shown(outcome, outcome.exchange), shown(mine, outcome.exchange)];
    if (Object.keys(one.allow ?? {}).some((start) => name.startsWith(start)))
      return left === right ? [`  ${name}\n    is the same on both sides: take it off the list of what may differ`] : [];
    return left === right ? [] : [`  ${name}\n${differenceOf(left, right).replaceAll('nginx  ', 'Apache ')}`];
  });
  const logs = await logsOf(one, other, wantedLogs.split('\n').length);
  if (logs !== wantedLogs) differences.push(`  logs\n${differenceOf(wantedLogs, logs).replaceAll('nginx  ', 'Apache ')}`);
  return differences.join('\n');
}

/** A certificate for each name, which signs itself. */
function writeTls(folder: string): void {
  mkdirSync(folder);
  for (const name of ['one.example', 'two.example', 'client']) {
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', join(folder, `${name}.key`)];
    const names = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`];
    execFileSync('openssl', ['req', '-x509', '-days', '2', ...key, ...names, '-out', join(folder, `${name}.crt`)], { stdio: 'ignore' });
  }
}

/** The folders, upstreams and gateway that all cases share. */
export function useBench(): Bench {
  const folder = mkdtempSync(join(tmpdir(), 'steward-apache-'));
  chmodSync(folder, 0o755);
  const bench: Bench = { folder, upstreams: undefined, gateway: undefined, cases: 0 };
  before(async () => {
    needsApache();
    writeFixtures(join(folder, 'files'));
    writeTls(join(folder, 'tls'));
    bench.upstreams = await startUpstreams(folder);
    for (const name of ['c.sock', 'd.sock']) chmodSync(join(folder, name), 0o777);
  });
  after(async () => {
    await bench.gateway?.stop();
    bench.upstreams?.close();
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
      assert.equal(differences, '', `Apache and Steward differ:\n${differences}`);
    });
  }
}
