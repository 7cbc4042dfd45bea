/**
 * Limits of requests and of requests under way, counted over all workers (nginx's limit_req and limit_conn):
 * https://nginx.org/en/docs/http/ngx_http_limit_req_module.html, https://nginx.org/en/docs/http/ngx_http_limit_conn_module.html
 */
import { createHash } from 'node:crypto';
import { accessSync, closeSync, constants, openSync, readdirSync, readSync, realpathSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { ConnectionsSpec, RateSpec, ZoneSpec } from '../../config/model.ts';
import { mapSharedMemory } from '../../kernel/shared-memory.ts';
import { createLimitsMemory, isAbandoned, type LimitsMemory, limitsHeaderBytes, limitsMemoryBytes } from './limits-memory.ts';
import { compileTemplate, expand, type Scope, type Template, type VariableSource } from './variables.ts';

/** `perSecond`, `burst` and `undelayed` are in thousandths of a request. */
export interface CompiledRate {
  /** Begins its keys, so that equal keys of two zones have two counters. */
  readonly zone: string;
  readonly key: Template;
  readonly perSecond: number;
  readonly burst: number;
  readonly undelayed: number;
  readonly status: number;
}

export interface CompiledConnections {
  readonly zone: string;
  readonly key: Template;
  readonly most: number;
  readonly status: number;
}

export type RateOutcome =
  | { readonly kind: 'go' }
  /** Goes on after `ms` milliseconds. */
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'refuse'; readonly status: number };

export type ConnectionsOutcome =
  /** `leave` when the request is over; more than once does no harm. */
  { readonly kind: 'go'; readonly leave: () => void } | { readonly kind: 'refuse'; readonly status: number };

export interface Limits {
  /** Counts the request, unless it is refused. Once a request: not again after a search for another route. */
  rate(limits: readonly CompiledRate[], source: VariableSource): RateOutcome;
  /** The same for requests under way. */
  connections(limits: readonly CompiledConnections[], source: VariableSource): ConnectionsOutcome;
}

type Zones = Readonly<Record<string, ZoneSpec>>;

/** Ready for requests. Those of a zone that is missing or of the other kind are left out: the configuration refuses them. */
export function compileRates(rates: readonly RateSpec[], zones: Zones, scope: Scope): readonly CompiledRate[] {
  return rates.flatMap(({ zone: name, burst, undelayed, status }): CompiledRate[] => {
    const zone = Object.hasOwn(zones, name) ? zones[name] : undefined;
    if (zone?.kind !== 'rate') return [];
    const free = undelayed === 'all' ? Number.POSITIVE_INFINITY : undelayed * 1000;
    const common = { zone: `${name}\0`, key: compileTemplate(zone.key, scope), status };
    return [{ ...common, perSecond: Math.floor(zone.perSecond * 1000), burst: burst * 1000, undelayed: free }];
  });
}

export function compileConnections(connections: readonly ConnectionsSpec[], zones: Zones, scope: Scope): readonly CompiledConnections[] {
  return connections.flatMap(({ zone: name, most, status }): CompiledConnections[] => {
    const zone = Object.hasOwn(zones, name) ? zones[name] : undefined;
    return zone?.kind === 'connections' ? [{ zone: `${name}\0`, key: compileTemplate(zone.key, scope), most, status }] : [];
  });
}

const memoryFolder = '/dev/shm';
const memoryName = /^steward-limits-\d+-[0-9a-f]{16}$/;

/** The file that the workers of the gateway in `folder` share their counters in: in memory where the system has /dev/shm. */
export function limitsFile(folder: string): string {
  try {
    accessSync(memoryFolder, constants.W_OK);
  } catch {
    return join(folder, 'limits');
  }
  const user = process.geteuid?.() ?? 0;
  return join(memoryFolder, `steward-limits-${user}-${createHash('sha256').update(realpathSync(folder)).digest('hex').slice(0, 16)}`);
}

/** A worker that starts may have opened a file and not have said so in it yet. */
const leftAloneMs = 60_000;

/** Takes away what gateways that are no more have left beside `file` in /dev/shm. Never throws. */
export function removeAbandoned(file: string, nowMs = Date.now()): void {
  if (dirname(file) !== memoryFolder) return;
  for (const name of readdirSync(memoryFolder)) {
    const other = join(memoryFolder, name);
    if (name === basename(file) || !memoryName.test(name)) continue;
    try {
      if (nowMs - statSync(other).mtimeMs > leftAloneMs && isAbandoned(beginningOf(other))) rmSync(other, { force: true });
    } catch {
      // Another user's, or another worker was faster.
    }
  }
}

