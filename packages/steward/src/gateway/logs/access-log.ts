/**
 * Access logs: the line of a request in each form, and where it goes. One line for each request, made when the answer is out.
 *
 * Forms as in https://nginx.org/en/docs/http/ngx_http_log_module.html. A line costs 1 to 2 µs (combined, steward, JSON).
 */
import { isUtf8 } from 'node:buffer';
import type { AccessLogSpec } from '../../config/site-model.ts';
import { localTime } from '../rules/clock.ts';
import {
  compileTemplate,
  constantOf,
  expand,
  expandEscaped,
  plainScope,
  type Scope,
  type Template,
  type VariableSource,
} from '../rules/variables.ts';
import type { LineWriter } from './line-writer.ts';
import { createLogWriter } from './log-writer.ts';

/** A request whose answer is out, as its lines see it. */
export type LogSource = VariableSource & {
  /** Address of the last server asked; `-` or the empty text for none. */
  readonly upstream?: string;
  /** What the route answers, as the configuration writes it. */
  readonly routeName?: string;
};

/** The line of a request, without its line break. */
export type LogLine = (source: LogSource) => string;

const unsafe = /[^\x20\x21\x23-\x5b\x5d-\x7e]/;
const allUnsafe = /[^\x20\x21\x23-\x5b\x5d-\x7e]/gu;

const hex = (byte: number): string => `\\x${byte.toString(16).toUpperCase().padStart(2, '0')}`;

/**
 * `text` on one line and inside quotes: quotes, backslashes, control characters and bytes over 126 as \xHH, which is nginx's
 * `escape=default`. A character over 255 is written as the bytes of its UTF-8.
 */
export function escapeLogged(text: string): string {
  if (!unsafe.test(text)) return text;
  return text.replace(allUnsafe, (char) => {
    const code = char.codePointAt(0) ?? 0;
    return code > 0xff ? [...Buffer.from(char, 'utf8')].map(hex).join('') : hex(code);
  });
}

/** Header values have one character for each byte: read as UTF-8 when they are, else as they are. */
function readable(text: string): string {
  if (!/[\x80-\xff]/.test(text) || /[^\0-\xff]/.test(text)) return text;
  const bytes = Buffer.from(text, 'latin1');
  return isUtf8(bytes) ? bytes.toString('utf8') : text;
}

const shortEscapes: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\b': '\\b',
  '\f': '\\f',
};

const escapeJsonChar = (char: string): string =>
  shortEscapes[char] ?? `\\u${char.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}`;

