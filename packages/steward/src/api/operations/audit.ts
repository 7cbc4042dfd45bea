/** The audit trail, to read. */
import type { Handlers, Rooms } from '../handlers.ts';
import { parseTime } from './logs.ts';

const standardPage = 100;

const spanOf = ({ since, until }: { readonly since?: string | undefined; readonly until?: string | undefined }) => ({
  sinceMs: since === undefined ? undefined : parseTime(since),
  untilMs: until === undefined ? undefined : parseTime(until),
});

export const auditHandlers = ({ audit }: Pick<Rooms, 'audit'>): Pick<Handlers, 'listAudit' | 'verifyAudit' | 'exportAudit'> => ({
  listAudit: ({ query: { since, until, after, limit = standardPage, ...filter } }) =>
    audit.list({ ...filter, ...spanOf({ since, until }), limit, before: after }),
  verifyAudit: ({ query }) => audit.verify(query.head),
  async *exportAudit({ query: { format = 'ndjson', ...span } }) {
    for await (const data of audit.export(format, spanOf(span))) yield { data };
  },
});
