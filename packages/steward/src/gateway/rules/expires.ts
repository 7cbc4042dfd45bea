/** Expires and Cache-Control of an answer (https://nginx.org/en/docs/http/ngx_http_headers_module.html#expires). Pure. */
import type { ExpiresSpec } from '../../config/model.ts';
import { compileTemplate, expand, type Scope, type Template, type VariableSource } from './variables.ts';

type FixedExpires = Exclude<ExpiresSpec, { kind: 'text' | 'off' }>;

export type CompiledExpires = FixedExpires | { readonly kind: 'text'; readonly text: Template };

/** Values of the two headers: they replace those that an upstream sent. */
export interface ExpiresHeaders {
  readonly expires: string;
  readonly cacheControl: string;
}

/** Ready for requests; undefined when it is off. */
export function compileExpires(spec: ExpiresSpec, scope: Scope): CompiledExpires | undefined {
  if (spec.kind === 'off') return undefined;
  return spec.kind === 'text' ? { kind: 'text', text: compileTemplate(spec.text, scope) } : spec;
}

const epoch: ExpiresHeaders = { expires: 'Thu, 01 Jan 1970 00:00:01 GMT', cacheControl: 'no-cache' };
const farthest: ExpiresHeaders = { expires: 'Thu, 31 Dec 2037 23:55:55 GMT', cacheControl: 'max-age=315360000' };

/**
 * The headers at `nowMs` (both times in milliseconds since 1970), for an answer whose file changed at `modifiedMs`, if it has
 * one. Undefined: none. Only answers with a status of `takesHeaders` get them.
 */
export function expiresHeaders(
  expires: CompiledExpires,
  source: VariableSource,
  nowMs: number,
  modifiedMs: number | undefined,
): ExpiresHeaders | undefined {
  if (expires.kind !== 'text') return headersOf(expires, nowMs, modifiedMs);
  const parsed = parsedExpires(expand(expires.text, source));
  return parsed === undefined ? undefined : headersOf(parsed, nowMs, modifiedMs);
}

function headersOf(expires: FixedExpires, nowMs: number, modifiedMs: number | undefined): ExpiresHeaders {
  if (expires.kind === 'epoch') return epoch;
  if (expires.kind === 'max') return farthest;
  const now = Math.floor(nowMs / 1000);
  if (expires.kind === 'daily') return until(nextTimeOfDay(expires.second, now), now, false);
  const { seconds } = expires;
  if (seconds === 0) return { expires: dateText(now), cacheControl: 'max-age=0' };
  const start = expires.from === 'modified' && modifiedMs !== undefined ? Math.floor(modifiedMs / 1000) : now;
  return until(start + seconds, now, seconds < 0);
}

function until(end: number, now: number, past: boolean): ExpiresHeaders {
  return { expires: dateText(end), cacheControl: past || end < now ? 'no-cache' : `max-age=${end - now}` };
}

let lastSecond = -1;
let lastText = '';

/** Answers of one second mostly share their date. */
function dateText(second: number): string {
  if (second !== lastSecond) {
    lastSecond = second;
    lastText = new Date(second * 1000).toUTCString();
  }
  return lastText;
}

/** The next moment, in seconds since 1970, at `second` of a day in the machine's zone. */
function nextTimeOfDay(second: number, now: number): number {
  const date = new Date(now * 1000);
  date.setHours(0, 0, second, 0);
  if (date.getTime() / 1000 <= now) {
    date.setDate(date.getDate() + 1);
    date.setHours(0, 0, second, 0);
  }
  return date.getTime() / 1000;
}

const unitSeconds: Readonly<Record<string, number>> = { y: 31_536_000, M: 2_592_000, w: 604_800, d: 86_400, h: 3_600, m: 60, s: 1, '': 1 };

/** nginx's times: `30`, `1h30m`, units from large to small, each once. */
function parseSeconds(text: string): number | undefined {
  const compact = text.replaceAll(' ', '');
  if (!/^(?:\d+y)?(?:\d+M)?(?:\d+w)?(?:\d+d)?(?:\d+h)?(?:\d+m)?(?:\d+s?)?$/.test(compact) || compact === '') return undefined;
  let seconds = 0;
  for (const [, count, unit = ''] of compact.matchAll(/(\d+)([yMwdhms]?)/g)) seconds += Number(count) * (unitSeconds[unit] ?? 0);
  return seconds;
}

/** One of nginx's forms: `epoch`, `max`, `off`, `@15h30m`, `[modified] [+|-]TIME`; undefined when it is none of them. */
export function parseExpires(text: string): ExpiresSpec | undefined {
  if (text === 'epoch' || text === 'max' || text === 'off') return { kind: text };
  if (text.startsWith('@')) {
    const second = parseSeconds(text.slice(1));
    return second === undefined || second >= 86_400 ? undefined : { kind: 'daily', second };
  }
  const [, modified, sign, time = ''] = /^(modified)?\s*([+-])?(.*)$/.exec(text) ?? [];
  const seconds = parseSeconds(time);
  if (seconds === undefined) return undefined;
  return { kind: 'seconds', seconds: sign === '-' ? 0 - seconds : seconds, from: modified === undefined ? 'now' : 'modified' };
}

/** Texts come out of a few cases of a map; a client that can choose them does not fill the memory. */
const parsed = new Map<string, FixedExpires | undefined>();
const mostParsed = 200;

function parsedExpires(text: string): FixedExpires | undefined {
  if (parsed.has(text)) return parsed.get(text);
  const spec = parseExpires(text);
  const found = spec === undefined || spec.kind === 'off' || spec.kind === 'text' ? undefined : spec;
  if (parsed.size >= mostParsed) parsed.clear();
  parsed.set(text, found);
  return found;
}
