/** What a route adds to its answers: headers, Expires and Cache-Control, an encoding. */
import { chooseEncoding, type Encoding, isCompressible, varyByEncoding } from './compress.ts';
import { takesHeaders } from './error-page.ts';
import { expiresHeaders } from './expires.ts';
import { headerValue } from './headers.ts';
import type { CompiledRoute } from './match.ts';
import { constantOf, expand, type VariableSource } from './variables.ts';

const dateOf = (headers: readonly string[], name: string): number | undefined => {
  for (let at = 0; at < headers.length; at += 2) {
    if (headers[at]?.toLowerCase() === name) return Date.parse(headers[at + 1] ?? '') || undefined;
  }
  return undefined;
};

/** Takes the fields of these names (lowercase) out of `headers`, in place. */
function dropHeaders(headers: string[], names: readonly string[]): void {
  for (let at = headers.length - 2; at >= 0; at -= 2) if (names.includes((headers[at] ?? '').toLowerCase())) headers.splice(at, 2);
}

/** Adds to `headers` (flat, in place) what `route` says. Gives back the encoding its body shall have. */
export function decorate(source: VariableSource, route: CompiledRoute, status: number, headers: string[]): Encoding | undefined {
  const good = takesHeaders(status);
  if (route.expires !== undefined && good) {
    const found = expiresHeaders(route.expires, source, Date.now(), dateOf(headers, 'last-modified'));
    if (found !== undefined) {
      dropHeaders(headers, ['expires', 'cache-control']);
      headers.push('Expires', found.expires, 'Cache-Control', found.cacheControl);
    }
  }
  for (const { name, value, always } of route.addHeaders) {
    if (!good && !always) continue;
    const text = constantOf(value) ?? headerValue(expand(value, source));
    if (text !== '') headers.push(name, text);
  }
  if (route.compress === undefined || !isCompressible(route.compress, status, headers)) return undefined;
  const encoding = chooseEncoding(route.compress, source.header('accept-encoding'), status, headers);
  if (encoding === undefined) varyByEncoding(headers);
  return encoding;
}
