/**
 * The gateway's workers as instances of the supervisor: they are kept up, adopted and logged like any service. This is
 * what both rooms need to know of each other, as a value.
 */
import { statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname } from 'node:path';
import type { Config, InstanceSpec } from './config/model.ts';
import { findUser, type User } from './supervisor/supervisor.ts';

export const gatewayService = 'gateway';

/** Whether others than the owner may pass through every folder on the way to a path. */
function isWayOpen(path: string): boolean {
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    if ((statSync(folder).mode & 0o001) === 0) return false;
    if (folder === '/') return true;
  }
}

const isReadableByAll = (file: string): boolean => isWayOpen(file) && (statSync(file).mode & 0o004) !== 0;

/**
 * Who the workers run as: the configured user, else www-data, else nobody. Undefined: Steward's own user, because it is
 * not root, or because that user cannot read Steward's program (`reason` says what is closed).
 */
export function gatewayUser(wanted: string | undefined, program: readonly string[], folder: string): { user?: User; reason?: string } {
  if (process.getuid?.() !== 0) return {};
  const user = wanted === undefined ? (findUser('www-data') ?? findUser('nobody')) : findUser(wanted);
  if (user === undefined || user.uid === 0) return {};
  const closed = isWayOpen(folder) ? program.find((file) => !isReadableByAll(file)) : folder;
  return closed === undefined ? { user } : { reason: `the gateway runs as root, because user ${user.name} cannot reach ${closed}` };
}

const second = 1000;

/** One instance per worker; [] when there is nothing to serve. */
export function gatewayInstances(config: Config, command: readonly [string, ...string[]], user: User | undefined): InstanceSpec[] {
  if (config.sites.length === 0) return [];
  const count = config.gateway.workers ?? availableParallelism();
  const output = { maxBytes: 50 * 1024 * 1024, keep: 10 };
  return Array.from(
    { length: count },
    (_, index): InstanceSpec => ({
      id: `${gatewayService}:${gatewayService}_${index + 1}`,
      service: gatewayService,
      group: gatewayService,
      name: `${gatewayService}_${index + 1}`,
      number: index + 1,
      priority: 1000,
      autostart: true,
      after: [],
      command,
      cwd: '/',
      env: {},
      secretEnv: [],
      inheritEnv: false,
      ...(user && { user: user.name }),
      restart: 'always',
      expectedExitCodes: [],
      ready: { kind: 'log', pattern: '^\\S+ gateway: serves', timeoutMs: 15 * second },
      upAfterMs: 0,
      startRetries: 'forever',
      backoff: { kind: 'exponential', firstMs: 0, baseMs: 200, factor: 2, maxMs: 5 * second, jitter: 0.1, resetAfterMs: 10 * second },
      stop: { signal: 'TERM', timeoutMs: 15 * second, scope: 'process', killScope: 'group' },
      stdout: output,
      stderr: output,
    }),
  );
}
