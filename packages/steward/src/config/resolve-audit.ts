/** The `audit:` section as written → how long the audit trail is kept. Pure. */
import type { Pair } from './resolve-services.ts';
import { parseDuration } from './units.ts';

const dayMs = 24 * 60 * 60 * 1000;

/** Milliseconds, 0 for ever, undefined when no file says it. Of several the longest: no file shortens what another one asks for. */
export function resolveAudit(pairs: readonly Pair[]): number | undefined {
  const asked = pairs.flatMap(({ reading }) => {
    const keep = reading.config.audit?.keep;
    const ms = keep === undefined ? undefined : parseDuration(keep);
    return ms === undefined ? [] : ms === 0 ? 0 : Math.max(dayMs, ms);
  });
  if (asked.length === 0) return undefined;
  return asked.includes(0) ? 0 : Math.max(...asked);
}
