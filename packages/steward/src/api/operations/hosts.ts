/** Machines: the one this runs on. */
import { readFileSync } from 'node:fs';
import { availableParallelism, hostname, loadavg, release, totalmem, type as typeOfSystem, uptime } from 'node:os';
import type { HostInfo } from '@steward/sdk/contract/hosts';
import { version } from '../../version.ts';
import type { Handlers } from '../handlers.ts';

/** What programs could have, caches that would be given up counted in (proc(5)); Node's freemem() leaves those out. */
function availableBytes(): number {
  const [, kilobytes] = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'latin1')) ?? [];
  return Number(kilobytes ?? 0) * 1024;
}

function thisHost(): HostInfo {
  const nowMs = Date.now();
  return {
    name: hostname(),
    self: true,
    version,
    system: `${typeOfSystem()} ${release()}`,
    processors: availableParallelism(),
    load: loadavg(),
    memoryBytes: totalmem(),
    memoryFreeBytes: availableBytes(),
    bootedAt: new Date(nowMs - uptime() * 1000).toISOString(),
    time: new Date(nowMs).toISOString(),
  };
}

export const hostHandlers = (): Pick<Handlers, 'listHosts'> => ({ listHosts: () => ({ hosts: [thisHost()] }) });
