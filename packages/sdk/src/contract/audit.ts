/** Operations on the audit trail. They read it; there is none that alters it. */
import { type Static, Type } from 'typebox';
import { operation } from './operation.ts';

export const auditResults = ['begun', 'done', 'refused', 'failed'] as const;
export type AuditResult = (typeof auditResults)[number];

export const auditEntryShape = Type.Object(
  {
    seq: Type.Integer({ description: 'its place in the trail: 1, 2, 3, ...' }),
    at: Type.String({ format: 'date-time', description: 'UTC' }),
    as: Type.String({ description: 'what kind of caller: person, token, local, supervisorctl, nobody, or steward itself' }),
    who: Type.String(),
    via: Type.String({ description: 'the way they came: control socket, https, ...' }),
    from: Type.String({ description: 'their address' }),
    action: Type.String({ description: 'the operation' }),
    object: Type.String({ description: 'what it was done to' }),
    result: Type.Unsafe<AuditResult>({
      enum: [...auditResults],
      description: '`begun`: somebody asked; the entry with `of` says what came of it. Without one, Steward was ended in between.',
    }),
    reason: Type.Optional(Type.String({ description: 'why it was refused or failed' })),
    of: Type.Optional(Type.Integer({ description: 'seq of the entry whose outcome this is' })),
    details: Type.Record(Type.String(), Type.Unknown(), { description: 'what was given, without secrets' }),
  },
  { description: 'Something that somebody did, or tried to.' },
);
export type AuditEntry = Static<typeof auditEntryShape>;

const listedShape = Type.Intersect([
  auditEntryShape,
  Type.Object({ hash: Type.String(), hasOutcome: Type.Optional(Type.Boolean({ description: 'of what was begun' })) }),
]);
export type ListedAuditEntry = Static<typeof listedShape>;

const span = {
  since: Type.Optional(Type.String({ maxLength: 64, description: 'only entries from this time on: an ISO time, or epoch milliseconds' })),
  until: Type.Optional(Type.String({ maxLength: 64, description: 'only entries up to this time' })),
};

export const listAudit = operation({
  name: 'listAudit',
  method: 'GET',
  path: '/v1/audit',
  summary: 'Entries of the audit trail, newest first.',
  needs: 'audit',
  query: Type.Object({
    who: Type.Optional(Type.String({ maxLength: 128 })),
    action: Type.Optional(Type.String({ maxLength: 64 })),
    object: Type.Optional(Type.String({ maxLength: 256, description: 'a part of it' })),
    result: Type.Optional(Type.Unsafe<AuditResult>({ type: 'string', enum: [...auditResults] })),
    ...span,
    brief: Type.Optional(
      Type.Boolean({ description: 'leave out what was begun when its outcome is there, which then has its details. Default: false' }),
    ),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, description: 'Default: 100.' })),
    after: Type.Optional(Type.Integer({ minimum: 1, description: 'the `next` of the page before' })),
  }),
  answer: Type.Object({
    entries: Type.Array(listedShape),
    next: Type.Optional(
      Type.Integer({ description: 'what to give as `after` for more, also when this page is not full; absent: that is all' }),
    ),
  }),
});

const place = Type.Object({ seq: Type.Integer(), hash: Type.String() });

export const auditVerdictShape = Type.Object(
  {
    whole: Type.Boolean({ description: 'every entry is as it was written, and none is missing' }),
    entries: Type.Integer({ description: 'that were looked at' }),
    anchor: Type.Union([place, Type.Null()], {
      description: 'the entry before the first: older ones were removed by age; null when it is not known',
    }),
    head: Type.Union([place, Type.Null()], { description: 'the last entry that is right' }),
    brokenAt: Type.Optional(Type.Integer({ description: 'seq of the first entry that is not right' })),
    why: Type.Optional(Type.String()),
  },
  { description: 'Whether the trail is whole.' },
);
export type AuditVerdict = Static<typeof auditVerdictShape>;

export const verifyAudit = operation({
  name: 'verifyAudit',
  method: 'GET',
  path: '/v1/audit/verify',
  summary: 'Whether the audit trail is whole; with a head that was noted earlier, also whether its end is.',
  needs: 'audit',
  audited: true,
  query: Type.Object({
    head: Type.Optional(
      Type.String({ pattern: '^(\\d{1,15}:)?[0-9a-f]{64}$', description: 'the hash of an entry noted earlier, or SEQ:HASH' }),
    ),
  }),
  answer: auditVerdictShape,
});
export const exportAudit = operation({
  name: 'exportAudit',
  method: 'GET',
  path: '/v1/audit/export',
  summary: 'The audit trail as text, oldest first, in parts that follow each other; the last one tells its head.',
  needs: 'audit',
  audited: true,
  query: Type.Object({
    format: Type.Optional(Type.Unsafe<'ndjson' | 'csv'>({ type: 'string', enum: ['ndjson', 'csv'], description: 'Default: ndjson.' })),
    ...span,
  }),
  answer: Type.Object({
    text: Type.String({ description: 'whole lines' }),
    head: Type.Optional(Type.Object({ seq: Type.Integer(), hash: Type.String() }, { description: 'in the last part: note it elsewhere' })),
  }),
  stream: true,
});
