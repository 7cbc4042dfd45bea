/** audit: who did what; whether the trail is whole; the trail as a file. */
import { closeSync, createReadStream, openSync, readSync, writeSync } from 'node:fs';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { AuditVerdict, ListedAuditEntry } from '@steward/sdk/contract/audit';
import { formatHead, verifyDatabase, verifyExport } from '../../audit/audit.ts';
import { harmless } from '../../config/terminal.ts';
import { parseDuration } from '../../config/units.ts';
import { StewardError } from '../../errors.ts';
import { type Call, type Command, jsonOption } from '../command.ts';
import { type Color, clock, table } from '../print.ts';

const usage = (message: string, hint: string): StewardError => new StewardError('cli/usage', message, { status: 400, hint });

const resultColors: Readonly<Record<ListedAuditEntry['result'], Color>> = {
  begun: 'yellow',
  done: 'green',
  refused: 'yellow',
  failed: 'red',
};
const shown = 50;
const mostAtOnce = 1000;

/** `1h` means an hour ago; all else is a time. */
function timeOf(text: string): string {
  const ms = parseDuration(text);
  return ms === undefined || /^\d+$/.test(text) ? text : String(Date.now() - ms);
}

function spanOf({ values }: Call): { since?: string; until?: string } {
  const { since, until } = values;
  return { ...(typeof since === 'string' && { since: timeOf(since) }), ...(typeof until === 'string' && { until: timeOf(until) }) };
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

/** Why it was not done, or what was given. */
function whatOf({ result, reason, details, hasOutcome }: ListedAuditEntry): string {
  if (result === 'begun' && hasOutcome === false) return '(no outcome: Steward ended, or still does it)';
  const given = Object.entries(details).map(([name, value]) => `${name}=${textOf(value)}`);
  return reason ?? given.join(' ');
}

async function list(call: Call): Promise<number> {
  const { client, io, values } = call;
  const limit = values.lines === undefined ? shown : Number(values.lines);
  if (!Number.isInteger(limit) || limit < 1) throw usage(`"${values.lines}" is no number of lines`, 'Write -n 50.');
  const { who, action, object } = values as Record<string, string | undefined>;
  const filter = { ...(who && { who }), ...(action && { action }), ...(object && { object }), ...spanOf(call), brief: values.all !== true };
  const result = values.result as ListedAuditEntry['result'] | undefined;
  const entries: ListedAuditEntry[] = [];
  for (let after: number | undefined; entries.length < limit; ) {
    const page = Math.min(mostAtOnce, limit - entries.length);
    const answer = await client.listAudit({ query: { ...filter, ...(result && { result }), limit: page, ...(after && { after }) } });
    entries.push(...answer.entries);
    after = answer.next;
    if (after === undefined) break;
  }
  if (values.json) io.out(JSON.stringify({ entries }, undefined, 2));
  else io.out(entries.length === 0 ? 'nothing' : auditTable(entries.reverse(), call));
  return 0;
}

function auditTable(entries: readonly ListedAuditEntry[], { io }: Call): string {
  const now = new Date();
  return table(
    entries,
    [
      { title: 'SEQ', value: ({ seq }) => String(seq), align: 'right' },
      { title: 'TIME', value: ({ at }) => clock(at, now) },
      { title: 'WHO', value: ({ who, as }) => harmless(who === '' ? as : who) },
      { title: 'FROM', value: ({ from }) => harmless(from) },
      { title: 'ACTION', value: ({ action }) => harmless(action) },
      { title: 'RESULT', value: ({ result }) => result, color: ({ result }) => resultColors[result] },
      { title: 'OBJECT', value: ({ object }) => harmless(object) },
      { title: 'WHAT', value: (entry) => harmless(whatOf(entry)) },
    ],
    io.columns,
    io.isTerminal,
  );
}

const sqlite = 'SQLite format 3\0';

function beginsAs(file: string): string {
  try {
    const fd = openSync(file, 'r');
    try {
      const bytes = Buffer.alloc(sqlite.length);
      return bytes.toString('latin1', 0, readSync(fd, bytes));
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw usage(`${file} cannot be read: ${(error as NodeJS.ErrnoException).code}`, 'Name a state.db or an exported file.');
  }
}

/** Without a daemon: a state.db, or an export. */
function verifyFile(file: string, head: string | undefined): Promise<AuditVerdict> {
  if (beginsAs(file) === sqlite) return verifyDatabase(file, head);
  return verifyExport(createInterface({ input: createReadStream(file), crlfDelay: 0 }), head);
}

async function verify(call: Call): Promise<number> {
  const { client, io, values } = call;
  const head = values.head as string | undefined;
  const file = values.file as string | undefined;
  const verdict = await (file === undefined
    ? client.verifyAudit({ query: head === undefined ? {} : { head } })
    : verifyFile(resolve(io.cwd, file), head));
  const { whole, entries, anchor, head: last, brokenAt, why } = verdict;
  if (values.json) io.out(JSON.stringify(verdict, undefined, 2));
  else if (whole) {
    const removed = anchor !== null && anchor.seq > 0 ? `; those up to ${anchor.seq} are no longer there` : '';
    io.out(`the audit trail is whole: ${entries} entries${removed}`);
    if (last !== null) io.out(`head ${formatHead(last)}`);
  } else io.err(`steward: the audit trail is not whole: at entry ${brokenAt}: ${why}  [audit/broken]`);
  return whole ? 0 : 1;
}

async function exportTrail(call: Call): Promise<number> {
  const { client, io, values } = call;
  const format = values.csv ? ('csv' as const) : ('ndjson' as const);
  const file = values.output as string | undefined;
  const fd = file === undefined ? undefined : openSync(resolve(io.cwd, file), 'w', 0o600);
  let head: string | undefined;
  try {
    for await (const { data } of client.exportAudit({ query: { format, ...spanOf(call) } })) {
      if (fd !== undefined) writeSync(fd, data.text);
      else if (data.text !== '') io.out(data.text.replace(/\r?\n$/, ''));
      head = data.head === undefined ? head : formatHead(data.head);
    }
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
  if (head === undefined)
    throw new StewardError('audit/broken', 'the export broke off before its end', { status: 500, hint: 'Try again.' });
  io.err(`head ${head}`);
  return 0;
}

export const audit: Command = {
  name: 'audit',
  usage: '[list] | verify | export',
  details: `  list                 what was done, the newest last: by default the last 50
      -n N             the last N
      --who NAME  --action OPERATION  --object PART  --result begun|done|refused|failed
      --since T  --until T   times, or how long ago: 1h, 7d
      --all            also that it was begun, when its outcome is there
  verify               whether every entry is as it was written, and none is missing
      --head SEQ:HASH  and whether the trail holds this entry, noted earlier
      --file F         without a daemon: a state.db, or an exported file
  export               the trail as lines of JSON, which can be verified; its head is told at the end: note it elsewhere
      --csv            as a table instead
      --output F       into a file that only you can read
      --json           with list and verify`,
  options: {
    ...jsonOption,
    lines: { type: 'string', short: 'n' },
    who: { type: 'string' },
    action: { type: 'string' },
    object: { type: 'string' },
    result: { type: 'string' },
    since: { type: 'string' },
    until: { type: 'string' },
    all: { type: 'boolean' },
    head: { type: 'string' },
    file: { type: 'string' },
    csv: { type: 'boolean' },
    output: { type: 'string', short: 'o' },
  },
  takes: 'any',
  async run(call) {
    const [action = 'list', ...words] = call.positionals;
    const act = { list, verify, export: exportTrail }[action as 'list'];
    if (act === undefined || words.length > 0) throw usage('audit knows list, verify and export', 'steward audit --help');
    return act(call);
  },
};
