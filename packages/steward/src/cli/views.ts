/** How instances, log lines, facts and plans look on a terminal. Pure. */
import type { Fact } from '@steward/sdk/contract/facts';
import type { InstanceInfo, LogLine } from '@steward/sdk/contract/instances';
import type { Plan } from '@steward/sdk/contract/system';
import { harmless, harmlessInColor, widthOf } from '../config/terminal.ts';
import { type Color, type Column, clock, megabytes, paint, table, uptime } from './print.ts';

const stateColors: Readonly<Record<InstanceInfo['state'], Color>> = {
  RUNNING: 'green',
  STARTING: 'cyan',
  STOPPING: 'cyan',
  BACKOFF: 'yellow',
  FATAL: 'red',
  EXITED: 'dim',
  STOPPED: 'dim',
};

const beforeLast: readonly Column<InstanceInfo>[] = [
  { title: 'NAME', value: ({ id }) => harmless(id) },
  { title: 'STATE', value: ({ state }) => state, color: ({ state }) => stateColors[state] },
  { title: 'PID', value: ({ pid }) => (pid === undefined ? '-' : String(pid)), align: 'right' },
  { title: 'UPTIME', value: ({ uptimeSeconds }) => (uptimeSeconds === undefined ? '-' : uptime(uptimeSeconds)), align: 'right' },
  { title: 'CPU', value: ({ cpuPercent }) => (cpuPercent === undefined ? '-' : `${cpuPercent.toFixed(1)}%`), align: 'right' },
  { title: 'MEMORY', value: ({ memoryBytes }) => (memoryBytes === undefined ? '-' : megabytes(memoryBytes)), align: 'right' },
];

const countColumn = (title: string, count: (instance: InstanceInfo) => number | undefined): Column<InstanceInfo> => ({
  title,
  value: (instance) => String(count(instance) ?? '-'),
  align: 'right',
});

const lastColumns: readonly Column<InstanceInfo>[] = [
  { title: 'RESTARTS', value: ({ restarts }) => String(restarts), align: 'right' },
  {
    title: 'LAST LINE',
    value: ({ state, reason, lastLine }) => harmless(state !== 'RUNNING' && reason !== '' ? `(${reason})` : (lastLine ?? '')),
  },
];

export function instanceTable(instances: readonly InstanceInfo[], width: number, colored: boolean): string {
  return tableOf(instances, [...beforeLast, ...lastColumns], width, colored);
}

/** The same with what each whole tree has open and runs. */
export function usageTable(instances: readonly InstanceInfo[], width: number, colored: boolean): string {
  const counts = [countColumn('FILES', ({ openFiles }) => openFiles), countColumn('TASKS', ({ tasks }) => tasks)];
  return tableOf(instances, [...beforeLast, ...counts, ...lastColumns], width, colored);
}

const tableOf = (instances: readonly InstanceInfo[], columns: readonly Column<InstanceInfo>[], width: number, colored: boolean): string =>
  instances.length === 0 ? 'nothing runs: no services are configured' : table(instances, columns, width, colored);

const nameColors: readonly Color[] = ['cyan', 'magenta', 'blue', 'green', 'yellow'];

function colorOf(name: string): Color {
  let sum = 0;
  for (const char of name) sum = (sum * 31 + (char.codePointAt(0) ?? 0)) % 997;
  return nameColors[sum % nameColors.length] as Color;
}

const padded = (text: string, width: number): string => text + ' '.repeat(Math.max(0, width - widthOf(text)));

/** `14:03:22.120 web_1 | text`; stderr has `!` for `|`. */
export function logLine({ instance, stream, at, text, mark }: LogLine, width: number, now: Date, colored: boolean): string {
  const time = at === null ? '' : `${paint(clock(at, now), 'dim', colored)} `;
  const bar = stream === 'stderr' ? paint('!', 'red', colored) : paint('|', 'dim', colored);
  const name = paint(padded(harmless(instance), width), colorOf(instance), colored);
  if (mark !== undefined) return `${time}${name} ${paint(`── ${harmless(text)} ──`, 'dim', colored)}`;
  return `${time}${name} ${bar} ${colored ? harmlessInColor(text) : text}`;
}

const factColor = (type: Fact['type']): Color =>
  type.endsWith('fatal') || type.endsWith('trouble') || type.endsWith('refused')
    ? 'red'
    : type.endsWith('backoff') || type.endsWith('killed')
      ? 'yellow'
      : type.endsWith('running')
        ? 'green'
        : 'dim';

/** `14:03:22.120 web_1 instance.running  ready 0.2 s after its start`. */
export function factLine({ at, type, subject, message }: Fact, now: Date, colored: boolean): string {
  return `${paint(clock(at, now), 'dim', colored)} ${harmless(subject)} ${paint(type, factColor(type), colored)}  ${harmless(message)}`;
}

const signs = { start: '+', stop: '-', restart: '~', update: '*', stay: ' ' } as const;
const changeColors: Readonly<Record<keyof typeof signs, Color | undefined>> = {
  start: 'green',
  stop: 'red',
  restart: 'yellow',
  update: 'cyan',
  stay: 'dim',
};
const explained = { start: 'starts', stop: 'stops', restart: 'restarts', update: 'is changed without a restart', stay: 'stays' } as const;

/** One line a change with its reasons, what stays in one line together, then what happens to the gateway. */
export function planText({ changes, sites }: Plan, colored: boolean): string {
  const shown = changes
    .filter(({ kind }) => kind !== 'stay')
    .flatMap(({ kind, id, reasons }) => {
      const line = `${signs[kind]} ${harmless(id)} ${kind === 'start' && reasons.length > 0 ? 'is added' : explained[kind]}`;
      return [paint(line, changeColors[kind] ?? 'dim', colored), ...reasons.map((reason) => `    ${harmless(reason)}`)];
    });
  const stay = changes.filter(({ kind }) => kind === 'stay').map(({ id }) => id);
  const rest =
    stay.length === 0
      ? []
      : [paint(`  ${stay.length} ${stay.length === 1 ? 'stays' : 'stay'} untouched: ${cutList(stay)}`, 'dim', colored)];
  return [...shown, ...rest, `gateway: ${sites.summary}${sites.changed ? ' (changed; no connection is dropped)' : ''}`].join('\n');
}

const cutList = (names: readonly string[]): string =>
  names.length <= 8 ? names.join(', ') : `${names.slice(0, 8).join(', ')} and ${names.length - 8} more`;
