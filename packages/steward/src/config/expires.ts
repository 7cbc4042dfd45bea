/** How long an answer keeps, as nginx's `expires` says it. Pure. https://nginx.org/en/docs/http/ngx_http_headers_module.html#expires */
import type { ExpiresSpec } from './model.ts';
import { parseDuration } from './units.ts';

const unitSeconds: Readonly<Record<string, number>> = { y: 31_536_000, M: 2_592_000, w: 604_800, d: 86_400, h: 3_600, m: 60, s: 1, '': 1 };

/** A duration of ours, or a time of nginx's: `30`, `1h 30m`, `1y`, units from large to small, each once. */
function secondsIn(text: string): number | undefined {
  const compact = text.replaceAll(' ', '');
  const ms = parseDuration(compact);
  if (ms !== undefined) return Math.floor(ms / 1000);
  if (!/^(?=.)(?:\d+y)?(?:\d+M)?(?:\d+w)?(?:\d+d)?(?:\d+h)?(?:\d+m)?(?:\d+s?)?$/.test(compact)) return undefined;
  const parts = [...compact.matchAll(/(\d+)([yMwdhms]?)/g)];
  return parts.reduce((sum, [, count, unit = '']) => sum + Number(count) * (unitSeconds[unit] ?? 0), 0);
}

/** What `expires` says: `epoch`, `max`, `off`, `@15h30m`, `[modified] [+|-]TIME`; undefined when it is none of them. */
export function parseExpires(text: string): ExpiresSpec | undefined {
  if (text === 'off' || text === 'epoch' || text === 'max') return { kind: text };
  if (text.startsWith('@')) {
    const second = secondsIn(text.slice(1));
    return second === undefined || second >= 86_400 ? undefined : { kind: 'daily', second };
  }
  const [, modified, sign, rest = ''] = /^(modified)?\s*([+-])?(.*)$/.exec(text) ?? [];
  const seconds = secondsIn(rest);
  if (seconds === undefined) return undefined;
  return { kind: 'seconds', seconds: sign === '-' ? 0 - seconds : seconds, from: modified === undefined ? 'now' : 'modified' };
}
