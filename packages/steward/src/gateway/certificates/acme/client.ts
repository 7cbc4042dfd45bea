/**
 * The protocol with the authority, RFC 8555: signed requests, each with a nonce of the authority, and what it answers.
 * Every request has an end: 30 s, a megabyte, some nonces refused.
 */
import { createHash, createHmac, createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';
import { Agent, request } from 'undici';
import { version } from '../../../version.ts';
import type { Failure } from './order-state.ts';

const requestMs = 30_000;
const longestAnswer = 1024 * 1024;
/** An authority under load may refuse a few nonces in a row (RFC 8555, 6.5). */
const nonceTries = 8;

/** Why the authority gave nothing. */
export class Refusal extends Error implements Failure {
  /** The last word of the authority's error type (`rateLimited`), or `silent` and `unreadable` for answers that are none. */
  readonly type: string;
  /** Whether it is about the authority or the account rather than about the names asked for. */
  readonly isGeneral: boolean;
  readonly retryAfterMs: number | undefined;

  constructor(type: string, message: string, isGeneral: boolean, retryAfterMs?: number) {
    super(message);
    this.type = type;
    this.isGeneral = isGeneral;
    this.retryAfterMs = retryAfterMs;
  }

  get reason(): string {
    return this.message;
  }
}

/** Error types that say something about the account or the client, not about the names. */
const generalTypes = new Set([
  'accountDoesNotExist',
  'badNonce',
  'badPublicKey',
  'badSignatureAlgorithm',
  'externalAccountRequired',
  'invalidContact',
  'serverInternal',
  'unsupportedContact',
  'userActionRequired',
]);

/** An answer's members, looked at one by one: the authority is not trusted to keep to the RFC. */
export type Members = Readonly<Record<string, unknown>>;

export interface Answer {
  readonly url: string;
  readonly location: string | undefined;
  readonly text: string;
  readonly retryAfterMs: number | undefined;
}

export interface ClientOptions {
  /** URL. */
  readonly directory: string;
  /** PEM texts to trust instead of the usual ones. */
  readonly ca?: string;
  /** PEM of the account's key, EC P-256. */
  readonly accountKey: string;
  /** Ends everything. */
  readonly signal: AbortSignal;
  readonly now: () => number;
}

export interface ExternalAccount {
  readonly keyId: string;
  /** base64url, as authorities hand it out. */
  readonly key: string;
}

export class AcmeClient {
  readonly #options: ClientOptions;
  readonly #key: KeyObject;
  readonly #jwk: Readonly<Record<string, string>>;
  readonly #agent: Agent;
  #directory: Members | undefined;
  #nonces: string[] = [];
  #account: string | undefined;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#key = createPrivateKey(options.accountKey);
    const { crv = '', kty = '', x = '', y = '' } = createPublicKey(this.#key).export({ format: 'jwk' });
    this.#jwk = { crv, kty, x, y }; // in the order that RFC 7638 hashes them in
    this.#agent = new Agent({
      connect: { timeout: requestMs, ...(options.ca !== undefined && { ca: options.ca }) },
      maxResponseSize: longestAnswer,
      pipelining: 1,
    });
  }

  /** Uses an account that was registered before. */
  useAccount(url: string): void {
    this.#account = url;
  }

  /** Registers the key, or finds the account it has; the account's URL. The terms of the authority are agreed to. */
  async register(email: string | undefined, external: ExternalAccount | undefined): Promise<string> {
    const url = await this.#resource('newAccount');
    const answer = await this.#post(url, {
      termsOfServiceAgreed: true,
      ...(email !== undefined && { contact: [`mailto:${email}`] }),
      ...(external !== undefined && { externalAccountBinding: this.#bind(external, url) }),
    });
    if (answer.location === undefined) throw unreadable(url, 'names no account');
    this.#account = answer.location;
    return answer.location;
  }

  /** Sets or removes the address that the authority writes to. */
  async setContact(email: string | undefined): Promise<void> {
    if (this.#account !== undefined) await this.post(this.#account, { contact: email === undefined ? [] : [`mailto:${email}`] });
  }

  /** The answer to a new order for `hosts`. */
  async newOrder(hosts: readonly string[]): Promise<Answer> {
    const identifiers = hosts.map((value) => ({ type: 'dns', value }));
    return this.post(await this.#resource('newOrder'), { identifiers });
  }

  /** A signed request in the name of the account; without `payload` it reads. Rejects with a Refusal. */
  post(url: string, payload?: Members): Promise<Answer> {
    if (this.#account === undefined) throw new Error('no account is set');
    return this.#post(url, payload, this.#account);
  }

  /** What a challenge's token is answered with. */
  keyAuthorization(token: string): string {
    return `${token}.${createHash('sha256').update(JSON.stringify(this.#jwk)).digest('base64url')}`;
  }

  /** Closes the connections. */
  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async #resource(name: string): Promise<string> {
    this.#directory ??= members(await this.#read(this.#options.directory, 'GET'));
    return text(this.#directory, name, this.#options.directory);
  }

  async #post(url: string, payload: Members | undefined, account?: string): Promise<Answer> {
    for (let attempt = 1; ; attempt++) {
      const nonce = this.#nonces.pop() ?? (await this.#newNonce());
      const identity = account === undefined ? { jwk: this.#jwk } : { kid: account };
      const body = this.#signed({ alg: 'ES256', nonce, url, ...identity }, payload);
      try {
        return await this.#read(url, 'POST', body);
      } catch (error) {
        if (!(error instanceof Refusal && error.type === 'badNonce' && attempt < nonceTries)) throw error;
      }
    }
  }

  async #newNonce(): Promise<string> {
    const url = await this.#resource('newNonce');
    await this.#read(url, 'HEAD');
    const nonce = this.#nonces.pop();
    if (nonce === undefined) throw unreadable(url, 'has no nonce');
    return nonce;
  }

  #signed(header: Members, payload: Members | undefined): string {
    const parts = { protected: encoded(header), payload: payload === undefined ? '' : encoded(payload) };
    const signature = sign('sha256', Buffer.from(`${parts.protected}.${parts.payload}`), { key: this.#key, dsaEncoding: 'ieee-p1363' });
    return JSON.stringify({ ...parts, signature: signature.toString('base64url') });
  }

  /** RFC 8555, 7.3.4: the key signed with what a customer got outside of ACME. */
  #bind({ keyId, key }: ExternalAccount, url: string): Members {
    const parts = { protected: encoded({ alg: 'HS256', kid: keyId, url }), payload: encoded(this.#jwk) };
    const mac = createHmac('sha256', Buffer.from(key, 'base64url')).update(`${parts.protected}.${parts.payload}`);
    return { ...parts, signature: mac.digest('base64url') };
  }

  /** One request. A nonce in the answer is kept for the next one, whatever else it says. */
  async #read(url: string, method: 'GET' | 'HEAD' | 'POST', body?: string): Promise<Answer> {
    const { status, headers, content } = await this.#exchange(url, method, body);
    const nonce = headers['replay-nonce'];
    if (typeof nonce === 'string') this.#nonces = [nonce];
    const retryAfterMs = retryAfter(headers['retry-after'], this.#options.now());
    if (status < 200 || status > 299) throw refusalOf(url, status, content, retryAfterMs);
    const location = typeof headers.location === 'string' ? headers.location : undefined;
    return { url, location, text: content, retryAfterMs };
  }

  async #exchange(url: string, method: 'GET' | 'HEAD' | 'POST', body: string | undefined) {
    const silence = AbortSignal.timeout(requestMs);
    try {
      const answer = await request(url, {
        method,
        dispatcher: this.#agent,
        signal: AbortSignal.any([this.#options.signal, silence]),
        headers: { 'user-agent': `steward/${version}`, ...(body !== undefined && { 'content-type': 'application/jose+json' }) },
        ...(body !== undefined && { body }),
      });
      return { status: answer.statusCode, headers: answer.headers, content: await answer.body.text() };
    } catch (error) {
      this.#options.signal.throwIfAborted();
      if (silence.aborted) throw new Refusal('silent', `${hostOf(url)} did not answer within ${requestMs / 1000} s`, true);
      throw new Refusal('silent', `${hostOf(url)} cannot be reached: ${(error as Error).message}`, true);
    }
  }
}

const encoded = (value: Members): string => Buffer.from(JSON.stringify(value)).toString('base64url');

const hostOf = (url: string): string => (URL.canParse(url) ? new URL(url).host : url);

const unreadable = (url: string, what: string): Refusal => new Refusal('unreadable', `the answer of ${hostOf(url)} ${what}`, true);

function refusalOf(url: string, status: number, content: string, retryAfterMs: number | undefined): Refusal {
  const said = parsed(content);
  const type = typeof said?.type === 'string' ? (said.type.split(':').at(-1) ?? '') : '';
  const detail = typeof said?.detail === 'string' ? said.detail : `HTTP status ${status}`;
  const limited = type === 'rateLimited' || status === 429;
  return new Refusal(
    limited ? 'rateLimited' : type,
    `${hostOf(url)} refused: ${readable(detail)}`,
    status >= 500 || type === '' || limited || generalTypes.has(type),
    retryAfterMs,
  );
}

/** Text of the authority on its way into logs and terminals: one line, of bearable length. */
export const readable = (said: string): string => said.replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ').slice(0, 500);

function parsed(content: string): Members | undefined {
  try {
    const value: unknown = JSON.parse(content);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Members) : undefined;
  } catch {
    return undefined;
  }
}

/** The members of an answer. @throws Refusal when it is no JSON object. */
export function members({ text: content, url }: Answer): Members {
  const value = parsed(content);
  if (value === undefined) throw unreadable(url, 'is no JSON object');
  return value;
}

/** A text member of an answer. @throws Refusal when it has none. */
export function text(from: Members, name: string, url: string): string {
  const value = from[name];
  if (typeof value !== 'string') throw unreadable(url, `has no "${name}"`);
  return value;
}

/** `Retry-After` in ms: seconds, or a date. Undefined when it says nothing. */
export function retryAfter(header: string | string[] | undefined, nowMs: number): number | undefined {
  if (typeof header !== 'string') return undefined;
  const ms = /^\d+$/.test(header.trim()) ? Number(header) * 1000 : Date.parse(header) - nowMs;
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}
