/** Counters of all workers as one. Pure. */
import type { RouteTraffic, Traffic } from '@steward/sdk/contract/gateway';
import { bucketEndMs, type Counters, type RouteCounts, type StatusCounts } from './counters.ts';

const add = (a: readonly number[], b: readonly number[]): StatusCounts => a.map((count, at) => count + (b[at] ?? 0)) as StatusCounts;

const sum = (all: readonly Counters[], of: (counters: Counters) => number): number => all.reduce((total, one) => total + of(one), 0);

function mergedRoute(route: string, parts: readonly RouteCounts[]): RouteTraffic {
  const took = new Map<number, number>();
  for (const part of parts) for (const [bucket, count] of part.took) took.set(bucket, (took.get(bucket) ?? 0) + count);
  return {
    route,
    requests: parts.reduce((total, part) => total + part.requests, 0),
    answers: parts.map(({ answers }) => answers).reduce(add, [0, 0, 0, 0, 0]),
    bytesSent: parts.reduce((total, part) => total + part.bytesSent, 0),
    took: [...took].sort(([a], [b]) => a - b).map(([bucket, count]) => [bucketEndMs(bucket), count]),
  };
}

/** Sites and routes with the same names are one. `at` is when the counters were read. */
export function sumTraffic(all: readonly Counters[], at: Date): Traffic {
  const routes = all.flatMap(({ sites }) => sites.flatMap(({ site, routes: own }) => own.map((counts) => ({ site, counts }))));
  const servers = new Map<string, Traffic['servers'][number]>();
  for (const { upstreams } of all) {
    for (const [upstream, counts] of Object.entries(upstreams)) {
      for (const [server, { requests, failures, active }] of Object.entries(counts)) {
        const key = `${upstream}\n${server}`;
        const known = servers.get(key) ?? { upstream, server, requests: 0, failures: 0, active: 0 };
        servers.set(key, {
          ...known,
          requests: known.requests + requests,
          failures: known.failures + failures,
          active: known.active + active,
        });
      }
    }
  }
  return {
    at: at.toISOString(),
    workers: all.length,
    requests: sum(all, ({ requests }) => requests),
    active: sum(all, ({ active }) => active),
    connections: sum(all, ({ connections }) => connections),
    connectionsAccepted: sum(all, ({ connectionsAccepted }) => connectionsAccepted),
    answers: all.map(({ answers }) => answers).reduce(add, [0, 0, 0, 0, 0]),
    aborted: sum(all, ({ aborted }) => aborted),
    malformed: sum(all, ({ malformed }) => malformed),
    bytesSent: sum(all, ({ bytesSent }) => bytesSent),
    bytesReceived: sum(all, ({ bytesReceived }) => bytesReceived),
    logLinesDropped: sum(all, ({ logLinesDropped }) => logLinesDropped),
    sites: [...Map.groupBy(routes, ({ site }) => site)].map(([site, own]) => ({
      site,
      routes: [
        ...Map.groupBy(
          own.map(({ counts }) => counts),
          ({ route }) => route,
        ),
      ].map(([route, parts]) => mergedRoute(route, parts)),
    })),
    servers: [...servers.values()],
  };
}