function beginningOf(file: string): Uint8Array {
  const fd = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const bytes = new Uint8Array(limitsHeaderBytes);
    readSync(fd, bytes, 0, bytes.length, 0);
    return bytes;
  } finally {
    closeSync(fd);
  }
}

export interface LimitsOptions {
  /** See `limitsFile`; undefined: counters of this process alone. */
  readonly file: string | undefined;
  /** How many workers there are: each takes its share of a limit when the file cannot be shared. */
  readonly workers: number;
  /** A line for the error log. */
  readonly log: (line: string) => void;
}

/**
 * The counters of this worker, made with the first request that is counted. Never throws: without shared memory each worker
 * holds to its share of the limits, and says so.
 */
export function openLimits(options: LimitsOptions): Limits {
  let opened: Limits | undefined;
  const limits = (): Limits => {
    opened ??= openNow(options);
    return opened;
  };
  return {
    rate: (rates, source) => limits().rate(rates, source),
    connections: (connections, source) => limits().connections(connections, source),
  };
}

function openNow({ file, workers, log }: LimitsOptions): Limits {
  if (file !== undefined) {
    try {
      const limits = createLimits(createLimitsMemory(mapSharedMemory(file, limitsMemoryBytes)), 1);
      removeAbandoned(file);
      return limits;
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      log(`limits are counted by each worker alone, ${workers} workers with a share each: ${why}`);
    }
  }
  return createLimits(createLimitsMemory(new ArrayBuffer(limitsMemoryBytes)), workers);
}

// Clocks of all processes agree since the machine started; performance.now() counts from the start of each.
const [bootSeconds, bootNanoseconds] = process.hrtime();
const sinceBootMs = bootSeconds * 1000 + bootNanoseconds / 1e6 - performance.now();
const monotonicMs = (): number => Math.floor(performance.now() + sinceBootMs);

const go: RateOutcome = { kind: 'go' };
const nothing = (): void => {};
const enter: ConnectionsOutcome = { kind: 'go', leave: nothing };

/** `share`: by how many the limits are divided. `now` is in milliseconds, the same in all processes. */
export function createLimits(memory: LimitsMemory, share: number, now: () => number = monotonicMs): Limits {
  /** False for a request that is not counted. */
  const use = (zone: string, key: Template, source: VariableSource): boolean => {
    const text = expand(key, source);
    if (text === '') return false;
    memory.use(zone + text);
    return true;
  };
  const excessOf = ({ perSecond, burst }: CompiledRate, nowMs: number, count: boolean): number => {
    return memory.rate(perSecond / share, nowMs, count ? burst / share : undefined);
  };
  const delayOf = ({ perSecond, undelayed }: CompiledRate, excess: number): number => {
    const over = excess - undelayed / share;
    return over <= 0 ? 0 : Math.floor((over * 1000) / (perSecond / share));
  };

  return {
    rate(limits, source) {
      const nowMs = now();
      const last = limits.length - 1;
      // The others are counted only once it is certain that none of them refuses.
      for (let n = 0; n < last; n++) {
        const limit = limits[n] as CompiledRate;
        if (!use(limit.zone, limit.key, source)) continue;
        if (excessOf(limit, nowMs, false) > limit.burst / share) return { kind: 'refuse', status: limit.status };
      }
      let ms = 0;
      for (let n = last; n >= 0; n--) {
        const limit = limits[n] as CompiledRate;
        if (!use(limit.zone, limit.key, source)) continue;
        const excess = excessOf(limit, nowMs, true);
        if (n === last && excess > limit.burst / share) return { kind: 'refuse', status: limit.status };
        ms = Math.max(ms, delayOf(limit, excess));
      }
      return ms === 0 ? go : { kind: 'wait', ms };
    },
    connections(limits, source) {
      let holds: number[] | undefined;
      const leave = (): void => {
        for (const hold of holds ?? []) memory.leave(hold);
        holds = undefined;
      };
      for (const { zone, key, most, status } of limits) {
        if (!use(zone, key, source)) continue;
        const hold = memory.enter(Math.ceil(most / share), now());
        if (hold < 0) {
          leave();
          return { kind: 'refuse', status };
        }
        if (holds === undefined) holds = [hold];
        else holds.push(hold);
      }
      return holds === undefined ? enter : { kind: 'go', leave };
    },
  };
}
