/**
 * When a certificate is asked for: pure, with the time and the chance as values.
 *
 *   needs (what sites want) + held (what is there) + tries (what was asked, and what came of it) ── nextOrder ──► which, and when
 *
 * A try is counted when it starts. Failures are waited out with growing pauses, for the name that failed and, when the
 * authority itself is the trouble, for all of them; who failed last comes last, so that one name cannot hold up the others.
 */
import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
import { domainToASCII } from 'node:url';
import type { Problem } from '../../../config/problem.ts';
import type { GatewayErrorCode } from '../../errors.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;

/** Let's Encrypt takes 5 failed validations of a name an hour: the pauses of 5, 10, 20 and 40 minutes stay below it. */
const firstPauseMs = 5 * minuteMs;
const longestPauseMs = dayMs;
/** Of all names, after failures of the authority itself. */
const firstDirectoryPauseMs = minuteMs;
const longestDirectoryPauseMs = 6 * hourMs;
/** However long an authority asks to wait, and whatever the clock was when that was written down. */
const longestHoldMs = 7 * dayMs;
export const triesADay = 10;
/** An end this near is told while the renewal keeps failing. */
const warnMs = 14 * dayMs;
/** What authorities take in one certificate. */
const mostHosts = 100;

/** A certificate that sites want. */
export interface Need {
  readonly name: string;
  /** As `askableHosts` gives them. */
  readonly hosts: readonly string[];
}

/** A certificate that is there. */
export interface Held {
  readonly hosts: readonly string[];
  readonly fromMs: number;
  readonly toMs: number;
  /** URL of the directory it came from; undefined when that is no longer known. */
  readonly directory?: string;
}

/** What became of the tries at one certificate, or at one directory. */
export interface Tries {
  /** When each of the last 24 hours began, in ms. */
  readonly starts: readonly number[];
  /** In a row, since the last success. */
  readonly failures: number;
  /** Nothing is asked before, in ms. */
  readonly notBefore: number;
  /** Why the last one failed. */
  readonly reason?: string;
}

export const noTries: Tries = { starts: [], failures: 0, notBefore: 0 };

export interface Failure {
  readonly reason: string;
  /** How long the authority asked to wait. */
  readonly retryAfterMs?: number;
}

const lastDay = (starts: readonly number[], nowMs: number): number[] => starts.filter((at) => at > nowMs - dayMs && at <= nowMs);

/** A try begins. */
export const started = (tries: Tries, nowMs: number): Tries => ({ ...tries, starts: [...lastDay(tries.starts, nowMs), nowMs] });

/** A try was answered as hoped. */
export const succeeded = ({ starts }: Tries): Tries => ({ starts, failures: 0, notBefore: 0 });

/** A try at a certificate failed. `chance` in [0, 1) shortens the pauses by up to a fifth, so that many do not come at once. */
export const failed = (tries: Tries, failure: Failure, nowMs: number, chance: number): Tries =>
  paused(tries, failure, nowMs, pauseOf(firstPauseMs, longestPauseMs, tries.failures) * (1 - 0.2 * chance));

/** A try failed by no fault of the name: all wait. */
export const directoryFailed = (tries: Tries, failure: Failure, nowMs: number, chance: number): Tries =>
  paused(tries, failure, nowMs, pauseOf(firstDirectoryPauseMs, longestDirectoryPauseMs, tries.failures) * (1 - 0.2 * chance));

const pauseOf = (first: number, longest: number, failures: number): number => Math.min(first * 2 ** failures, longest);

const paused = ({ starts, failures }: Tries, { reason, retryAfterMs = 0 }: Failure, nowMs: number, pauseMs: number): Tries => ({
  starts,
  failures: failures + 1,
  notBefore: Math.round(nowMs + Math.max(pauseMs, Math.min(retryAfterMs, longestHoldMs))),
  reason,
});

/** A hold of more than a week was written down by another clock: it is not waited for. */
const holdOf = ({ notBefore }: Tries, nowMs: number): number => (notBefore - nowMs > longestHoldMs ? 0 : notBefore);

/** When the tries so far allow another one. */
function allowedAt(tries: Tries, nowMs: number): number {
  const starts = lastDay(tries.starts, nowMs);
  const oldest = starts.length < triesADay ? undefined : starts.at(-triesADay);
  return Math.max(holdOf(tries, nowMs), oldest === undefined ? 0 : oldest + dayMs);
}

export interface RenewalPolicy {
  /** URL certificates shall come from. */
  readonly directory: string;
  /** How long before its end a certificate is renewed; a third of its lifetime when not given, at most half of it. */
  readonly renewBeforeMs?: number;
}

const covers = (held: Held, hosts: readonly string[]): boolean => hosts.every((host) => held.hosts.includes(host));

/** When a certificate should be renewed, in ms: up to a thirtieth of its lifetime early, so that many do not come at once. */
export function renewalAt(held: Held, { renewBeforeMs }: RenewalPolicy): number {
  const lifetime = held.toMs - held.fromMs;
  const before = Math.min(renewBeforeMs ?? lifetime / 3, lifetime / 2);
  const spread = createHash('sha256').update(`${held.hosts.join()} ${held.toMs}`).digest().readUInt32BE() / 2 ** 32;
  return Math.round(held.toMs - before - (spread * lifetime) / 30);
}

/** When `need` wants a new certificate, in ms, whatever was tried before; 0 when at once. */
export function wantedAt(need: Need, held: Held | undefined, policy: RenewalPolicy): number {
  if (held === undefined || !covers(held, need.hosts)) return 0;
  if (held.directory !== undefined && held.directory !== policy.directory) return 0;
  return renewalAt(held, policy);
}

