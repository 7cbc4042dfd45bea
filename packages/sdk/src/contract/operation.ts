/**
 * An operation: one thing a person or program may ask of Steward. The list of operations is data; the server, the client,
 * the command line, the console and the reference are made from it.
 */
import type { Static, TSchema } from 'typebox';
import type { Right } from './rights.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';

/**
 * What the right of an operation is asked for. Without it: for the whole of Steward. `each`: it is enough to have it for something,
 * and the answer holds only what the caller may see. `body.names` and the like: for every service that this field of the input
 * names.
 */
export type About = 'each' | 'body.names' | 'body.service' | 'body.instance' | 'query.names';

export interface Operation {
  readonly name: string;
  readonly method: Method;
  /** `/v1/instances/:id` */
  readonly path: string;
  /** One sentence for people. */
  readonly summary: string;
  /** The right that the caller must have; `nothing` for what somebody does to become known. */
  readonly needs: Right | 'nothing';
  readonly about?: About;
  /** Only over the control socket, that is by who owns this installation. */
  readonly local?: true;
  /** Although it is no GET it changes nothing: no entry in the audit trail. */
  readonly changesNothing?: true;
  /** A GET that belongs into the audit trail. */
  readonly audited?: true;
  /** Fields of the body whose values nobody gets to see: passwords, codes, values of secrets. */
  readonly masked?: readonly string[];
  /** Its answer holds what is shown once: it is kept nowhere, so that the request cannot be repeated by a key. */
  readonly shownOnce?: true;
  /** Its body holds texts of files: up to 16 MB, where others have 1 MB. */
  readonly large?: true;
  readonly params?: TSchema;
  readonly query?: TSchema;
  readonly body?: TSchema;
  /** Shape of the answer; of each event when `stream` is set. */
  readonly answer: TSchema;
  /** The answer is a stream of server-sent events, each with an id to go on from (Last-Event-ID). */
  readonly stream?: true;
}

/** Keeps the exact types of an operation's shapes. */
export const operation = <const O extends Operation>(given: O): O => given;

type StaticOr<T, Otherwise> = T extends TSchema ? Static<T> : Otherwise;

/** What a caller gives: params, query and body, those that the operation has. */
export interface Input<O extends Operation> {
  readonly params: StaticOr<O['params'], Record<string, never>>;
  readonly query: StaticOr<O['query'], Record<string, never>>;
  readonly body: StaticOr<O['body'], undefined>;
}

export type Answer<O extends Operation> = Static<O['answer']>;
