/** What a worker counts: all in all, by site and by route, with the time that answers took. */
import type { UpstreamCounts } from './upstream/upstreams.ts';

/** Since the worker started. */
export interface Counters {
  requests: number;
  active: number;
  /** By first digit of the status, 4 for clients that left before it: [informational, success, redirection, client's fault, server's fault]. */
  answers: StatusCounts;
  /** Clients that left before the answer was complete. */
  aborted: number;
  /** What came in and was no HTTP request. */
  malformed: number;
  bytesSent: number;
  bytesReceived: number;
  logLinesDropped: number;
  connections: number;
  connectionsAccepted: number;
  upstreams: Record<string, Record<string, UpstreamCounts>>;
  sites: SiteCounts[];
}

export type StatusCounts = [number, number, number, number, number];

export interface SiteCounts {
  readonly site: string;
  readonly routes: readonly RouteCounts[];
}

export interface RouteCounts {
  readonly route: string;
  readonly requests: number;
  readonly answers: StatusCounts;
  readonly bytesSent: number;
  /** `[bucket, requests]` for the buckets that are not empty; see `bucketEndMs`. */
  readonly took: readonly (readonly [number, number])[];
}

/** Two buckets for each doubling, from 16 µs on: a percentile read from them is at most 41 % too long. */
const buckets = 48;
const firstUs = 16;

const bucketOf = (ms: number): number => {
  const us = ms * 1000;
  if (us <= firstUs) return 0;
  return Math.min(buckets - 1, Math.ceil(Math.log2(us / firstUs) * 2));
};

/** Longest time in a bucket, in milliseconds. */
export const bucketEndMs = (bucket: number): number => (firstUs * 2 ** (bucket / 2)) / 1000;

/** The time within which `share` (0 to 1) of the requests were answered, in milliseconds; 0 when there were none. */
export function percentile(took: RouteCounts['took'], share: number): number {
  const sorted = [...took].sort(([a], [b]) => a - b);
  const all = sorted.reduce((sum, [, count]) => sum + count, 0);
  let seen = 0;
  for (const [bucket, count] of sorted) {
    seen += count;
    if (seen >= all * share) return bucketEndMs(bucket);
  }
  return 0;
}

/** Of one route. */
export class RouteCounter {
  requests = 0;
  bytesSent = 0;
  readonly answers: StatusCounts = [0, 0, 0, 0, 0];
  readonly #took = new Uint32Array(buckets);
  /** Made last; good until the next request. */
  #counts: RouteCounts | undefined;

  note(status: number, bytesSent: number, tookMs: number): void {
    this.requests++;
    this.#counts = undefined;
    this.bytesSent += bytesSent;
    countStatus(this.answers, status);
    const bucket = bucketOf(tookMs);
    this.#took[bucket] = (this.#took[bucket] ?? 0) + 1;
  }

  counts(route: string): RouteCounts {
    if (this.#counts?.route === route) return this.#counts;
    const took: [number, number][] = [];
    this.#took.forEach((count, bucket) => void (count > 0 && took.push([bucket, count])));
    this.#counts = { route, requests: this.requests, answers: [...this.answers], bytesSent: this.bytesSent, took };
    return this.#counts;
  }
}

export function countStatus(answers: StatusCounts, status: number): void {
  const kind = Math.floor(status / 100) - 1;
  if (kind >= 0 && kind < 5) answers[kind as 0]++;
}

/** Sites and routes of one worker, by name: they go on counting when the table changes. */
export class SiteCounters {
  readonly #sites = new Map<string, Map<string, RouteCounter>>();

  counter(site: string, route: string): RouteCounter {
    let routes = this.#sites.get(site);
    if (routes === undefined) {
      routes = new Map();
      this.#sites.set(site, routes);
    }
    let counter = routes.get(route);
    if (counter === undefined) {
      counter = new RouteCounter();
      routes.set(route, counter);
    }
    return counter;
  }

  /** Forgets the sites that are not among `names`. */
  keep(names: ReadonlySet<string>): void {
    for (const name of this.#sites.keys()) if (!names.has(name)) this.#sites.delete(name);
  }

  /** Those that have answered anything. */
  counts(): SiteCounts[] {
    return [...this.#sites].flatMap(([site, routes]) => {
      const counted = [...routes].flatMap(([route, counter]) => (counter.requests === 0 ? [] : [counter.counts(route)]));
      return counted.length === 0 ? [] : [{ site, routes: counted }];
    });
  }
}
