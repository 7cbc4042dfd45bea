/**
 * Looks at the servers of upstreams that ask for it, whatever requests find, and tells the balance. Each worker checks by
 * itself, so a server sees as many checks as there are workers.
 *
 *   counts as healthy ──failures in a row──► unhealthy ──passes in a row──► healthy, slowly
 *
 * A check is a GET on a connection of its own. The first ones are spread out, and few are under way at once, so that a thousand
 * servers are not asked in one moment.
 */
import { addressName } from '../../config/address.ts';
import type { CheckSpec } from '../../config/model.ts';
import { look, type Probe } from '../../probe/probe.ts';
import { type Balance, markUnhealthy, type Server } from './balance.ts';

/** An upstream that is checked. */
export interface CheckedUpstream {
  readonly name: string;
  readonly balance: Balance;
  readonly check: CheckSpec;
  /** How requests go to it. A certificate is not checked. */
  readonly scheme: 'http' | 'https';
}

export interface HealthChecks {
  /** Takes what is to be checked from now on. Servers that are still there keep what their checks found. */
  apply(upstreams: readonly CheckedUpstream[]): void;
  /** Ends the checks under way, without telling anybody what they found. Can be called twice. */
  stop(): void;
}

/** Chance, and the clock of the balance in milliseconds. */
export interface CheckSurroundings {
  readonly log: (line: string) => void;
  readonly now?: () => number;
  readonly random?: () => number;
  /** Checks under way at once. Default: 16. */
  readonly atOnce?: number;
}

/** First checks are spread over this for each server there is, at most over the time between checks. */
const spreadMs = 10;

interface Watch {
  upstream: CheckedUpstream;
  readonly server: Server;
  /** Of checks in a row with one outcome. */
  streak: number;
  passing: boolean;
  timer: NodeJS.Timeout | undefined;
  cancel: AbortController | undefined;
}

export function createHealthChecks(surroundings: CheckSurroundings): HealthChecks {
  return new Checks(surroundings);
}

class Checks implements HealthChecks {
  readonly #log: (line: string) => void;
  readonly #now: () => number;
  readonly #random: () => number;
  readonly #atOnce: number;
  readonly #watches = new Map<Server, Watch>();
  /** Due, and waiting for others to end. */
  readonly #due = new Set<Watch>();
  #underWay = 0;

  constructor({ log, now = () => performance.now(), random = Math.random, atOnce = 16 }: CheckSurroundings) {
    this.#log = log;
    this.#now = now;
    this.#random = random;
    this.#atOnce = atOnce;
  }

  apply(upstreams: readonly CheckedUpstream[]): void {
    const wanted = new Map(upstreams.flatMap((upstream) => checkedServers(upstream).map((server) => [server, upstream] as const)));
    for (const [server, watch] of this.#watches) if (!wanted.has(server)) this.#end(watch);
    for (const [server, upstream] of wanted) {
      const watch = this.#watches.get(server);
      if (watch === undefined) this.#begin(server, upstream, wanted.size);
      else this.#change(watch, upstream);
    }
  }

  stop(): void {
    for (const watch of this.#watches.values()) this.#end(watch);
  }

  #begin(server: Server, upstream: CheckedUpstream, count: number): void {
    const watch: Watch = { upstream, server, streak: 0, passing: true, timer: undefined, cancel: undefined };
    this.#watches.set(server, watch);
    this.#later(watch, this.#random() * Math.min(upstream.check.everyMs, count * spreadMs));
  }

  /** A check that is made otherwise does not wait for the time of the old one. */
  #change(watch: Watch, upstream: CheckedUpstream): void {
    const sooner = upstream.check.everyMs < watch.upstream.check.everyMs;
    watch.upstream = upstream;
    if (sooner && watch.timer !== undefined) this.#later(watch, this.#random() * upstream.check.everyMs);
  }

  #end(watch: Watch): void {
    this.#watches.delete(watch.server);
    this.#due.delete(watch);
    clearTimeout(watch.timer);
    watch.timer = undefined;
    watch.cancel?.abort();
  }

  #later(watch: Watch, delayMs: number): void {
    clearTimeout(watch.timer);
    watch.timer = setTimeout(() => {
      watch.timer = undefined;
      this.#due.add(watch);
      this.#next();
    }, delayMs);
  }

  #next(): void {
    for (const watch of this.#due) {
      if (this.#underWay >= this.#atOnce) return;
      this.#due.delete(watch);
      void this.#check(watch);
    }
  }

  async #check(watch: Watch): Promise<void> {
    const { check } = watch.upstream;
    const begunMs = this.#now();
    watch.cancel = new AbortController();
    this.#underWay++;
    const { ok, detail } = await look(probeOf(watch.server, watch.upstream), check.timeoutMs, watch.cancel.signal);
    this.#underWay--;
    watch.cancel = undefined;
    if (this.#watches.get(watch.server) === watch) {
      this.#note(watch, ok, detail);
      this.#later(watch, Math.max(0, begunMs + watch.upstream.check.everyMs - this.#now()));
    }
    this.#next();
  }

  #note(watch: Watch, ok: boolean, detail: string): void {
    const { server, upstream } = watch;
    watch.streak = ok === watch.passing ? watch.streak + 1 : 1;
    watch.passing = ok;
    if (ok !== server.unhealthy || watch.streak < (ok ? upstream.check.passes : upstream.check.failures)) return;
    markUnhealthy(server, !ok, this.#now());
    this.#log(changeLine(watch, detail));
  }
}

/** Servers marked down are not looked at; drained ones still serve. */
const checkedServers = ({ balance }: CheckedUpstream): Server[] => balance.servers.filter(({ spec }) => !spec.down);

const times = (count: number): string => (count === 1 ? 'a check' : `${count} checks in a row`);

function changeLine({ server, upstream, streak }: Watch, detail: string): string {
  const { name, check } = upstream;
  return server.unhealthy
    ? `upstream ${name}: ${server.name} is out: it failed ${times(streak)} of ${check.path}: ${detail}`
    : `upstream ${name}: ${server.name} is back: it passed ${times(streak)} of ${check.path}: ${detail}`;
}

/** What a check asks. Without a host of its own it names the server's address. */
function probeOf({ spec: { address } }: Server, { check, scheme }: CheckedUpstream): Probe {
  const { path, host, statuses, body } = check;
  const authority = address.kind === 'unix' ? 'localhost' : addressName(address);
  return {
    kind: 'http',
    url: `${scheme}://${authority}${path}`,
    statuses,
    ...(address.kind === 'unix' && { socketPath: address.path }),
    ...(host !== undefined && { host }),
    ...(body !== undefined && { body }),
  };
}
