/** The programs of clients that trials start: what they were told, and what they report. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { ClientsReport, ClientsTask } from './clients.ts';
import type { StreamsReport, StreamsTask } from './streams.ts';

/** Clients at work. */
export type Clients<Report> = AsyncDisposable & {
  /** What they found by now. */
  report: () => Promise<Report>;
  /** The same, after the last of what is under way; nothing is begun any more. */
  finish: () => Promise<Report>;
};

/** @throws when the program ends instead of reporting. */
function start<Report>(file: string, task: object): { next: () => Promise<Report>; clients: Clients<Report> } {
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), [JSON.stringify(task)], {
    detached: true,
    execArgv: ['--disable-warning=ExperimentalWarning'],
  });
  const exited = once(child, 'exit');
  const next = async (): Promise<Report> => {
    const ended = exited.then(([code]) => {
      throw new Error(`${file} ended with ${code}`);
    });
    const [message] = (await Promise.race([once(child, 'message'), ended])) as [Report];
    return message;
  };
  const ask = (word: string): Promise<Report> => {
    const message = next();
    child.send(word);
    return message;
  };
  return {
    next,
    clients: {
      report: () => ask('report'),
      finish: () => ask('finish'),
      async [Symbol.asyncDispose]() {
        if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
        await exited;
      },
    },
  };
}

/** Keep-alive clients at a steady rate. */
export const startClients = (task: ClientsTask): Clients<ClientsReport> => start<ClientsReport>('clients.ts', task).clients;

/** Websockets, slow downloads and slow uploads; resolves when all websockets are open. */
export async function startStreams(task: StreamsTask): Promise<Clients<StreamsReport>> {
  const { next, clients } = start<StreamsReport>('streams.ts', task);
  await next();
  return clients;
}

/** Reports of one after the other as one; the percentiles are the worst of them. */
export function together(reports: readonly ClientsReport[]): ClientsReport {
  const all: ClientsReport = { sent: 0, answered: 0, failures: {}, p50Ms: 0, p99Ms: 0, maxMs: 0, posted: [] };
  for (const report of reports) {
    all.sent += report.sent;
    all.answered += report.answered;
    for (const figure of ['p50Ms', 'p99Ms', 'maxMs'] as const) all[figure] = Math.max(all[figure], report[figure]);
    for (const [what, count] of Object.entries(report.failures)) all.failures[what] = (all.failures[what] ?? 0) + count;
    all.posted.push(...report.posted);
  }
  return all;
}

/** Failures as lines. */
export const faults = (failures: Readonly<Record<string, number>>): string[] =>
  Object.entries(failures).map(([what, count]) => `${what}: ${count} times`);

/** One line about clients. */
export const clientsLine = ({ sent, answered, p50Ms, p99Ms, maxMs }: ClientsReport): string =>
  `${sent} requests, ${answered} answered 200, p50 ${p50Ms.toFixed(2)} ms, p99 ${p99Ms.toFixed(2)} ms, longest ${maxMs.toFixed(0)} ms`;
