/** Reads what a request asks for: host and path, in the forms that routing, files and upstreams need. Pure. */
import { Buffer, isUtf8 } from 'node:buffer';

/** The path of a request, in three forms. */
export interface RequestPath {
  /** As sent, without the query. */
  readonly raw: string;
  /** Percent-decoded, slashes merged, dots resolved; one character for each byte. */
  readonly bytes: string;
  /** The same read as UTF-8: what routes match. */
  readonly text: string;
}

export interface Target {
  readonly path: RequestPath;
  /** Empty, or with its `?`. */
  readonly query: string;
  /** The authority of an absolute target, which wins over the Host header. */
  readonly authority?: string;
  /** The rest of an absolute target, as sent: without a path it begins with its `?`. */
  readonly relative?: string;
}

/** No escapes, no empty segment, no segment that starts with a dot: such a path is its own normal form. */
const plainPath = /^(?:\/[\w\-~!$&'()*+,;=:@][\w\-.~!$&'()*+,;=:@]*)*\/?$/;

const hexValue = (code: number): number =>
  code >= 48 && code <= 57 ? code - 48 : code >= 65 && code <= 70 ? code - 55 : code >= 97 && code <= 102 ? code - 87 : -1;

/** `raw` with its escapes decoded, one character for each byte; undefined for a broken escape or a NUL. */
function decodeBytes(raw: string): string | undefined {
  let bytes = '';
  for (let at = 0; at < raw.length; at++) {
    let code = raw.charCodeAt(at);
    if (code === 37) {
      const high = hexValue(raw.charCodeAt(at + 1));
      const low = hexValue(raw.charCodeAt(at + 2));
      if (high < 0 || low < 0) return undefined;
      code = high * 16 + low;
      at += 2;
    }
    if (code === 0) return undefined;
    bytes += String.fromCharCode(code);
  }
  return bytes;
}

/** Resolves `.`, `..` and empty segments; undefined when `..` leads above the root. */
function resolveSegments(path: string): string | undefined {
  const kept: string[] = [];
  const segments = path.slice(1).split('/');
  for (const segment of segments) {
    if (segment === '' || segment === '.') continue;
    if (segment !== '..') kept.push(segment);
    else if (kept.pop() === undefined) return undefined;
  }
  const last = segments.at(-1);
  const folder = last === '' || last === '.' || last === '..';
  return kept.length === 0 ? '/' : `/${kept.join('/')}${folder ? '/' : ''}`;
}

const fromBytes = (bytes: string): string => {
  const buffer = Buffer.from(bytes, 'latin1');
  return isUtf8(buffer) ? buffer.toString('utf8') : bytes;
};

/**
 * The forms of a request's path, or undefined for one that no server should take: a broken escape, a NUL, `..` above the
 * root. Bytes that are not UTF-8 (an old GBK link) are kept one by one.
 */
export function parsePath(raw: string): RequestPath | undefined {
  if (plainPath.test(raw)) return { raw, bytes: raw, text: raw };
  const decoded = decodeBytes(raw);
  const bytes = decoded === undefined ? undefined : resolveSegments(decoded);
  return bytes === undefined ? undefined : { raw, bytes, text: fromBytes(bytes) };
}

/** What a request line asks for, or undefined when it is not a path (`*`, a fragment, a foreign scheme). */
export function parseTarget(url: string): Target | undefined {
  if (url.includes('#')) return undefined;
  if (url.charCodeAt(0) === 47) return splitTarget(url);
  const absolute = /^https?:\/\/([^/?]+)(\/[^?]*)?(\?.*)?$/i.exec(url);
  if (absolute === null) return undefined;
  const target = splitTarget(`${absolute[2] ?? '/'}${absolute[3] ?? ''}`);
  return target === undefined
    ? undefined
    : { ...target, authority: absolute[1], relative: `${absolute[2] ?? ''}${absolute[3] ?? ''}` || '/' };
}

function splitTarget(url: string): Target | undefined {
  const mark = url.indexOf('?');
  const path = parsePath(mark < 0 ? url : url.slice(0, mark));
  return path === undefined ? undefined : { path, query: mark < 0 ? '' : url.slice(mark) };
}

const hostForm = /^(\[[0-9a-f:.]+\]|[^\s/\\?#@:[\]<>"%]*)(?::[^\s/\\?#@[\]<>"%]*)?$/i;

/**
 * The host name in a Host header, lowercase and without port or final dot; undefined when it is not a host: nothing at all,
 * or with an empty part. What stands for a port need not be one (as in nginx).
 */
export function parseHost(header: string): string | undefined {
  const found = hostForm.exec(header)?.[1];
  if (found === undefined || found.includes('..')) return undefined;
  const host = found.endsWith('.') ? found.slice(0, -1) : found;
  return host === '' ? undefined : host.toLowerCase();
}

/** What stays as it is: all that nginx leaves in a path, which is what a URL may hold, and brackets. */
const needsEscape = /[^\w\-.~!$&'()*+,;=:@/[\]]/g;

/** A path of bytes (see `RequestPath.bytes`) as it stands in a URL. */
export const encodePath = (bytes: string): string =>
  bytes.replace(needsEscape, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);

/** `text` as one character for each byte of its UTF-8. */
export const toBytes = (text: string): string => Buffer.from(text, 'utf8').toString('latin1');
