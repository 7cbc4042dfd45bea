/** What a route adds to its answers: headers, Expires and Cache-Control, an encoding. */

import { dropFields, fieldIn } from './connection/header-list.ts';
import { headerValue } from './connection/headers.ts';
import { chooseEncoding, compressesFor, type Encoding, isCompressible, varyByEncoding } from './files/compress.ts';
import type { CompiledRoute } from './match.ts';
import { takesHeaders } from './rules/error-page.ts';
import { expiresHeaders } from './rules/expires.ts';
import { constantOf, expand, type VariableSource } from './rules/variables.ts';

const timed = new Set(['expires', 'cache-control']);

/**
 * Takes the charset off the type of a file or a text while headers are worked out from it: a map of `$sent_http_content_type`
 * goes by the bare type, as in nginx, which adds the charset last. Gives back what to put it back with.
 */
function hideCharset({ action, expires, addHeaders }: CompiledRoute, headers: string[]): () => void {
  const isAsked = expires?.kind === 'text' || addHeaders.some(({ value }) => constantOf(value) === undefined);
  const at = action.kind === 'proxy' || !isAsked ? -1 : headers.findIndex((name, index) => index % 2 === 0 && isTypeName(name));
  const type = headers[at + 1] ?? '';
  const end = type.indexOf('; charset=');
  if (at < 0 || end < 0) return () => {};
  headers[at + 1] = type.slice(0, end);
  return () => {
    headers[headers.findIndex((name, index) => index % 2 === 0 && isTypeName(name)) + 1] = type;
  };
}

const isTypeName = (name: string): boolean => name.toLowerCase() === 'content-type';

/** Adds to `headers` (flat, in place) what `route` says. Gives back the encoding its body shall have. */
export function decorate(source: VariableSource, route: CompiledRoute, status: number, headers: string[]): Encoding | undefined {
  const good = takesHeaders(status);
  const showCharset = hideCharset(route, headers);
  if (route.expires !== undefined && good) {
    const found = expiresHeaders(route.expires, source, Date.now(), Date.parse(fieldIn(headers, 'last-modified') ?? '') || undefined);
    if (found !== undefined) {
      dropFields(headers, timed);
      headers.push('Expires', found.expires, 'Cache-Control', found.cacheControl);
    }
  }
  for (const { name, value, always } of route.addHeaders) {
    if (!good && !always) continue;
    const text = constantOf(value) ?? headerValue(expand(value, source));
    if (text !== '') headers.push(name, text);
  }
  showCharset();
  if (!isCompressible(route.compress, status, headers)) return undefined;
  const encoding = encodingFor(source, route, status, headers);
  if (encoding === undefined) varyByEncoding(headers);
  return encoding;
}

/** The encoding that an answer of `route` gets; undefined sends it as it is. */
export const encodingFor = (
  source: VariableSource,
  { compress }: CompiledRoute,
  status: number,
  headers: readonly string[],
): Encoding | undefined =>
  compress !== undefined && compressesFor(compress, source, headers)
    ? chooseEncoding(compress, source.header('accept-encoding'), status, headers)
    : undefined;
