/**
 * What of two answers must be the same. Where Steward differs by decision, `tolerances` says so and why; nothing else is
 * let pass.
 */
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import type { Got } from './upstreams.ts';
import type { Exchange, Received } from './wire.ts';

/** Differences that are meant, each with its reason. */
export const tolerances = {
  page: 'Error pages that nobody configured are of each program: their text and type are not compared.',
  location: 'Steward sends relative Location headers as they are; nginx makes them absolute. RFC 9110 section 10.2.2 makes both the same.',
  charset: 'Steward names the charset of texts; only the media type is compared.',
  hop: 'Steward keeps connections to upstreams open and speaks HTTP/1.1 to them: Connection and Transfer-Encoding of requests differ, and a body whose length nobody knows is sent on in chunks.',
  hidden: 'Steward serves no file whose name begins with a dot; nginx does unless it is told otherwise.',
  types:
    'Of a long list of types (mime.types) only what differs from its own is taken over: Steward knows a few more types than nginx then.',
  escape: 'A question mark in the path of a redirect that a rewrite makes stays %3F: nginx decodes it, and lets the path become a query.',
  bare: 'A redirect that does not say where to (`return 301;`) has no Location; nginx sends an empty one.',
  empty: 'An X-Forwarded-For without a value counts as none; nginx puts a comma behind it.',
  kept: 'A kept connection that an upstream closes without an answer may have been closed before the request came: what can be repeated is asked on a new one, as nginx does with `keepalive`. The cases of nginx have no kept connections.',
  streamed:
    'Bodies are handed on as they come and not kept: what an upstream has had goes to no other, and an error page is asked for without it.',
  methods: 'Methods are any token (RFC 9110 section 9.1), in small letters too; CONNECT gets 405.',
  sizes: 'Steward holds all headers together to one limit, and says 431 of more; nginx holds each line to 8 KB, and says 400.',
  bytes: 'Regular expressions match characters, where nginx matches bytes.',
  named: 'Headers that Connection names go no further (RFC 9110 section 7.6.1); nginx passes them on.',
  strict:
    'Messages that RFC 9112 forbids get 400 where nginx lets them pass: line feeds alone, a fragment in the target, control characters, blanks in the request line.',
  vary: 'Steward says Vary: Accept-Encoding of whatever it may compress; nginx says so only with gzip_vary.',
  own: 'Server, Date, ETag, Allow, Retry-After and Keep-Alive are of each program.',
} as const;

export type Tolerance = keyof typeof tolerances;

/** Headers of answers that are compared, and everything that begins with x-. */
const compared = new Set([
  'accept-ranges',
  'cache-control',
  'connection',
  'content-encoding',
  'content-language',
  'content-length',
  'content-range',
  'content-type',
  'expires',
  'last-modified',
  'link',
  'location',
  'refresh',
  'set-cookie',
  'www-authenticate',
]);

export interface Side {
  /** Ports in the order of {{port}}, {{port2}}: they differ, and stand in answers. */
  readonly ports: readonly number[];
  readonly logs: string;
}

const neutral = (text: string, { ports, logs }: Side): string =>
  ports
    .reduce(
      (all, port, index) =>
        all.replaceAll(`:${port}`, `:PORT${index + 1}`).replaceAll(new RegExp(`\\b${port}\\b`, 'g'), `PORT${index + 1}`),
      text,
    )
    .replaceAll(logs, 'LOGS');

/** Of an answer to HEAD only the type tells. */
const isOwnPage = ({ status, body, headers }: Received): boolean =>
  status >= 300 &&
  (/<center>nginx/.test(body.toString('latin1')) ||
    (body.length === 0 && headers.some(([name, value]) => name === 'content-type' && value === 'text/html')));

function decoded({ body, headers }: Received): string {
  const encoding = headers.find(([name]) => name === 'content-encoding')?.[1];
  try {
    if (encoding === 'gzip') return gunzipSync(body).toString('latin1');
    if (encoding === 'br') return brotliDecompressSync(body).toString('latin1');
  } catch {
    return `undecodable ${encoding}`;
  }
  return body.toString('latin1');
}

/** Whole seconds of an Expires header against now, to two seconds. */
function expiryOf(value: string): string {
  const seconds = Math.round((Date.parse(value) - Date.now()) / 1000);
  if (Number.isNaN(seconds) || Math.abs(seconds) > 40 * 365 * 86_400) return value;
  return `in ${Math.round(seconds / 5) * 5} s`;
}

