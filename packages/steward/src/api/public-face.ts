/**
 * The face that others reach: HTTPS on addresses, sessions in cookies, tokens, and limits on what anybody may ask of this process.
 *
 *   connection (TLS, how many, how slow) → requests from one address → session or token → CSRF → server.ts
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer as createPlain } from 'node:http';
import { createServer as createTls, type Server as TlsServer } from 'node:https';
import cookies from '@fastify/cookie';
import rateLimit from '@fastify/rate-limit';
import type { OperationName } from '@steward/sdk/contract/contract';
import type { Operation } from '@steward/sdk/contract/operation';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { bracketed } from '../config/address.ts';
import type { ApiSpec, ListenSpec } from '../config/model.ts';
import { StewardError } from '../errors.ts';
import { may, nobody, type Subject } from '../identity/identity.ts';
import { resourceOf } from './authorize.ts';
import type { Caller } from './handlers.ts';
import type { Face } from './server.ts';

/** Who is behind credentials. */
export interface Doorkeeper {
  /** Undefined for credentials that are no good. */
  identify(shown: { readonly sessionId?: string; readonly token?: string }): Known | undefined;
  /** Whether the session of this name in lists is good still. Asking does not use it: a page left open does not keep it alive. */
  lasts(session: string): boolean;
  /** Whether a page that sends `csrf` got it with this session. */
  csrfFits(sessionId: string, csrf: string): boolean;
}

export interface Known {
  readonly subject: Subject;
  /** Names the session in lists. */
  readonly session?: string;
}

/** A name that browsers take over TLS only, for this host alone. */
export const sessionCookie = '__Host-steward';
const csrfHeader = 'x-csrf-token';
/** Operations whose answer is a new session. */
const beginsSession: ReadonlySet<string> = new Set(['login', 'redeemInvitation', 'changePassword'] satisfies OperationName[]);
const cookieOptions = { path: '/', secure: true, httpOnly: true, sameSite: 'strict' } as const;

const headerOf = ({ headers }: FastifyRequest, name: string): string | undefined => {
  const value = headers[name];
  return typeof value === 'string' ? value : undefined;
};

function notKnown(): StewardError {
  return new StewardError('api/who', 'the session or token is not good, or no longer', {
    status: 401,
    hint: 'Log in again, or make a new token.',
  });
}