/** Where one certificate stands. */
export interface Standing {
  readonly need: Need;
  readonly held: Held | undefined;
  readonly tries: Tries;
}

export interface NextOrder {
  readonly name: string;
  readonly atMs: number;
}

/** The order to place next; of several that are due, the one tried longest ago. Undefined when nothing is needed at all. */
export function nextOrder(standings: readonly Standing[], directory: Tries, policy: RenewalPolicy, nowMs: number): NextOrder | undefined {
  const pause = holdOf(directory, nowMs);
  const orders = standings
    .filter(({ need }) => need.hosts.length > 0)
    .map(({ need, held, tries }) => ({
      name: need.name,
      atMs: Math.max(wantedAt(need, held, policy), allowedAt(tries, nowMs), pause),
      lastMs: tries.starts.at(-1) ?? 0,
    }));
  const due = orders.filter(({ atMs }) => atMs <= nowMs);
  const [first] = due.length > 0 ? due.sort((a, b) => a.lastMs - b.lastMs) : orders.sort((a, b) => a.atMs - b.atMs);
  return first && { name: first.name, atMs: first.atMs };
}

/**
 * What serves `need` best of the certificates that are there: its own while that is good, else one that covers all hosts,
 * else one that covers some, else its own although it has ended. `all` may hold those of names that nobody wants any more.
 */
export function servingOf<T extends Held>({ hosts }: Need, own: T | undefined, all: readonly T[], nowMs: number): T | undefined {
  if (own !== undefined && own.toMs > nowMs && covers(own, hosts)) return own;
  const score = (held: Held): number => hosts.filter((host) => held.hosts.includes(host)).length;
  const [best] = all.filter((held) => held.toMs > nowMs && score(held) > 0).sort((a, b) => score(b) - score(a) || b.toMs - a.toMs);
  return best ?? own;
}

export interface Askable {
  readonly hosts: readonly string[];
  readonly refused: readonly { readonly host: string; readonly why: string }[];
}

/** Which hosts of a site a certificate can be asked for, as the authority writes them, and why the others cannot. */
export function askableHosts(hosts: readonly string[]): Askable {
  const askable = new Set<string>();
  const refused: { host: string; why: string }[] = [];
  for (const host of hosts) {
    const name = domainToASCII(host);
    const why = askable.size >= mostHosts ? `a certificate holds ${mostHosts} names` : whyNot(host, name);
    if (why === undefined) askable.add(name);
    else refused.push({ host, why });
  }
  return { hosts: [...askable].sort(), refused };
}

function whyNot(host: string, name: string): string | undefined {
  if (host.startsWith('~')) return 'a pattern names no host';
  if (host.includes('*') || host.startsWith('.')) return 'wildcards need a check by DNS, which Steward does not do';
  if (isIP(host.replace(/^\[(.*)\]$/, '$1')) !== 0) return 'it is an address, not a name';
  if (!/^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}$/.test(name)) return 'it is no full domain name';
  return undefined;
}

const timeText = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');

const problem = (severity: Problem['severity'], code: GatewayErrorCode, message: string, hint: string): Problem<GatewayErrorCode> => ({
  severity,
  code,
  message,
  hint,
});

/** A host that no certificate can be asked for. */
export const hostProblem = ({ host, why }: Askable['refused'][number]): Problem<GatewayErrorCode> =>
  problem('error', 'gateway/acme-host', `no certificate can be asked for "${host}": ${why}`, 'Give the site a certificate from files.');

/**
 * What is wrong with one certificate now. While a good one is there, failures are told 14 days before its end and not
 * earlier: there is time to try again.
 */
export function standingProblems({ need, held, tries }: Standing, nowMs: number): Problem<GatewayErrorCode>[] {
  if (need.hosts.length === 0) return [];
  const names = need.hosts.join(', ');
  const reason = tries.reason ?? 'it was not tried yet';
  const hint = tries.notBefore > nowMs ? `It is tried again at ${timeText(tries.notBefore)}.` : 'It is tried now.';
  if (held === undefined || !covers(held, need.hosts)) {
    if (tries.failures === 0) return [];
    return [problem('warning', 'gateway/acme-refused', `there is no certificate for ${names}: ${reason}`, hint)];
  }
  if (held.toMs <= nowMs)
    return [problem('error', 'gateway/acme-ended', `the certificate for ${names} ended at ${timeText(held.toMs)}: ${reason}`, hint)];
  if (held.toMs - nowMs > warnMs || tries.failures === 0) return [];
  const days = Math.floor((held.toMs - nowMs) / dayMs);
  return [
    problem(
      'warning',
      'gateway/acme-ends',
      `the certificate for ${names} ends at ${timeText(held.toMs)}, in ${days} ${days === 1 ? 'day' : 'days'}, and its renewal fails: ${reason}`,
      hint,
    ),
  ];
}

/** What is wrong with the authority itself, once it failed again: a single failure is common, and told with its certificate. */
export function directoryProblems(directory: string, tries: Tries, nowMs: number): Problem<GatewayErrorCode>[] {
  if (tries.failures < 2) return [];
  const hint = tries.notBefore > nowMs ? `Nothing is asked before ${timeText(tries.notBefore)}.` : 'It is asked again now.';
  return [problem('warning', 'gateway/acme-directory', `${directory} gives no certificates: ${tries.reason}`, hint)];
}
