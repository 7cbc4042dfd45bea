/** The daemon's own log: JSON lines by pino on stderr, which `up -d` sends to daemon.log. */
import { pino } from 'pino';
import type { StewardOptions } from '../steward.ts';

export function createDaemonLog(): StewardOptions['log'] {
  const logger = pino({ base: { pid: process.pid }, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ fd: 2, sync: true }));
  return (level, message) => logger[level](message);
}
