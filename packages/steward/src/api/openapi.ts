/** The contract as OpenAPI 3.1. Pure. */
import { operations } from '@steward/sdk/contract/contract';
import type { Operation } from '@steward/sdk/contract/operation';
import { rights } from '@steward/sdk/contract/rights';
import { errorCodes } from '../error-codes.ts';

type Json = Readonly<Record<string, unknown>>;

interface ObjectShape {
  readonly properties?: Readonly<Record<string, Json>>;
  readonly required?: readonly string[];
}

/** Shapes carry marks of the library that made them; only what JSON Schema knows is left. */
const plain = (shape: unknown): Json => JSON.parse(JSON.stringify(shape)) as Json;

function parameters(shape: unknown, where: 'path' | 'query'): Json[] {
  const { properties = {}, required = [] } = plain(shape ?? {}) as ObjectShape;
  return Object.entries(properties).map(([name, { description, ...schema }]) => ({
    name,
    in: where,
    required: where === 'path' || required.includes(name),
    ...(description !== undefined && { description }),
    schema,
  }));
}

const header = (name: string, description: string): Json => ({
  name,
  in: 'header',
  required: false,
  description,
  schema: { type: 'string' },
});

function headersOf({ method, stream, name }: Operation): Json[] {
  const isWrite = method !== 'GET' && !stream;
  return [
    ...(isWrite ? [header('Idempotency-Key', 'the same request with the same key is done once, and answered alike, for a day')] : []),
    ...(name === 'putConfig' ? [header('If-Match', 'the ETag of getConfig: refused with 412 when the texts are others by now')] : []),
    ...(stream ? [header('Last-Event-ID', 'goes on behind this event')] : []),
  ];
}

const problem = {
  description: 'A refusal.',
  content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
};

function needs({ needs: right, about, local }: Operation): string {
  if (local) return 'Only over the control socket.';
  if (right === 'nothing') return 'Needs no right.';
  const reach =
    about === undefined ? '' : about === 'each' ? ' The answer holds what the caller has it for.' : ' For each service it names.';
  return `Needs the right \`${right}\` (${rights[right]}).${reach}`;
}

function operationOf(operation: Operation): Json {
  const { name, path, summary, params, query, body, answer, stream, needs: right } = operation;
  const schema = plain(answer);
  return {
    operationId: name,
    summary,
    description: needs(operation),
    tags: [path.split('/')[2]],
    ...(right === 'nothing' && { security: [] }),
    parameters: [...parameters(params, 'path'), ...parameters(query, 'query'), ...headersOf(operation)],
    ...(body && { requestBody: { required: true, content: { 'application/json': { schema: plain(body) } } } }),
    responses: {
      200: {
        description: stream ? 'Server-sent events; the data of each is JSON of this shape.' : 'Done.',
        content: { [stream ? 'text/event-stream' : 'application/json']: { schema } },
      },
      default: problem,
    },
  };
}

const problemSchema = {
  type: 'object',
  required: ['title', 'status', 'detail', 'code'],
  properties: {
    type: { type: 'string' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string', description: 'what is wrong' },
    code: { type: 'string', description: `one of those in docs/errors.md, such as ${Object.keys(errorCodes).slice(0, 3).join(', ')}` },
    hint: { type: 'string', description: 'what to do' },
  },
};

/** The whole document, for the version of Steward that serves it. */
export function openApi(version: string): Json {
  const paths: Record<string, Record<string, Json>> = {};
  for (const operation of Object.values(operations) as Operation[]) {
    const path = operation.path.replace(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [operation.method.toLowerCase()]: operationOf(operation) };
  }
  return {
    openapi: '3.1.1',
    info: {
      title: 'Steward',
      version,
      description: "Everything that Steward's command line can do.",
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    security: [{ token: [] }, { session: [] }],
    paths,
    components: {
      schemas: { Problem: problemSchema },
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', description: 'a token made with createToken' },
        session: {
          type: 'apiKey',
          in: 'cookie',
          name: '__Host-steward',
          description: 'set by login; what changes something also needs the header X-CSRF-Token',
        },
      },
    },
  };
}