function headerText(name: string, value: string, side: Side): string {
  if (name === 'content-type') return (value.split(';')[0] ?? '').trim().toLowerCase();
  if (name === 'expires') return expiryOf(value);
  if (name === 'connection') return /close/i.test(value) ? 'close' : /upgrade/i.test(value) ? 'upgrade' : 'keep-alive';
  const text = neutral(value, side);
  return name === 'location'
    ? text.replace(/^https?:\/\/[^/]*:PORT\d(?=\/|$)/, '').replace(/^https?:\/\/(localhost|127\.0\.0\.1)(?=\/)/, '')
    : text;
}

/** One answer as lines of text. `usesOwnPage`: nginx sent a page of its own. */
function linesOf(answer: Received, usesOwnPage: boolean, side: Side): string[] {
  const isEncoded = answer.headers.some(([name]) => name === 'content-encoding');
  const skipped = new Set(
    usesOwnPage
      ? ['content-type', 'content-length', 'content-encoding', 'accept-ranges', 'last-modified']
      : isEncoded
        ? ['content-length']
        : [],
  );
  const headers = answer.headers
    .filter(([name]) => (compared.has(name) || (name.startsWith('x-') && name !== 'x-request-id')) && !skipped.has(name))
    .map(([name, value]) => `${name}: ${headerText(name, value, side)}`)
    .filter((line) => line !== 'connection: keep-alive');
  const body = usesOwnPage ? '(a page of its own)' : neutral(decoded(answer), side);
  const interim = answer.interim.map((status) => `interim ${status}`);
  const sorted = headers
    .map((line, index) => [line.split(':')[0] ?? '', index, line] as const)
    .sort((one, other) => (one[0] < other[0] ? -1 : one[0] > other[0] ? 1 : one[1] - other[1]));
  return [
    `status ${answer.status}`,
    ...interim,
    ...sorted.map(([, , line]) => line),
    `body ${body.length > 400 ? `${body.length} bytes, ${body.slice(0, 60)}` : JSON.stringify(body)}`,
  ];
}

/** Whether a length was sent says nothing of a body: see `hop`. */
const isLengthOf = (name: string, value: string, body: string): boolean => name === 'content-length' && Number(value) === body.length;

/** Headers of requests that belong to one connection, or that the test itself sends. */
const hopHeaders = new Set(['connection', 'keep-alive', 'transfer-encoding', 'x-want', 'te', 'upgrade', 'proxy-connection']);

function gotLines(got: readonly Got[], side: Side): string[] {
  return got.flatMap(({ server, method, url, headers, body }) => [
    `upstream ${server} got ${method} ${neutral(url, side)}`,
    ...headers
      .filter(([name, value]) => !hopHeaders.has(name) && !isLengthOf(name, value, body))
      .map(([name, value]) => `  ${name}: ${neutral(value, side)}`)
      .sort(),
    ...(body === '' ? [] : [`  body ${body.length > 200 ? `${body.length} bytes` : JSON.stringify(body)}`]),
  ]);
}

export interface Outcome {
  readonly exchange: Exchange;
  readonly got: readonly Got[];
  readonly side: Side;
}

/** All that is compared of one exchange, as text. `nginx` tells whose pages were sent. */
export function shown({ exchange, got, side }: Outcome, nginx: Exchange): string {
  const answers = exchange.answers.flatMap((answer, index) => {
    const reference = nginx.answers[index];
    return linesOf(answer, reference !== undefined && isOwnPage(reference), side);
  });
  const end =
    exchange.end === 'hung'
      ? ['HUNG']
      : exchange.answers.length < nginx.answers.length || nginx.answers.length === 0
        ? [`connection ${exchange.end} after ${exchange.answers.length} answers`]
        : [];
  return [...answers, ...gotLines(got, side), ...end].join('\n');
}

/** Lines of a log with times and ports masked. */
export const logLines = (text: string, side: Side): string =>
  neutral(text, side)
    .replaceAll(/\d\d\/\w{3}\/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}/g, 'TIME')
    .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d/g, 'TIME')
    .replaceAll(/\b\d+\.\d{3}\b/g, 'SECONDS')
    .replaceAll(/; charset=utf-8/g, '')
    // The size and the type of pages that nobody configured.
    .replaceAll(/(" 404) \d+/g, '$1 SIZE')
    .replaceAll(/(SIZE .*\|)text\/(html|plain)$/gm, '$1PAGE');

/** Lines that only one of two texts has. */
export function differenceOf(nginx: string, steward: string): string {
  const [left, right] = [nginx.split('\n'), steward.split('\n')];
  const only = (lines: readonly string[], others: readonly string[], sign: string): string[] => {
    const rest = [...others];
    return lines.flatMap((line) => {
      const index = rest.indexOf(line);
      if (index >= 0) rest.splice(index, 1);
      return index >= 0 ? [] : [`    ${sign} ${line}`];
    });
  };
  return [...only(left, right, 'nginx  '), ...only(right, left, 'Steward')].join('\n');
}
