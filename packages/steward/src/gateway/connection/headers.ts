/** Header fields as received: their order, the way they are written, and what each is to a proxy. */

/** What a header is to a proxy. Hop headers belong to one connection and never pass (RFC 9110, 7.6.1). */
export type HeaderKind =
  | 'pass'
  | 'hop'
  | 'connection'
  | 'coding'
  | 'host'
  | 'length'
  | 'forwarded'
  | 'x-forwarded-for'
  /** Holds a `_`: requests lose it, answers keep it (nginx's underscores_in_headers off). */
  | 'underscored'
  /** What an upstream tells the gateway (nginx's X-Accel- headers): never for the client. */
  | 'accel';

export interface HeaderName {
  /** As written. */
  readonly text: string;
  readonly lower: string;
  readonly kind: HeaderKind;
}

const hopNames = [
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'upgrade',
  'expect',
  'http2-settings',
];

const fixedKinds = new Map<string, HeaderKind>([
  ...hopNames.map((name) => [name, 'hop'] as const),
  ['connection', 'connection'],
  ['transfer-encoding', 'coding'],
  ['host', 'host'],
  ['content-length', 'length'],
  ['forwarded', 'forwarded'],
  ['x-real-ip', 'forwarded'],
  ['x-forwarded-for', 'x-forwarded-for'],
  ...['expires', 'redirect', 'limit-rate', 'buffering', 'charset'].map((name) => [`x-accel-${name}`, 'accel'] as const),
]);

/** WSGI and CGI programs cannot tell `x_real_ip` from `x-real-ip`: one of the two must not pass. */
export function kindOf(lower: string): HeaderKind {
  const fixed = fixedKinds.get(lower);
  if (fixed !== undefined) return fixed;
  if (lower.includes('_')) return 'underscored';
  return lower.startsWith('x-forwarded-') ? 'forwarded' : 'pass';
}

/** Fields that say how a message is to be read, by whom, or who sent it: too late for that in a trailer (RFC 9110, 6.5.1). */
const neverTrailing = new Set(
  ['age', 'authorization', 'cache-control', 'cookie', 'date', 'expires', 'location', 'max-forwards', 'pragma', 'range'].concat([
    'retry-after',
    'set-cookie',
    'vary',
    'warning',
    'www-authenticate',
    'x-accel-redirect',
  ]),
);

/** Whether a field may stand behind a body. */
export const mayTrail = ({ lower, kind }: HeaderName): boolean =>
  kind === 'pass' && !neverTrailing.has(lower) && !lower.startsWith('content-') && !lower.startsWith('if-');

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** Whether `text` may be the name of a header (RFC 9110, 5.1). */
export const isHeaderName = (text: string): boolean => token.test(text);

/** Checking and lowercasing each name once is a third of the cost of reading headers; clients choose the names, so it is bounded. */
const knownNames = new Map<string, HeaderName>();
const maxKnownNames = 2000;

/** What is known of a header's name; undefined when it is none. */
export function headerName(text: string): HeaderName | undefined {
  const known = knownNames.get(text);
  if (known !== undefined) return known;
  if (!isHeaderName(text)) return undefined;
  const lower = text.toLowerCase();
  const name: HeaderName = { text, lower, kind: kindOf(lower) };
  if (knownNames.size < maxKnownNames) knownNames.set(text, name);
  return name;
}

/** Fields in the order received. Not changed once a message has been read. */
export class Headers {
  readonly names: HeaderName[] = [];
  readonly values: string[] = [];
  /** What somebody has made of these fields, for when they are met again (see LastFields): for the reader and writer of it alone. */
  made: { readonly by: object } | undefined;

  add(name: HeaderName, value: string): void {
    this.names.push(name);
    this.values.push(value);
  }

  /** The value of the first field of that name (lowercase); undefined when there is none. */
  get(lower: string): string | undefined {
    const { names } = this;
    for (let at = 0; at < names.length; at++) if (names[at]?.lower === lower) return this.values[at];
    return undefined;
  }

  /** The values of all fields of that name, joined; the empty text when there is none. */
  joined(lower: string): string {
    let text: string | undefined;
    const { names } = this;
    for (let at = 0; at < names.length; at++) {
      if (names[at]?.lower !== lower) continue;
      text = text === undefined ? this.values[at] : `${text}${lower === 'cookie' ? '; ' : ', '}${this.values[at]}`;
    }
    return text ?? '';
  }

  /** As they stand in a message: a line each, with its end. */
  lines(): string {
    let text = '';
    for (let at = 0; at < this.names.length; at++) text += `${this.names[at]?.text}: ${this.values[at]}\r\n`;
    return text;
  }

  all(lower: string): string[] {
    return this.values.filter((_, at) => this.names[at]?.lower === lower);
  }
}

/** Lowercase names that a Connection header marks as belonging to this connection; undefined when it only says keep-alive or close. */
export function connectionNames(value: string): ReadonlySet<string> | undefined {
  if (value === 'keep-alive' || value === 'close' || value === 'Keep-Alive') return undefined;
  const names = value
    .toLowerCase()
    .split(',')
    .map((name) => name.trim());
  return new Set(names.filter((name) => name !== 'host' && name !== 'content-length' && name !== ''));
}

/** Whether a Connection header (or several, joined) holds a word. */
export const saysConnection = (value: string, word: string): boolean =>
  value === word ||
  (value.length >= word.length &&
    value
      .toLowerCase()
      .split(',')
      .some((one) => one.trim() === word));

/** Protocols never passed on: h2c would let a client speak to the upstream past every rule here. */
const refusedProtocols = /(?:^|,)\s*(?:h2c|http\/?[\d.]*|tls\/?[\d.]*)\s*(?:,|$)/i;

/** Whether a request's Upgrade header names a protocol that may be passed on; otherwise it is a plain request. */
export const mayUpgrade = (upgrade: string): boolean => upgrade !== '' && !refusedProtocols.test(upgrade);

const unsafe = /[\0-\x08\x0a-\x1f\x7f]/;

/** Whether a text can stand as the value of a header: no line break, no other control character but a tab. */
export const isHeaderValue = (text: string): boolean => !unsafe.test(text);

/**
 * A value made from variables, made safe: line breaks and other control characters (decoded from a path, say) are left out,
 * characters over 255 are written as the bytes of their UTF-8.
 */
export function headerValue(text: string): string {
  const clean = unsafe.test(text) ? text.replace(/[\0-\x08\x0a-\x1f\x7f]/g, '') : text;
  return /[^\0-\xff]/.test(clean) ? Buffer.from(clean, 'utf8').toString('latin1') : clean;
}

/**
 * The value of a Location header: what no URL holds is percent-encoded. A path of the site stays a path (RFC 9110, 10.2.2):
 * behind another proxy, only the client knows the scheme and the port it sees.
 */
export const locationValue = (to: string): string =>
  to.replace(/[^\x21-\x7e]/gu, (char) => (/[\0-\x1f\x7f]/.test(char) ? '' : encodeURIComponent(char)));
