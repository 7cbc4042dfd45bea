/**
 * Which server of an upstream gets the next request. No clock and no I/O: times come in as milliseconds of a monotonic
 * clock. The state is changed in place, because it changes with every request.
 *
 *   in ──maxFails failures within failTimeout──► out ──failTimeout passed──► one trial request ──answer──► in
 *                                                 ▲                                 └──failure──┐
 *                                                 └───────────────────────────────────────────┘
 *
 * A server with maxFails 0 or failTimeout 0 is never out, nor is the only server of an upstream. When every server is out
 * all are tried again: a guess is better than a certain error.
 */
import type { ServerSpec } from '../config/model.ts';

export interface Server {
  readonly spec: ServerSpec;
  /** Requests under way: for least-connections, and to be seen. */
  active: number;
  /** Smooth weighted round robin: grows by the weight on each pick, falls by the sum when picked. */
  current: number;
  fails: number;
  firstFailAtMs: number;
  /** 0 while it is in. */
  outUntilMs: number;
  /** Since the worker started: requests it was given, and those it did not answer. */
  requests: number;
  failures: number;
}

export interface Balance {
  readonly servers: readonly Server[];
}

const sameServer = (a: ServerSpec, b: ServerSpec): boolean => JSON.stringify(a) === JSON.stringify(b);

/** The state for `specs`. What `previous` knew of a server that is still there, unchanged, is kept. */
export function createBalance(specs: readonly ServerSpec[], previous?: Balance): Balance {
  const known = [...(previous?.servers ?? [])];
  return {
    servers: specs.map((spec) => {
      const at = known.findIndex((server) => sameServer(server.spec, spec));
      const [found] = at < 0 ? [] : known.splice(at, 1);
      return found ?? { spec, active: 0, current: 0, fails: 0, firstFailAtMs: 0, outUntilMs: 0, requests: 0, failures: 0 };
    }),
  };
}

/**
 * The server for the next request, or undefined when none is left: servers in `tried` are not offered again. Backups come
 * only when no other server is in; servers marked `down` never.
 */
export function pickServer(balance: Balance, nowMs: number, tried?: ReadonlySet<Server>): Server | undefined {
  const { servers } = balance;
  const only = servers.length === 1 ? servers[0] : undefined;
  if (only !== undefined) return only.spec.down || tried?.has(only) ? undefined : only;
  return (
    pickAmong(servers, nowMs, tried, false, false) ??
    pickAmong(servers, nowMs, tried, true, false) ??
    pickAmong(servers, nowMs, tried, false, true) ??
    pickAmong(servers, nowMs, tried, true, true)
  );
}

function pickAmong(
  servers: readonly Server[],
  nowMs: number,
  tried: ReadonlySet<Server> | undefined,
  backup: boolean,
  evenOut: boolean,
): Server | undefined {
  let best: Server | undefined;
  let total = 0;
  for (const server of servers) {
    const { spec } = server;
    if (spec.down || spec.backup !== backup || (!evenOut && server.outUntilMs > nowMs) || tried?.has(server)) continue;
    server.current += spec.weight;
    total += spec.weight;
    if (best === undefined || server.current > best.current) best = server;
  }
  if (best === undefined) return undefined;
  best.current -= total;
  // Its time out has passed: this request is the trial, and the others stay away until it has an answer.
  if (best.outUntilMs > 0) best.outUntilMs = nowMs + best.spec.failTimeoutMs;
  return best;
}

/** Notes that `server` did not answer a request it was given. */
export function noteFailure(server: Server, nowMs: number): void {
  server.failures++;
  const { maxFails, failTimeoutMs } = server.spec;
  if (maxFails === 0 || failTimeoutMs === 0) return;
  if (server.outUntilMs > 0) {
    server.outUntilMs = nowMs + failTimeoutMs;
    return;
  }
  if (server.fails === 0 || nowMs - server.firstFailAtMs > failTimeoutMs) {
    server.fails = 0;
    server.firstFailAtMs = nowMs;
  }
  server.fails++;
  if (server.fails >= maxFails) server.outUntilMs = nowMs + failTimeoutMs;
}

/** Notes that `server` answered: it is in. Failures within the window still count unless it was out. */
export function noteAnswer(server: Server): void {
  if (server.outUntilMs === 0) return;
  server.outUntilMs = 0;
  server.fails = 0;
}