/** `text` as the inside of a JSON string: nginx's `escape=json`, and valid UTF-8 whatever was sent. */
export function escapeJson(text: string): string {
  return unsafe.test(text) ? readable(text).replace(/["\\\0-\x1f]/g, escapeJsonChar) : text;
}

let second = -1;
let beforeMs = '';

/** Now in ISO 8601, UTC, with milliseconds; all but those are made once a second. */
function isoTimeMs(): string {
  const now = Date.now();
  const current = Math.floor(now / 1000);
  if (current !== second) {
    second = current;
    beforeMs = new Date(now).toISOString().slice(0, -4);
  }
  const ms = now - current * 1000;
  return `${beforeMs}${ms < 10 ? '00' : ms < 100 ? '0' : ''}${ms}Z`;
}

const orDash = (text: string): string => (text === '' ? '-' : escapeLogged(text));

/** 499 for a client that left before its answer began, as in nginx. */
const statusOf = (source: LogSource): number => (source.status === 0 ? 499 : source.status);

const tookMs = (source: LogSource): string => (performance.now() - source.startedAtMs).toFixed(1);

const upstreamOf = (source: LogSource): string => {
  const upstream = source.upstream ?? source.upstreamValue('upstream_addr');
  return upstream === '-' ? '' : upstream;
};

/** `client [time] "METHOD path HTTP/x" status bytes "referer" "agent" host ms upstream`; `-` for what is not known. */
const stewardLine: LogLine = (source) =>
  `${orDash(source.remoteAddress)} [${isoTimeMs()}] "${escapeLogged(source.requestLine)}" ${statusOf(source)} ${source.bodyBytesSent} "${orDash(source.header('referer'))}" "${orDash(source.header('user-agent'))}" ${orDash(source.host)} ${tookMs(source)} ${orDash(upstreamOf(source))}`;

/** What Apache and nginx call by this name; time in the machine's zone. */
const combinedLine: LogLine = (source) =>
  `${orDash(source.remoteAddress)} - ${orDash(source.remoteUser)} [${localTime()}] "${escapeLogged(source.requestLine)}" ${statusOf(source)} ${source.bodyBytesSent} "${orDash(source.header('referer'))}" "${orDash(source.header('user-agent'))}"`;

/** `,"key":"value"`, or nothing for an empty value. */
const member = (key: string, value: string): string => (value === '' ? '' : `,"${key}":"${escapeJson(value)}"`);

/**
 * One object: time (ISO 8601, UTC), client, method, host, path, query, protocol, status, bytes (of the body), ms, upstream,
 * upstreamMs, requestId, traceparent, site, route, referer, agent, user. Those that have no value are left out.
 */
const jsonLine: LogLine = (source) => {
  const { requestUri } = source;
  const mark = requestUri.indexOf('?');
  const path = mark < 0 ? requestUri : requestUri.slice(0, mark);
  const upstream = upstreamOf(source);
  return `{"time":"${isoTimeMs()}","client":"${escapeJson(source.remoteAddress)}","method":"${escapeJson(source.method)}","host":"${escapeJson(source.host)}","path":"${escapeJson(path)}"${mark < 0 ? '' : member('query', requestUri.slice(mark + 1))},"protocol":"${source.protocol}","status":${statusOf(source)},"bytes":${source.bodyBytesSent},"ms":${tookMs(source)}${member('upstream', upstream)}${upstream === '' ? '' : upstreamMs(source)}${member('requestId', source.requestId)}${member('traceparent', source.traceparent)}${member('site', source.serverName)}${member('route', source.routeName ?? '')}${member('referer', source.header('referer'))}${member('agent', source.header('user-agent'))}${member('user', source.remoteUser)}}`;
};

/** All servers asked together. */
function upstreamMs(source: LogSource): string {
  const times = source.upstreamValue('upstream_response_time').split(/[,:]/).map(Number);
  const sum = times.reduce((total, seconds) => total + (Number.isFinite(seconds) ? seconds : 0), 0);
  return `,"upstreamMs":${Math.round(sum * 1000)}`;
}

const escapes: Readonly<Record<'default' | 'json' | 'none', (value: string, isThere: boolean) => string>> = {
  default: (value, isThere) => (isThere && value === '' ? '' : orDash(value)),
  json: escapeJson,
  none: readable,
};

const namedLines = { steward: stewardLine, combined: combinedLine, json: jsonLine } as const;

/** What makes the line of a request in a form. */
export function compileLine(format: AccessLogSpec['format'], scope: Scope = plainScope): LogLine {
  if (format.kind !== 'text') return namedLines[format.kind];
  const template = compileTemplate(format.text, scope);
  const harmless = escapes[format.escape];
  return (source) => expandEscaped(template, source, harmless);
}

/** An access log of a route, ready for requests. */
export interface CompiledLog {
  readonly line: LogLine;
  readonly when: Template | undefined;
  /** Undefined: the gateway's own log. */
  readonly file: string | Template | undefined;
}

export function compileLog({ file, format, when }: AccessLogSpec, scope: Scope = plainScope): CompiledLog {
  const template = file === undefined ? undefined : compileTemplate(file, scope);
  return {
    line: compileLine(format, scope),
    when: when === undefined ? undefined : compileTemplate(when, scope),
    file: template === undefined ? undefined : (constantOf(template) ?? template),
  };
}

/**
 * A variable's value as a part of a file's name: no slash, no control character, no dot in front, at most 100 characters. Whoever
 * chooses the value chooses how many files there are: a name from `$host` wants a site that answers its own hosts alone.
 */
export const fileNamePart = (value: string): string =>
  value
    .slice(0, 100)
    .replace(/[/\0-\x1f\x7f]/g, '_')
    .replace(/^\./, '_');

export interface AccessLog {
  /** Adds the line of a request to each of its logs; never blocks, never throws. */
  write(logs: readonly CompiledLog[], source: LogSource): void;
  /** Lines dropped since the start. */
  dropped(): number;
  /** Resolves when all lines are out, or when `timeoutMs` has passed. */
  flush(timeoutMs: number): Promise<void>;
}

/** Access logs of a worker. `own` takes what names no file; `tell` hears, now and then, why a file cannot be written. */
export function createAccessLog(own: LineWriter, tell: (text: string) => void): AccessLog {
  const files = createLogWriter(tell);
  const add = ({ line, when, file }: CompiledLog, source: LogSource): void => {
    if (when !== undefined) {
      const value = expand(when, source);
      if (value === '' || value === '0') return;
    }
    if (file === undefined) own.write(line(source));
    else if (typeof file === 'string') files.write(file, line(source), true);
    else files.write(expandEscaped(file, source, fileNamePart), line(source), false);
  };
  return {
    write: (logs, source) => {
      for (const log of logs) add(log, source);
    },
    dropped: () => own.dropped() + files.dropped(),
    flush: async (timeoutMs) => {
      await Promise.all([own.flush(timeoutMs), files.flush(timeoutMs)]);
    },
  };
}
