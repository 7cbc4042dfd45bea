/**
 * Whether a request goes to the next server: nginx's rules (ngx_http_proxy_module, "proxy_next_upstream"), and a budget that
 * keeps retries from multiplying the load of servers that are all in trouble. Pure: times are milliseconds of a monotonic clock.
 */
import type { RetryCause, RetrySpec } from '../../config/model.ts';

/** Why an answer is not taken: `RetryCause` without its word for methods. */
export type FailedCause = Exclude<RetryCause, 'non-idempotent'>;

export interface FailedTry {
  readonly cause: FailedCause;
  readonly method: string;
  /** A part of the request may have reached the server. */
  readonly sent: boolean;
  /** A part of the body that cannot be had again was passed on. */
  readonly bodyGone: boolean;
  /** Servers asked so far. */
  readonly tries: number;
  /** Since the first was picked. */
  readonly elapsedMs: number;
}

/** Methods nginx does not send twice on its own; PUT and DELETE do no more harm the second time (RFC 9110, 9.2.2). */
const unrepeatable: ReadonlySet<string> = new Set(['POST', 'LOCK', 'PATCH']);

/** Whether a request of this method may be sent again once a server may have it. */
export const isRepeatable = (method: string, { on }: RetrySpec): boolean => !unrepeatable.has(method) || on.includes('non-idempotent');

/** Whether the next server may be asked. It has to be there, and the budget has to allow it, too. */
export function mayRetry(failed: FailedTry, spec: RetrySpec): boolean {
  const { cause, method, sent, bodyGone, tries, elapsedMs } = failed;
  if (bodyGone || !spec.on.includes(cause)) return false;
  if (sent && !isRepeatable(method, spec)) return false;
  if (spec.tries > 0 && tries >= spec.tries) return false;
  return spec.timeoutMs === 0 || elapsedMs < spec.timeoutMs;
}

/** Whether an upstream's answer with `status` is one to ask the next server for, methods and limits aside. Cheap for 2xx. */
export const isRetryStatus = (status: number, { on }: RetrySpec): status is Extract<FailedCause, number> =>
  status >= 400 && (on as readonly (number | string)[]).includes(status);

/**
 * Whether `cause` counts as a failure of the server (maxFails). Errors and timeouts always do, 5xx and 429 when they are retried
 * on, 403 and 404 never.
 */
export const isServerFailure = (cause: FailedCause, { on }: RetrySpec): boolean =>
  typeof cause === 'string' || (cause !== 403 && cause !== 404 && on.includes(cause));

/** Whether the service has no instance that is ready, or no server of an upstream works. */
export type NoServer = 'no-instance' | 'no-server';

/**
 * The status for a client whose request ends with `cause`. As in nginx: 504 for a timeout, 502 for other errors and when no
 * server works, the server's own status otherwise. A service that is not up gives 503, which is to be sent with Retry-After.
 */
export function failedStatus(cause: FailedCause | NoServer): number {
  if (typeof cause === 'number') return cause;
  if (cause === 'timeout') return 504;
  return cause === 'no-instance' ? 503 : 502;
}

/**
 * Retries that bore no fruit, within the last ten seconds, may be 20 % of the requests, and 100 in any case (10 a second): then
 * requests fail at the first try. nginx has no such limit. A retry that is answered costs nothing, so one dead server among
 * several is never felt; when all of them fail, asking each in turn would multiply the load just when there is too much of it.
 * One for each upstream in each worker.
 */
export interface RetryBudget {
  /** By second, the oldest overwritten. */
  readonly requests: number[];
  readonly retries: number[];
  requestSum: number;
  retrySum: number;
  /** The second that is being counted. */
  second: number;
}

const windowSeconds = 10;
const retriesShare = 0.2;
const leastRetries = 10 * windowSeconds;

export const createRetryBudget = (): RetryBudget => ({
  requests: new Array<number>(windowSeconds).fill(0),
  retries: new Array<number>(windowSeconds).fill(0),
  requestSum: 0,
  retrySum: 0,
  second: 0,
});

/** Index of the second of `nowMs`. Clears those that have passed since the last call. */
function advance(budget: RetryBudget, nowMs: number): number {
  const now = Math.floor(nowMs / 1000);
  if (now > budget.second) {
    for (let second = Math.max(budget.second + 1, now - windowSeconds + 1); second <= now; second++) clear(budget, second % windowSeconds);
    budget.second = now;
  }
  return budget.second % windowSeconds;
}

function clear(budget: RetryBudget, slot: number): void {
  budget.requestSum -= budget.requests[slot] ?? 0;
  budget.retrySum -= budget.retries[slot] ?? 0;
  budget.requests[slot] = 0;
  budget.retries[slot] = 0;
}

/** Counts a request that a client sent. */
export function noteRequest(budget: RetryBudget, nowMs: number): void {
  const slot = advance(budget, nowMs);
  budget.requests[slot] = (budget.requests[slot] ?? 0) + 1;
  budget.requestSum++;
}

/** Whether there is a retry left; if so it is spent. */
export function spendRetry(budget: RetryBudget, nowMs: number): boolean {
  const slot = advance(budget, nowMs);
  if (budget.retrySum >= Math.max(leastRetries, budget.requestSum * retriesShare)) return false;
  budget.retries[slot] = (budget.retries[slot] ?? 0) + 1;
  budget.retrySum++;
  return true;
}

/** Gives back a retry that was answered. */
export function returnRetry(budget: RetryBudget, nowMs: number): void {
  const slot = advance(budget, nowMs);
  if (budget.retrySum === 0) return;
  // The newest one: it may have been spent in an earlier second.
  for (let back = 0; back < windowSeconds; back++) {
    const at = (slot + windowSeconds - back) % windowSeconds;
    const spent = budget.retries[at] ?? 0;
    if (spent === 0) continue;
    budget.retries[at] = spent - 1;
    budget.retrySum--;
    return;
  }
}
