/** Which answers are compressed. Pure. */
import type { CompressSpec } from './model.ts';
import type { Scope } from './scope.ts';
import type { RouteSource } from './sections/step.ts';
import { sizeOr } from './units.ts';

/** Media types that are texts, or shrink as texts do. */
const standardTypes = [
  ...['text/html', 'text/plain', 'text/css', 'text/csv', 'text/xml', 'text/javascript', 'text/markdown', 'text/calendar', 'text/vcard'],
  ...['application/json', 'application/ld+json', 'application/geo+json', 'application/manifest+json', 'application/problem+json'],
  ...['application/javascript', 'application/xml', 'application/xhtml+xml', 'application/rss+xml', 'application/atom+xml'],
  ...['application/wasm', 'image/svg+xml'],
];

/** `compress` of a site or a route; undefined compresses nothing. */
export function resolveCompress(scope: Scope, pointer: string, given: NonNullable<RouteSource['compress']>): CompressSpec | undefined {
  if (given === false) return undefined;
  const { encodings, types, minSize, level, proxied, http10 } = given === true ? {} : given;
  (types ?? []).forEach((type, index) => {
    if (type !== '*' && !/^[\w.+-]+\/[\w.+-]+$/.test(type))
      scope.tell(
        `${pointer}/types/${index}`,
        'config/media-type',
        `"${type}" is no media type`,
        'Write one such as text/html, or * for all.',
      );
  });
  return {
    encodings: encodings ?? ['br', 'gzip'],
    types: types?.map((type) => type.toLowerCase()) ?? standardTypes,
    leastBytes: sizeOr(minSize, 1024),
    level: level ?? 4,
    ...(proxied && { proxied }),
    ...(http10 && { http10 }),
  };
}
