/** What the audit trail is told of requests: who wanted what done to what, and how it ended. Secrets are left out here. */
import type { Operation } from '@steward/sdk/contract/operation';
import type { Audit, Deed } from '../audit/audit.ts';
import type { StewardError } from '../errors.ts';
import type { Caller } from './handlers.ts';

/** Where it is written down: before it is done, and what came of it. */
export type Ledger = Pick<Audit, 'begin' | 'note'>;

/** One request on its way. */
export interface Told {
  /** It is about to be done. */
  begin(): void;
  /** How it ended; without a refusal it was done. */
  end(refusal?: StewardError): void;
}

export interface Trail {
  open(operation: Operation, given: { readonly params?: unknown; readonly body?: unknown }, caller: Caller): Told;
}

/** Whether an operation belongs into the trail: what changes something, and what shows what few may see. */
export const isAudited = ({ method, changesNothing, audited }: Operation): boolean =>
  audited === true || (method !== 'GET' && !changesNothing);

const masked = '***';

/** The input with the values of masked fields left out. */
function shown(
  { masked: hidden = [] }: Operation,
  { params, body }: { readonly params?: unknown; readonly body?: unknown },
): Record<string, unknown> {
  const fields = Object.entries({ ...(params as object), ...(body as object) });
  return Object.fromEntries(fields.map(([name, value]) => [name, hidden.includes(name) && value !== undefined ? masked : value]));
}

const objectFields = ['names', 'service', 'instance', 'name', 'person', 'id', 'files', 'version'] as const;

/** What it is about, as people say it. */
function objectOf(input: Record<string, unknown>): string {
  for (const field of objectFields) {
    const value = input[field];
    if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value.join(' ');
    if (typeof value === 'string' || typeof value === 'number') return String(value);
  }
  return '';
}

/** A request that is refused for who asks belongs into the trail whatever it asked for; a name that does not exist does not. */
const isAboutRights = ({ status }: StewardError): boolean => status === 401 || status === 403;

/** `via` is the way requests come: `control socket`, `https`. */
export function createTrail(audit: Ledger): Trail {
  return {
    open(operation, given, { subject, from, via }) {
      // Most requests only read, and are not told.
      const entry = (): Deed => {
        const input = shown(operation, given);
        // Who logs in is not known yet: what they say they are.
        const who = subject.kind === 'nobody' && typeof input.name === 'string' ? input.name : subject.name;
        return { as: subject.kind, who, via, from, action: operation.name, object: objectOf(input), details: input };
      };
      const belongs = isAudited(operation);
      let finish: ReturnType<Ledger['begin']> | undefined;
      return {
        begin() {
          if (belongs) finish = audit.begin(entry());
        },
        end(refusal) {
          const result = refusal === undefined ? 'done' : refusal.status < 500 ? 'refused' : 'failed';
          const reason = refusal && `${refusal.code}: ${refusal.message}`;
          if (finish !== undefined) finish(result, reason);
          else if (refusal !== undefined && (belongs || isAboutRights(refusal)))
            audit.note({ ...entry(), result, ...(reason !== undefined && { reason }) });
        },
      };
    },
  };
}