/** A page of another site made this request in somebody's browser, or may have. */
function isForeign(request: FastifyRequest): boolean {
  const site = headerOf(request, 'sec-fetch-site');
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return true;
  const origin = headerOf(request, 'origin');
  return origin !== undefined && origin.replace(/^https?:\/\//, '') !== request.headers.host;
}

function refuseForgery(request: FastifyRequest, sessionId: string | undefined, keeper: Doorkeeper): void {
  const given = headerOf(request, csrfHeader);
  const isOurs = !isForeign(request) && (sessionId === undefined || (given !== undefined && keeper.csrfFits(sessionId, given)));
  if (isOurs) return;
  throw new StewardError('api/csrf', 'the request does not come from a page of Steward', {
    status: 403,
    hint: `Send the csrf that login gave in the header ${csrfHeader}, or use a token in place of a session.`,
  });
}

/** Requests with a session or a token. What changes something with a session needs proof that a page of ours asked. */
export function publicFace(keeper: Doorkeeper): Face {
  return {
    callerOf(request, operation): Caller {
      const bearer = /^Bearer ([\x21-\x7e]{1,512})$/i.exec(headerOf(request, 'authorization') ?? '')?.[1];
      const sessionId = bearer === undefined ? request.cookies[sessionCookie] : undefined;
      const isOpen = operation.needs === 'nothing';
      const shown = bearer !== undefined ? { token: bearer } : sessionId ? { sessionId } : undefined;
      const known = shown && keeper.identify(shown);
      if (known === undefined && (bearer !== undefined || sessionId) && !isOpen) throw notKnown();
      if (operation.method !== 'GET' && bearer === undefined) refuseForgery(request, known && !isOpen ? sessionId : undefined, keeper);
      const subject = known?.subject ?? nobody;
      return {
        subject,
        from: request.ip,
        via: 'https',
        isGood: () =>
          shown === undefined || (known?.session === undefined ? keeper.identify(shown) !== undefined : keeper.lasts(known.session)),
        agent: headerOf(request, 'user-agent')?.slice(0, 200) ?? '',
        ...(known?.session !== undefined && { session: known.session }),
        may: (right, spec) => may(subject, right, resourceOf(spec)),
      };
    },
    dress(operation: Operation, answer, reply) {
      if (operation.name === 'logout') reply.clearCookie(sessionCookie, cookieOptions);
      if (!beginsSession.has(operation.name)) return answer;
      const { session, ...rest } = answer as { session: string };
      reply.setCookie(sessionCookie, session, cookieOptions);
      return rest;
    },
  };
}

/** What a public server bears. */
const limits = {
  /** Open connections at each address. */
  connections: 1000,
  headerBytes: 16 * 1024,
  headerMs: 10_000,
  requestMs: 60_000,
  idleMs: 65_000,
} as const;

/** Answers 429 to an address that asks more often than `perMinute`; addresses are remembered up to 10,000. */
export async function limitRequests(app: FastifyInstance, perMinute: () => number): Promise<void> {
  await app.register(cookies);
  await app.register(rateLimit, { max: () => perMinute(), timeWindow: 60_000, cache: 10_000, keyGenerator: ({ ip }) => ip });
}

export interface Pair {
  readonly cert: string;
  readonly key: string;
}

export interface Listeners {
  /** Opens, closes and changes what is listened on; nothing for undefined. Never throws: `onTrouble` hears of addresses that are taken. */
  apply(spec: ApiSpec | undefined, pair: Pair | undefined): void;
  close(): Promise<void>;
}

interface Open {
  readonly server: Server | TlsServer;
  readonly isTls: boolean;
}

const nameOf = ({ host = '*', port }: ListenSpec): string => `${host === '*' ? host : bracketed(host)}:${port}`;
/** An address that is taken is tried again this often. */
const retryMs = 5000;

function makeServer(answer: (request: IncomingMessage, response: ServerResponse) => void, pair: Pair | undefined): Server | TlsServer {
  const options = {
    maxHeaderSize: limits.headerBytes,
    headersTimeout: limits.headerMs,
    requestTimeout: limits.requestMs,
    keepAliveTimeout: limits.idleMs,
    connectionsCheckingInterval: 1000,
  };
  const server = pair === undefined ? createPlain(options, answer) : createTls({ ...options, ...pair, minVersion: 'TLSv1.2' }, answer);
  server.maxConnections = limits.connections;
  return server;
}

/** Listens for `app`, which is ready. */
export function createListeners(app: FastifyInstance, onTrouble: (message: string) => void): Listeners {
  const open = new Map<string, Open>();
  const waiting = new Map<string, NodeJS.Timeout>();

  function shut(name: string): void {
    const { server } = open.get(name) ?? {};
    open.delete(name);
    server?.close();
    server?.closeAllConnections();
  }

  function listen(name: string, { host, port }: ListenSpec, pair: Pair | undefined): void {
    const server = makeServer((request, response) => app.routing(request, response), pair);
    open.set(name, { server, isTls: pair !== undefined });
    let isTold = false;
    const attempt = (): void => void server.listen({ port, ...(host !== undefined && { host }) });
    server.on('error', (error: NodeJS.ErrnoException) => {
      if (!isTold) onTrouble(`the API cannot listen on ${name}: ${error.message}; it is tried again`);
      isTold = true;
      if (open.get(name)?.server === server) waiting.set(name, setTimeout(attempt, retryMs).unref());
    });
    attempt();
  }

  return {
    apply(spec, pair) {
      for (const timer of waiting.values()) clearTimeout(timer);
      waiting.clear();
      const wanted = new Map((spec?.listen ?? []).map((one) => [nameOf(one), one]));
      for (const [name, { isTls, server }] of open)
        if (!wanted.has(name) || isTls !== (pair !== undefined) || !server.listening) shut(name);
      for (const [name, one] of wanted) {
        const known = open.get(name);
        if (known === undefined) listen(name, one, pair);
        else if (pair !== undefined) (known.server as TlsServer).setSecureContext({ ...pair, minVersion: 'TLSv1.2' });
      }
    },
    async close() {
      for (const timer of waiting.values()) clearTimeout(timer);
      for (const name of [...open.keys()]) shut(name);
    },
  };
}
