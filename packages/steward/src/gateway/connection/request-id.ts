/** Ids of requests and of traces (W3C Trace Context, https://www.w3.org/TR/trace-context/). */
import { randomFillSync } from 'node:crypto';

const pool = Buffer.alloc(4096);
let used = pool.length;

/** So many random bytes in hexadecimal. */
function randomHex(bytes: number): string {
  if (used + bytes > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += bytes;
  return pool.toString('hex', used - bytes, used);
}

const idForm = /^[\w.:@/+=-]{1,128}$/;

/** `given` if it is fit to be passed on, else 32 hexadecimal digits that nobody else has. */
export const makeRequestId = (given: string): string => (idForm.test(given) ? given : randomHex(16));

/** Version 00 ends behind the flags; a later one may go on. */
const traceForm = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(?:$|(?<!^00.*)-)/;

/** Whether `given` is a traceparent that a trace goes on from. */
export const isTrace = (given: string): boolean => traceForm.test(given);

/** The trace of `given` with a span of our own, or a new trace that is not sampled by us. */
export function makeTraceparent(given: string): string {
  const found = traceForm.exec(given);
  return found === null ? `00-${randomHex(16)}-${randomHex(8)}-00` : `00-${found[1]}-${randomHex(8)}-${found[2]}`;
}
