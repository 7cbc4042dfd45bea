/** Where the output of an instance goes, as written → as files, rotation and syslog. Pure. */
import type { OutputSpec } from './model.ts';
import type { ServiceSource } from './sections/service.ts';
import type { ServiceDraft } from './service-draft.ts';
import { parseSyslogTarget, type SyslogSpec } from './syslog.ts';
import { sizeOr } from './units.ts';

const standardBytes = 50 * 1024 * 1024;
const standardKeep = 10;

/** Steward's own output, under the names it has in containers: there a log is shown by `steward up` and kept as any other. */
const ownOutput = /^\/(dev\/(stdout|stderr|fd\/[12])|proc\/self\/fd\/[12])$/;

function logFileOf(draft: ServiceDraft, given: string | undefined, field: string): string | undefined {
  if (given === undefined || given === 'none') return given;
  const file = draft.path(given, `${field}/file`);
  if (!ownOutput.test(file)) return file;
  draft.tell(
    `${field}/file`,
    'config/own-output',
    `${file} is Steward's own output here`,
    '`steward up` shows it live, and it is kept in the logs folder.',
    'note',
  );
  return undefined;
}

export function outputOf(draft: ServiceDraft, given: Exclude<ServiceSource['stdout'], undefined> | undefined, field: string): OutputSpec {
  const { logs } = draft.scope;
  const file = logFileOf(draft, given?.file, field);
  const rotate = given?.rotate ?? logs.rotate;
  const compress = given?.compress ?? logs.compress;
  const syslog = syslogOf(draft, given?.syslog, field);
  if (file === 'none' && syslog !== undefined)
    draft.tell(`${field}/syslog`, 'config/no-log', 'lines are sent to syslog from the log, and it keeps none', 'Take away file: none.');
  return {
    ...(file && { file }),
    maxBytes: sizeOr(given?.maxSize, sizeOr(logs.maxSize, standardBytes)),
    keep: given?.keep ?? logs.keep ?? standardKeep,
    ...(rotate && { rotate }),
    ...(compress && { compress }),
    ...(given?.total !== undefined && { totalBytes: sizeOr(given.total, 0) }),
    ...(logs.total !== undefined && { pool: { name: `${draft.scope.folder} ${logs.total}`, bytes: sizeOr(logs.total, 0) } }),
    ...(syslog && { syslog }),
  };
}

type SyslogSource = NonNullable<NonNullable<ServiceSource['stdout']>['syslog']>;

function syslogOf(draft: ServiceDraft, given: SyslogSource | undefined, field: string): SyslogSpec | undefined {
  if (given === undefined) return undefined;
  const to = draft.text(given.to, `${field}/syslog/to`);
  const target = parseSyslogTarget(to);
  if (target === undefined)
    draft.tell(
      `${field}/syslog/to`,
      'config/address',
      `"${to}" is no place for syslog`,
      'Write udp://HOST:514, tcp://HOST:601 or unix:/dev/log.',
    );
  return {
    to,
    facility: given.facility ?? 'daemon',
    tag: given.tag === undefined ? draft.name : draft.text(given.tag, `${field}/syslog/tag`),
    format: given.format ?? (target?.kind === 'unix' ? 'rfc3164' : 'rfc5424'),
  };
}
