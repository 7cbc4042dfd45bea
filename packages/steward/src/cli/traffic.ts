/** Traffic of the gateway between two looks, as a table. Pure. */
import type { RouteTraffic, Traffic } from '@steward/sdk/contract/gateway';
import { type Column, count, table } from './print.ts';

/** What happened at a site or a route between two looks. */
export interface Flow {
  readonly site: string;
  readonly route: string;
  readonly perSecond: number;
  /** Statuses by first digit, of the time between. */
  readonly answers: readonly number[];
  readonly bytesPerSecond: number;
  /** Milliseconds; 0 when nothing was answered. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly requests: number;
}

type Histogram = RouteTraffic['took'];

/** Time within which `share` of the requests were answered, to the end of its bucket. */
export function percentileOf(took: Histogram, share: number): number {
  const all = took.reduce((sum, [, requests]) => sum + (requests ?? 0), 0);
  let seen = 0;
  for (const [ms = 0, requests = 0] of took) {
    seen += requests;
    if (seen > 0 && seen >= all * share) return ms;
  }
  return 0;
}

/** `later` without what was in `earlier`. A worker that was replaced counts from 0 again: then all of `later` is new. */
function between(earlier: RouteTraffic | undefined, later: RouteTraffic): RouteTraffic {
  if (earlier === undefined || earlier.requests > later.requests) return later;
  const before = new Map(earlier.took.map(([ms = 0, requests = 0]) => [ms, requests]));
  return {
    route: later.route,
    requests: later.requests - earlier.requests,
    answers: later.answers.map((all, at) => all - (earlier.answers[at] ?? 0)),
    bytesSent: later.bytesSent - earlier.bytesSent,
    took: later.took.flatMap(([ms = 0, requests = 0]) => {
      const more = requests - (before.get(ms) ?? 0);
      return more > 0 ? [[ms, more]] : [];
    }),
  };
}

function sumOf(routes: readonly RouteTraffic[]): RouteTraffic {
  const took = new Map<number, number>();
  for (const route of routes) for (const [ms = 0, requests = 0] of route.took) took.set(ms, (took.get(ms) ?? 0) + requests);
  return {
    route: '',
    requests: routes.reduce((sum, { requests }) => sum + requests, 0),
    answers: [0, 1, 2, 3, 4].map((at) => routes.reduce((sum, { answers }) => sum + (answers[at] ?? 0), 0)),
    bytesSent: routes.reduce((sum, { bytesSent }) => sum + bytesSent, 0),
    took: [...took].sort(([a], [b]) => a - b).map(([ms, requests]) => [ms, requests]),
  };
}

/** The flows between two looks, busiest first: one for each site, or for each route of it. */
export function flowsBetween(earlier: Traffic, later: Traffic, byRoute: boolean): Flow[] {
  const seconds = Math.max(0.001, (Date.parse(later.at) - Date.parse(earlier.at)) / 1000);
  const flows = later.sites.flatMap(({ site, routes }) => {
    const before = earlier.sites.find((known) => known.site === site)?.routes ?? [];
    const changes = routes.map((route) =>
      between(
        before.find((known) => known.route === route.route),
        route,
      ),
    );
    const shown = byRoute ? changes : [sumOf(changes)];
    return shown.map(
      ({ route, requests, answers, bytesSent, took }): Flow => ({
        site,
        route,
        perSecond: requests / seconds,
        answers,
        bytesPerSecond: bytesSent / seconds,
        p50Ms: percentileOf(took, 0.5),
        p99Ms: percentileOf(took, 0.99),
        requests: byRoute
          ? (routes.find((known) => known.route === route)?.requests ?? 0)
          : routes.reduce((sum, one) => sum + one.requests, 0),
      }),
    );
  });
  return flows.sort((a, b) => b.perSecond - a.perSecond || b.requests - a.requests);
}

const rate = (perSecond: number): string => (perSecond === 0 ? '-' : perSecond < 10 ? perSecond.toFixed(1) : perSecond.toFixed(0));
const ms = (value: number): string => (value === 0 ? '-' : value < 10 ? value.toFixed(1) : value.toFixed(0));

function bytesRate(perSecond: number): string {
  if (perSecond < 1) return '-';
  if (perSecond < 1024 * 1024) return `${(perSecond / 1024).toFixed(1)} KB`;
  return `${(perSecond / 1024 / 1024).toFixed(1)} MB`;
}

const status = (digit: number): Column<Flow> => ({
  title: `${digit}xx`,
  value: ({ answers }) => (answers[digit - 1] ? String(answers[digit - 1]) : '-'),
  align: 'right',
  color: ({ answers }) => (digit === 5 && (answers[4] ?? 0) > 0 ? 'red' : digit === 4 && (answers[3] ?? 0) > 0 ? 'yellow' : undefined),
});

/** The table of `steward top --sites`, with a line on the whole above it. */
export function trafficTable(flows: readonly Flow[], now: Traffic, byRoute: boolean, columns: number, colored: boolean): string {
  const perSecond = flows.reduce((sum, flow) => sum + flow.perSecond, 0);
  const head = `${rate(perSecond)} req/s, ${now.active} under way, ${count(now.connections, 'connection')}, ${count(now.workers, 'worker')}`;
  const shown: Column<Flow>[] = [
    { title: 'REQ/S', value: (flow) => rate(flow.perSecond), align: 'right' },
    { title: 'P50 ms', value: (flow) => ms(flow.p50Ms), align: 'right' },
    { title: 'P99 ms', value: (flow) => ms(flow.p99Ms), align: 'right' },
    status(2),
    status(3),
    status(4),
    status(5),
    { title: 'BYTES/S', value: (flow) => bytesRate(flow.bytesPerSecond), align: 'right' },
    { title: 'ALL', value: (flow) => String(flow.requests), align: 'right' },
    { title: byRoute ? 'SITE ROUTE' : 'SITE', value: ({ site, route }) => (byRoute ? `${site} ${route}` : site) },
  ];
  return flows.length === 0 ? `${head}\nnothing has been asked yet` : `${head}\n${table(flows, shown, columns, colored)}`;
}
