/** Refusals on the wire: application/problem+json (RFC 9457), with the same code and words as on the command line. */
import type { FastifyReply } from 'fastify';
import { StewardError } from '../errors.ts';

interface FastifyRefusal {
  readonly statusCode?: number;
  readonly code?: string;
  readonly message?: string;
}

/** Fastify's own refusals (a body that does not fit its shape, no JSON, too large) in our words; a bug keeps its text private. */
function fromFastify(error: FastifyRefusal): StewardError {
  const status = error.statusCode ?? 500;
  if (status === 429)
    return new StewardError('api/too-many', 'too many requests from this address', {
      status,
      hint: 'Wait for as long as Retry-After says.',
    });
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

export const asRefusal = (error: unknown): StewardError => (error instanceof StewardError ? error : fromFastify(error as FastifyRefusal));

/** The fields of the answer. */
export const bodyOf = ({ code, status, message, hint, details }: StewardError): Record<string, unknown> => ({
  type: 'about:blank',
  title: code,
  status,
  detail: message,
  code,
  ...(hint && { hint }),
  ...details,
});

export function refuse(reply: FastifyReply, refusal: StewardError): FastifyReply {
  if (refusal.status === 401) reply.header('www-authenticate', 'Bearer realm="steward"');
  const { retryAfterSeconds } = refusal.details;
  if (typeof retryAfterSeconds === 'number') reply.header('retry-after', Math.ceil(retryAfterSeconds));
  return reply.code(refusal.status).type('application/problem+json').send(bodyOf(refusal));
}
