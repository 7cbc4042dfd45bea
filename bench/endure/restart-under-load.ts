/**
 * Back ends that die and that are restarted while clients go on asking (F41, F12). A service of four and one of a single instance; GETs are
 * counted by what became of them, and POSTs by what the back ends took: none may be done twice.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { freePort } from '../free-port.ts';
import { type Steward, startSteward } from '../peers/steward.ts';
import { untilServed } from '../program.ts';
import { table } from '../table.ts';
import { tempFolder } from '../temp-folder.ts';
import { startClients, together } from './children.ts';
import type { ClientsReport } from './clients.ts';
import { backEndProgram } from './stage.ts';
import { type Conditions, scaled, type Trial } from './trial.ts';

const instances = 4;
const perSecond = 1_000;
const kills = 20;
const restarts = 5;
const patienceMs = 20_000;

/** Something done to the back ends while clients ask. */
type Stage = { name: string; path: string; times: number; act: (steward: Steward, turn: number) => Promise<void>; strict: boolean };

/** SIGKILL to one instance of a service, in turn; the others stay. */
const kill =
  (service: string) =>
  async (steward: Steward, turn: number): Promise<void> => {
    const all = (await steward.instances()).filter((instance) => instance.service === service);
    const chosen = all[turn % all.length];
    if (chosen && chosen.pid > 0) process.kill(chosen.pid, 'SIGKILL');
  };

/** One instance of the service, in turn. */
const restartOne = async (steward: Steward, turn: number): Promise<void> => {
  const all = (await steward.instances()).filter(({ service }) => service === 'four');
  const chosen = all[turn % all.length];
  if (chosen) await steward.command('restart', chosen.name);
};

const restart =
  (name: string) =>
  async (steward: Steward): Promise<void> =>
    void (await steward.command('restart', name));

const stages = (conditions: Conditions): readonly Stage[] => [
  { name: 'nothing happens', path: '/four', times: 1, act: async () => {}, strict: true },
  { name: 'one of 4 is killed', path: '/four', times: scaled(kills, conditions), act: kill('four'), strict: true },
  { name: 'steward restart of one of 4', path: '/four', times: scaled(restarts, conditions), act: restartOne, strict: true },
  { name: 'steward restart of all 4', path: '/four', times: scaled(restarts, conditions), act: restart('four:*'), strict: true },
  { name: 'the only one is killed', path: '/one', times: scaled(kills / 2, conditions), act: kill('one'), strict: false },
  { name: 'steward restart of the only one', path: '/one', times: scaled(restarts, conditions), act: restart('one'), strict: false },
];

async function untilRunning(steward: Steward): Promise<void> {
  for (const deadline = Date.now() + patienceMs; Date.now() < deadline; await wait(100)) {
    if ((await steward.instances()).every(({ state }) => state === 'RUNNING')) return;
  }
  throw new Error('the back ends are not all running again after 20 s');
}

/** One stage under clients of its own: GETs, and a tenth POSTs. */
async function perform(stage: Stage, steward: Steward, port: number, signal: AbortSignal): Promise<ClientsReport> {
  const url = `http://127.0.0.1:${port}${stage.path}`;
  const targets = [...Array.from({ length: 9 }, () => ({ url })), { url, postBytes: 1_000 }];
  await using clients = startClients({ targets, perSecond, connections: 64 });
  const reports: ClientsReport[] = [];
  await wait(1_000, undefined, { signal });
  for (let turn = 0; turn < stage.times; turn++) {
    await stage.act(steward, turn);
    await wait(500, undefined, { signal });
    await untilRunning(steward);
    reports.push(await clients.report());
  }
  reports.push(await clients.finish());
  return together(reports);
}

/** How many failures of a method, with a status where one is given. */
const failed = (report: ClientsReport, method: string, status = ''): number =>
  Object.entries(report.failures).reduce(
    (sum, [what, count]) => sum + (what.startsWith(`${method} `) && what.endsWith(status) ? count : 0),
    0,
  );

function row(stage: Stage, report: ClientsReport): string[] {
  const gets = [failed(report, 'GET', 'status 502'), failed(report, 'GET', 'status 503')];
  const others = failed(report, 'GET') - gets.reduce((sum, count) => sum + count, 0);
  const figures = [report.sent, ...gets, others, failed(report, 'POST')].map(String);
  return [stage.name, String(stage.times), ...figures, report.p99Ms.toFixed(1), report.maxMs.toFixed(0)];
}

export const restartUnderLoad: Trial = {
  name: 'restart-under-load',
  about: `back ends killed and restarted under ${perSecond} req/s on kept connections: no GET fails while another instance runs, no POST is done twice`,
  async run(conditions) {
    const { signal, print } = conditions;
    await using folder = await tempFolder();
    await using stack = new AsyncDisposableStack();
    const port = await freePort();
    const ledger = join(folder.path, 'ledger');
    await writeFile(ledger, '');
    const service = {
      run: [process.execPath, '--disable-warning=ExperimentalWarning', backEndProgram, '{{socket}}'],
      socket: true,
      env: { LEDGER: ledger },
      backoff: { first: '0s', base: '0s' },
    };
    const steward = stack.use(
      await startSteward(
        {
          services: { four: { ...service, instances }, one: service },
          sites: [
            {
              listen: [`127.0.0.1:${port}`],
              routes: [
                { path: '/four', service: 'four' },
                { path: '/one', service: 'one' },
              ],
            },
          ],
          gateway: { workers: 2, accessLog: false },
        },
        folder.path,
      ),
    );
    for (const path of ['/four', '/one']) await untilServed(`http://127.0.0.1:${port}${path}`);
    await untilRunning(steward);

    const rows: string[][] = [];
    const broken: string[] = [];
    const posted: string[] = [];
    for (const stage of stages(conditions)) {
      const report = await perform(stage, steward, port, signal);
      posted.push(...report.posted);
      rows.push(row(stage, report));
      const gets = failed(report, 'GET');
      if (stage.strict && gets > 0) broken.push(`${stage.name}: ${gets} GETs failed: ${JSON.stringify(report.failures)}`);
    }
    print(table(['what happens', 'times', 'requests', 'GET 502', 'GET 503', 'GET other', 'POST failed', 'p99 ms', 'longest'], rows));
    const taken = (await readFile(ledger, 'utf8')).trim().split('\n');
    const once = new Set(taken);
    print(`POSTs: ${posted.length} answered 200, ${taken.length} taken by back ends, ${taken.length - once.size} of them twice`);
    if (taken.length > once.size) broken.push(`${taken.length - once.size} POSTs were done twice`);
    const lost = posted.filter((id) => !once.has(id)).length;
    if (lost > 0) broken.push(`${lost} POSTs were answered and never done`);
    return broken;
  },
};
