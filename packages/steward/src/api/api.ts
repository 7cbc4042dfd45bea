/**
 * The API: the contract's operations over HTTP. Here they meet their handlers; what they may ask of the rooms comes in as
 * values from steward.ts. Refusals are application/problem+json with the same code and words as on the command line.
 */
import { chmodSync, rmSync } from 'node:fs';
import { type OperationName, operations } from '@steward/sdk/contract/contract';
import type { Input, Operation } from '@steward/sdk/contract/operation';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { StewardError } from '../errors.ts';
import { may, type Subject } from '../identity/identity.ts';
import { authorize, resourceOf } from './authorize.ts';
import type { Caller, Handler, Handlers, Rooms, StreamItem } from './handlers.ts';
import { bootHandlers } from './operations/boot.ts';
import { instanceHandlers } from './operations/instances.ts';
import { logHandlers } from './operations/logs.ts';
import { serviceHandlers } from './operations/services.ts';
import { systemHandlers } from './operations/system.ts';

export { createBell } from './bell.ts';
export type { FilesRequest, System } from './handlers.ts';

export interface Api {
  /** Listens on a unix socket that only its owner may use. @throws when the path cannot be used. */
  listen(socketPath: string): Promise<void>;
  close(): Promise<void>;
}

const longestBody = 1024 * 1024;

function refuse(reply: FastifyReply, error: unknown): FastifyReply {
  const known = error instanceof StewardError ? error : fromFastify(error as { statusCode?: number; code?: string; message?: string });
  return reply
    .code(known.status)
    .type('application/problem+json')
    .send({
      type: 'about:blank',
      title: known.code,
      status: known.status,
      detail: known.message,
      code: known.code,
      ...(known.hint && { hint: known.hint }),
      ...known.details,
    });
}

/** Fastify's own refusals (a body that does not fit its shape, no JSON, too large) in our words; a bug keeps its text private. */
function fromFastify(error: { statusCode?: number; message?: string }): StewardError {
  const status = error.statusCode ?? 500;
  if (status < 500)
    return new StewardError('api/bad-request', error.message ?? 'the request is not understood', {
      status,
      hint: 'See docs/api.md for what this operation takes.',
    });
  return new StewardError('api/internal', 'something went wrong inside Steward', {
    status: 500,
    hint: 'The daemon log has the details.',
    cause: error,
  });
}

/** Writes events as they come, no faster than the reader takes them. */
async function stream(
  request: FastifyRequest,
  reply: FastifyReply,
  items: (signal: AbortSignal) => AsyncGenerator<StreamItem<unknown>>,
): Promise<void> {
  const controller = new AbortController();
  const { raw } = reply;
  raw.on('close', () => controller.abort());
  request.raw.on('error', () => controller.abort());
  const events = items(controller.signal);
  const first = await events.next(); // a refusal still becomes a proper answer here
  reply.hijack();
  raw.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  raw.flushHeaders();
  try {
    for (let next = first; !next.done && !controller.signal.aborted; next = await events.next()) {
      const { id, data } = next.value;
      const fits = raw.write(`${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`);
      if (!fits)
        await new Promise<void>((resolve) => {
          raw.once('drain', resolve);
          controller.signal.addEventListener('abort', () => resolve(), { once: true });
        });
    }
  } finally {
    await events.return(undefined);
    raw.end();
  }
}

const callerOf = (subject: Subject, from: string): Caller => ({
  subject,
  from,
  may: (right, spec) => may(subject, right, resourceOf(spec)),
});

const local = callerOf({ kind: 'local', name: 'local', grants: [{ role: 'super' }] }, 'control socket');

function addOperation(app: FastifyInstance, operation: Operation, handler: Handler<Operation>, { supervisor }: Rooms): void {
  const { params, query, body } = operation;
  const known = () => supervisor.views().map(({ spec }) => spec);
  app.route({
    method: operation.method,
    url: operation.path,
    schema: { ...(params && { params }), ...(query && { querystring: query }), ...(body && { body }) },
    handler: async (request, reply) => {
      const input = { params: request.params, query: request.query, body: request.body } as Input<Operation>;
      const caller = local;
      authorize(operation, request, caller.subject, known);
      if (!operation.stream) return (handler as (input: Input<Operation>, caller: Caller) => unknown)(input, caller);
      const begin = handler as unknown as (
        input: Input<Operation>,
        caller: Caller,
        signal: AbortSignal,
      ) => AsyncGenerator<StreamItem<unknown>>;
      await stream(request, reply, (signal) => begin(input, caller, signal));
      return reply;
    },
  });
}

/** `onError` hears of bugs: what a caller must not see. */
export function createApi(rooms: Rooms, onError: (error: unknown) => void): Api {
  const app = Fastify({
    bodyLimit: longestBody,
    requestTimeout: 0,
    connectionTimeout: 0,
    forceCloseConnections: true,
    ajv: { customOptions: { coerceTypes: true, allErrors: true, strict: false } },
  });
  app.setErrorHandler((error, _request, reply) => {
    if (!(error instanceof StewardError) && ((error as { statusCode?: number }).statusCode ?? 500) >= 500) onError(error);
    return refuse(reply, error);
  });
  app.setNotFoundHandler((request, reply) =>
    refuse(
      reply,
      new StewardError('api/no-operation', `there is no operation ${request.method} ${request.url}`, {
        status: 404,
        hint: 'See docs/api.md.',
      }),
    ),
  );
  const handlers: Handlers = {
    ...instanceHandlers(rooms),
    ...serviceHandlers(rooms),
    ...logHandlers(rooms),
    ...systemHandlers(rooms),
    ...bootHandlers(rooms),
  };
  for (const [name, operation] of Object.entries(operations))
    addOperation(app, operation as Operation, handlers[name as OperationName] as Handler<Operation>, rooms);
  return {
    async listen(socketPath) {
      rmSync(socketPath, { force: true });
      const before = process.umask(0o177);
      try {
        await app.listen({ path: socketPath });
      } finally {
        process.umask(before);
      }
      chmodSync(socketPath, 0o600);
    },
    close: () => app.close(),
  };
}
