/** What of two answers must be the same. Where Steward differs from Apache by decision, `tolerances` says so and why. */
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import type { Got } from '../nginx/upstreams.ts';
import type { Exchange, Received } from '../nginx/wire.ts';

export const tolerances = {
  page: 'Error pages that nobody configured are of each program: their text and type are not compared.',
  location: 'Steward sends relative Location headers as they are; Apache makes them absolute. RFC 9110 section 10.2.2 makes both the same.',
  forwarded: 'Steward sends X-Forwarded-Proto, X-Real-IP and X-Request-Id too, and X-Forwarded-Host as it came; Apache sends a list in it.',
  own: 'Server, Date, ETag, Allow, Upgrade, Keep-Alive and Vary are of each program.',
  charset: 'Only the media type of Content-Type is compared; files of unknown type have none in Apache.',
} as const;

export interface Side {
  readonly ports: readonly number[];
  readonly logs: string;
}

const compared = new Set([
  'cache-control',
  'content-encoding',
  'content-type',
  'expires',
  'location',
  'set-cookie',
  'www-authenticate',
  'strict-transport-security',
]);

export const neutral = (text: string, { ports, logs }: Side): string =>
  ports.reduce((all, port, index) => all.replaceAll(String(port), `PORT${index + 1}`), text).replaceAll(logs, 'LOGS');

/** Apache's own page for a status. */
const isOwnPage = ({ status, body, headers }: Received): boolean =>
  status >= 300 &&
  (/^<!DOCTYPE HTML PUBLIC[\s\S]*<title>\d\d\d /.test(body.toString('latin1')) ||
    (body.length === 0 && headers.some(([name, value]) => name === 'content-type' && value.startsWith('text/html; charset=iso'))));

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

/** The origin of the site itself: see `location`. */
const ownOrigin = /^https?:\/\/localhost(:PORT\d)?(?=\/)/;

function headerText(name: string, value: string, side: Side): string {
  if (name === 'content-type') return (value.split(';')[0] ?? '').trim().toLowerCase();
  if (name === 'expires') return `in ${Math.round((Date.parse(value) - Date.now()) / 5000) * 5} s`;
  const text = neutral(value, side);
  return name === 'location' ? text.replace(ownOrigin, '') : text;
}

function linesOf(answer: Received, usesOwnPage: boolean, noType: boolean, side: Side): string[] {
  const headers = answer.headers
    .filter(([name]) => compared.has(name) || (name.startsWith('x-') && name !== 'x-request-id'))
    .filter(([name]) => !(name === 'content-type' && (usesOwnPage || noType)) && !(usesOwnPage && name === 'content-encoding'))
    .map(([name, value]) => `${name}: ${headerText(name, value, side)}`)
    .sort();
  const body = usesOwnPage ? '(a page of its own)' : neutral(decoded(answer), side);
  return [
    `status ${answer.status}`,
    ...headers,
    `body ${body.length > 300 ? `${body.length} bytes, ${body.slice(0, 60)}` : JSON.stringify(body)}`,
  ];
}

/** Headers of requests that belong to one connection, that the test sends itself, or that `forwarded` names. */
const notCompared = new Set([
  ...['connection', 'keep-alive', 'transfer-encoding', 'content-length', 'x-want', 'te', 'upgrade', 'proxy-connection'],
  ...['x-forwarded-proto', 'x-real-ip', 'x-request-id', 'x-forwarded-host', 'x-forwarded-server'],
]);

const gotLines = (got: readonly Got[], side: Side): string[] =>
  got.flatMap(({ server, method, url, headers, body }) => [
    `upstream ${server} got ${method} ${neutral(url, side)}`,
    ...headers
      .filter(([name]) => !notCompared.has(name))
      .map(([name, value]) => `  ${name}: ${neutral(value, side)}`)
      .sort(),
    ...(body === '' ? [] : [`  body ${JSON.stringify(body)}`]),
  ]);

export interface Outcome {
  readonly exchange: Exchange;
  readonly got: readonly Got[];
  readonly side: Side;
}

/** All that is compared of one exchange, as text. `apache` tells whose pages were sent. */
export function shown({ exchange, got, side }: Outcome, apache: Exchange): string {
  const answers = exchange.answers.flatMap((answer, index) => {
    const reference = apache.answers[index];
    const noType = reference !== undefined && !reference.headers.some(([name]) => name === 'content-type');
    return linesOf(answer, reference !== undefined && isOwnPage(reference), noType, side);
  });
  const end = exchange.end === 'hung' ? ['HUNG'] : exchange.answers.length === 0 ? [`connection ${exchange.end} without an answer`] : [];
  return [...answers, ...gotLines(got, side), ...end].join('\n');
}

/** Lines of a log with times masked. */
export const logLines = (text: string, side: Side): string =>
  neutral(text, side)
    .replaceAll(/\d\d\/\w{3}\/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}/g, 'TIME')
    .replaceAll(/(" [345]\d\d) (\d+|-)/g, '$1 SIZE');
