/**
 * Requests that must not be done twice: one that comes again with the same Idempotency-Key gets the answer of the first
 * (draft-ietf-httpapi-idempotency-key-header). Keys belong to who sent them, and are kept for a day, over restarts too.
 */
import { createHmac } from 'node:crypto';
import { StewardError } from '../errors.ts';
import type { Store } from '../store/store.ts';

/** What was answered. */
export interface Answered {
  readonly status: number;
  /** JSON. */
  readonly answer: string;
}

export interface Repeats {
  /**
   * Does `work` once for each key of `who`. Rejects with a StewardError when the key was used for something else, when the first
   * request is under way, or when nobody knows what came of it. What was refused may be tried again.
   */
  once(
    who: string,
    key: string,
    request: { readonly operation: string; readonly input: unknown },
    work: () => Promise<Answered>,
  ): Promise<Answered>;
}

interface Row {
  readonly operation: string;
  readonly body: string;
  readonly at_ms: number;
  readonly status: number | null;
  readonly answer: string | null;
}

const keptMs = 24 * 60 * 60 * 1000;
const longestAnswer = 1024 * 1024;
const longestKey = 255;

const refusal = (code: 'api/key-reused' | 'api/key-under-way' | 'api/key-unfinished', message: string, hint: string): StewardError =>
  new StewardError(code, message, { status: code === 'api/key-reused' ? 422 : 409, hint });

/** `secretKey` is of this installation: inputs may hold secrets, which nobody is to find by trying. `now` gives epoch milliseconds. */
export function createRepeats(store: Store, secretKey: string, now: () => number): Repeats {
  const underWay = new Set<string>();
  const digest = (text: string): string => createHmac('sha256', secretKey).update(text).digest('base64url');
  return {
    async once(who, key, { operation, input }, work) {
      if (key.length > longestKey)
        throw new StewardError('api/bad-request', `an Idempotency-Key has at most ${longestKey} characters`, { status: 400 });
      const name = digest(JSON.stringify([who, key]));
      const body = digest(JSON.stringify(input) ?? '');
      store.run('delete from request where at_ms < ?', now() - keptMs);
      const [before] = store.all<Row>('select * from request where key = ?', name);
      if (before !== undefined && (before.operation !== operation || before.body !== body))
        throw refusal('api/key-reused', 'this Idempotency-Key was used for another request', 'Make a new key for each request.');
      if (underWay.has(name)) throw refusal('api/key-under-way', 'the first request with this key is under way', 'Ask again in a while.');
      if (before?.status !== null && before?.answer != null) return { status: before.status, answer: before.answer };
      if (before !== undefined)
        throw refusal(
          'api/key-unfinished',
          'Steward ended while it did this request, and does not know what came of it',
          'Look whether it was done, and use a new key if not.',
        );
      underWay.add(name);
      store.run('insert into request (key, operation, body, at_ms) values (?, ?, ?, ?)', name, operation, body, now());
      try {
        const answered = await work();
        if (answered.answer.length <= longestAnswer)
          store.run('update request set status = ?, answer = ? where key = ?', answered.status, answered.answer, name);
        else store.run('delete from request where key = ?', name);
        return answered;
      } catch (error) {
        store.run('delete from request where key = ?', name);
        throw error;
      } finally {
        underWay.delete(name);
      }
    },
  };
}
