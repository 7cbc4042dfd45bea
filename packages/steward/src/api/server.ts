/**
 * The operations of the contract as an HTTP server, for one face: the control socket, or addresses that others reach. Each request
 * goes the same way: who asks → may they → told to the audit trail → done → answered, and the trail hears how it ended.
 */

import AjvCompiler from '@fastify/ajv-compiler';
import { type OperationName, operations } from '@steward/sdk/contract/contract';
import type { Input, Operation } from '@steward/sdk/contract/operation';
import Fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifySchema,
  type FastifySchemaCompiler,
} from 'fastify';
import { StewardError } from '../errors.ts';
import { version } from '../version.ts';
import { authorize } from './authorize.ts';
import { sendEvents } from './event-stream.ts';
import type { Caller, Handler, Handlers, Rooms, StreamItem } from './handlers.ts';
import { openApi } from './openapi.ts';
import { type Document, referencePage } from './reference-page.ts';
import { asRefusal, refuse } from './refusal.ts';
import type { Answered, Repeats } from './repeats.ts';
import type { Trail } from './trail.ts';

export interface Face {
  /** Rejects with a StewardError for credentials that are no good. */
  callerOf(request: FastifyRequest, operation: Operation): Caller | Promise<Caller>;
  /** What goes out, for answers that are no plain JSON here: a session becomes a cookie. */
  dress?(operation: Operation, answer: unknown, reply: FastifyReply): unknown;
}

export interface ServerOptions {
  readonly face: Face;
  readonly handlers: Handlers;
  readonly rooms: Rooms;
  readonly repeats: Repeats;
  readonly trail: Trail;
  /** What stands before all operations. */
  readonly prepare?: (app: FastifyInstance) => void | Promise<void>;
  /** Hears of bugs: what a caller must not see. */
  readonly onError: (error: unknown) => void;
}

const longestBody = 1024 * 1024;
/** Texts of configurations are larger than anything else that comes in. */
const longestText = 16 * 1024 * 1024;

type Plain = (input: Input<Operation>, caller: Caller) => unknown;
type Streaming = (input: Input<Operation>, caller: Caller, signal: AbortSignal) => AsyncGenerator<StreamItem<unknown>>;

const headerOf = (request: FastifyRequest, name: string): string | undefined => {
  const value = request.headers[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
};

/** `"x"` and `W/"x"` as x. */
const bareTag = (tag: string | undefined): string | undefined => tag?.replace(/^W\//, '').replace(/^"(.*)"$/, '$1');

/** A stream that broke goes on where it was: the header that browsers send by themselves stands for `after`. */
function queryOf(operation: Operation, request: FastifyRequest): unknown {
  const last = operation.stream ? headerOf(request, 'last-event-id') : undefined;
  const query = request.query as Record<string, unknown>;
  return last === undefined || !/^\d{1,15}$/.test(last) ? query : { ...query, after: Number(last) };
}

function addOperation(app: FastifyInstance, operation: Operation, handler: Handler<Operation>, options: ServerOptions): void {
  const { face, rooms, repeats, trail } = options;
  const { method, path, params, query, body } = operation;
  const known = () => rooms.supervisor.views().map(({ spec }) => spec);

  /** What the operation answers; for a request that came before with its key, what that was answered. */
  async function work(input: Input<Operation>, caller: Caller, key: string | undefined): Promise<unknown> {
    if (key === undefined || method === 'GET') return (handler as Plain)(input, caller);
    if (operation.shownOnce)
      throw new StewardError(
        'api/bad-request',
        `${operation.name} takes no Idempotency-Key: what it answers is shown once and kept nowhere`,
        { status: 400 },
      );
    const first = async (): Promise<Answered> => ({ status: 200, answer: JSON.stringify(await (handler as Plain)(input, caller)) });
    const { answer } = await repeats.once(
      `${caller.subject.kind} ${caller.subject.name}`,
      key,
      { operation: operation.name, input },
      first,
    );
    return JSON.parse(answer);
  }

  async function answer(request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
    const caller = { ...(await face.callerOf(request, operation)), ifMatch: bareTag(headerOf(request, 'if-match')) };
    const input = { params: request.params, query: queryOf(operation, request), body: request.body } as Input<Operation>;
    const tell = trail.open(operation, input, caller);
    try {
      authorize(operation, input, caller.subject, known);
      tell.begin();
      if (operation.stream) {
        await sendEvents(request, reply, (signal) => (handler as unknown as Streaming)(input, caller, signal), caller.isGood);
        tell.end();
        return reply;
      }
      const value = await work(input, caller, headerOf(request, 'idempotency-key'));
      tell.end();
      const { etag } = (value ?? {}) as { etag?: unknown };
      if (typeof etag === 'string') reply.header('etag', `"${etag}"`);
      return reply.send(face.dress?.(operation, value, reply) ?? value);
    } catch (error) {
      tell.end(asRefusal(error));
      throw error;
    }
  }

  app.route({
    method,
    url: path,
    bodyLimit: operation.large ? longestText : longestBody,
    schema: { ...(params && { params }), ...(query && { querystring: query }), ...(body && { body }) },
    handler: answer,
  });
}

const pageSecurity = {
  'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
} as const;

/** The reference is for everybody: it says what there is, not what is here. */
function addReference(app: FastifyInstance): void {
  let document: unknown;
  let page: string | undefined;
  const made = (): unknown => {
    document ??= openApi(version); // most daemons are never asked
    return document;
  };
  app.get('/openapi.json', async (_request, reply) => reply.send(made()));
  app.get('/reference', async (_request, reply) => {
    page ??= referencePage(made() as Document);
    return reply.headers(pageSecurity).type('text/html; charset=utf-8').send(page);
  });
}

/**
 * Checks of inputs are made when they are first needed: those of all operations would take a tenth of a second at each start of the
 * daemon, and most are never asked for.
 */
function checkLater(): FastifySchemaCompiler<FastifySchema> {
  const compile = AjvCompiler()({}, { customOptions: { coerceTypes: true, allErrors: false, strict: false } });
  return (route) => {
    let made: ReturnType<typeof compile> | undefined;
    const check = (data: unknown): unknown => {
      made ??= compile(route as Parameters<typeof compile>[0]);
      const fits = made(data);
      check.errors = made.errors;
      return fits;
    };
    check.errors = undefined as unknown;
    return check as ReturnType<FastifySchemaCompiler<FastifySchema>>;
  };
}

/** Not listening yet. */
export function createServer(options: ServerOptions): FastifyInstance {
  const app = Fastify({
    bodyLimit: longestBody,
    requestTimeout: 0,
    connectionTimeout: 0,
    forceCloseConnections: true,
  });
  app.setValidatorCompiler(checkLater());
  app.setErrorHandler((error, _request, reply) => {
    const refusal = asRefusal(error);
    if (refusal.code === 'api/internal') options.onError(error);
    return refuse(reply, refusal);
  });
  app.setNotFoundHandler((request, reply) =>
    refuse(
      reply,
      new StewardError('api/no-operation', `there is no operation ${request.method} ${request.url.split('?')[0]}`, {
        status: 404,
        hint: 'See /reference, or docs/api.md.',
      }),
    ),
  );
  app.addHook(
    'onSend',
    async (_request, reply) => void reply.headers({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' }),
  );
  // Plugins wrap only routes that are added after them.
  app.register(async (routes) => {
    await options.prepare?.(routes);
    for (const [name, operation] of Object.entries(operations))
      addOperation(routes, operation as Operation, options.handlers[name as OperationName] as unknown as Handler<Operation>, options);
    addReference(routes);
  });
  return app;
}
