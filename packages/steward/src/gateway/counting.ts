/** Counts requests as they begin and end. */
import { type Counters, countStatus, type RouteCounter, SiteCounters, type StatusCounts } from './counters.ts';
import type { Exchange } from './exchange.ts';
import type { CompiledRoute, CompiledSite, CompiledTable } from './match.ts';

/** What people call a site: its first host and where it listens. */
const siteName = (site: CompiledSite): string => site.entry.serverName || site.entry.hosts[0] || '*';

export class Counting {
  requests = 0;
  active = 0;
  aborted = 0;
  malformed = 0;
  bytesSent = 0;
  bytesReceived = 0;
  connections = 0;
  connectionsAccepted = 0;
  readonly #answers: StatusCounts = [0, 0, 0, 0, 0];
  readonly #sites = new SiteCounters();
  #byRoute = new WeakMap<CompiledRoute | CompiledSite, RouteCounter>();

  open(): void {
    this.connections++;
    this.connectionsAccepted++;
  }

  begin(): void {
    this.requests++;
    this.active++;
  }

  end(exchange: Exchange): void {
    const { status, site } = exchange;
    this.active--;
    this.bytesSent += exchange.bodyBytesSent;
    this.bytesReceived += exchange.bodyBytesReceived;
    if (!exchange.completed) this.aborted++;
    countStatus(this.#answers, status);
    if (site !== undefined)
      this.#counterOf(site, exchange.route).note(status, exchange.bodyBytesSent, performance.now() - exchange.startedAtMs);
  }

  #counterOf(site: CompiledSite, route: CompiledRoute | undefined): RouteCounter {
    const key = route ?? site;
    const known = this.#byRoute.get(key);
    if (known !== undefined) return known;
    const counter = this.#sites.counter(siteName(site), route?.name ?? '-');
    this.#byRoute.set(key, counter);
    return counter;
  }

  /** Forgets sites that `table` has no more. */
  keep(table: CompiledTable): void {
    this.#sites.keep(new Set(table.sites.map(siteName)));
  }

  counts(upstreams: Counters['upstreams'], logLinesDropped: number): Counters {
    const { requests, active, aborted, malformed, bytesSent, bytesReceived, connections, connectionsAccepted } = this;
    const numbers = { requests, active, aborted, malformed, bytesSent, bytesReceived, connections, connectionsAccepted };
    return { ...numbers, answers: [...this.#answers], logLinesDropped, upstreams, sites: this.#sites.counts() };
  }
}
