/** A [program:x] section as a service. Everything supervisord does differently from Steward's defaults is written out. */
import { type Position, pointerStep } from '../problem.ts';
import type { ServiceSource } from '../sections/service.ts';
import { formatDuration } from '../units.ts';
import { optionOf } from './document.ts';
import { expand } from './expand.ts';
import { type Filled, filled, pick, plain, slice, toTemplate } from './filled.ts';
import { valuePlace } from './ini.ts';
import { namesOf } from './names.ts';
import { type SimpleName, type SimpleValues, simpleOptions, textOptions } from './options.ts';
import { readOutputs } from './output.ts';
import { leadOf } from './python-text.ts';
import { type Context, markOrigin, noteRelative, readEnvironment, readText, readValue, type Variable } from './reading.ts';
import { placeOfLetters, say, sayFaults, saySlip } from './report.ts';
import { splitWords } from './words.ts';

/** The group a program was put into by a [group:x]. */
export interface Membership {
  readonly group: string;
  readonly priority: number;
  /** What says the priority. */
  readonly at: Position;
}

/** Reads the options of one stage; those of the other keep their defaults. */
function readSimple(context: Context, perProcess: boolean, pointer: string): SimpleValues {
  const values: Partial<Record<SimpleName, unknown>> = {};
  for (const key of Object.keys(simpleOptions) as SimpleName[]) {
    const rule = simpleOptions[key];
    if (rule.perProcess !== perProcess) continue;
    values[key] = readValue<unknown>(context, key, rule.parse, rule.fallback, perProcess ? 'process' : 'program');
    if (rule.to !== '') markOrigin(context, pointer + rule.to, key);
  }
  return values as unknown as SimpleValues;
}

/** The words of the command. Something stands there even after a mistake, so that what refers to the service still finds it. */
function readCommand(context: Context, pointer: string): string[] {
  const { document, section, report } = context;
  const option = optionOf(document, section, 'command');
  const hint = 'Write command = PROGRAM ARGUMENTS; it must stay in the foreground.';
  if (option === undefined) {
    say(report, 'error', 'config/missing-command', section.at, `[${section.name}] has no command`, hint);
    return [''];
  }
  markOrigin(context, `${pointer}/run`, 'command');
  const found = readText(context, 'command', 'process');
  if (found === undefined) return [option.text];
  const words = splitWords(found.value.text);
  if ('slip' in words) {
    saySlip(report, section.name, option, found.value, words.slip);
    return [option.text];
  }
  if (words.value.length === 0) {
    say(report, 'error', 'config/missing-command', valuePlace(option), `[${section.name}] command: is empty`, hint);
    return [''];
  }
  return words.value.map((letters, index) => {
    if (letters[0] !== undefined)
      report.origins.set(`${pointer}/run/${index}`, placeOfLetters(option, found.value, letters[0], letters.length));
    return toTemplate(pick(found.value, letters));
  });
}

/** The name of each process, with its names filled in. */
function readProcessName(context: Context, numprocs: number): Filled {
  const { document, section, report, program } = context;
  const option = optionOf(document, section, 'process_name');
  const name = plain(program?.program ?? '');
  if (numprocs > 1 && !(option?.text.includes('%(process_num)') ?? false)) {
    const at = option ?? optionOf(document, section, 'numprocs');
    const message = `[${section.name}] process_name: lacks %(process_num), so the ${numprocs} processes would have one name`;
    const hint = 'Write process_name = %(program_name)s_%(process_num)02d.';
    say(report, 'error', 'config/missing-process-number', at === undefined ? section.at : valuePlace(at), message, hint);
    return name;
  }
  if (option === undefined) return name;
  const lead = leadOf(option.text);
  const raw = option.text.slice(lead);
  const bad = /[ :/]/.exec(raw);
  if (bad !== null || raw === '') {
    const message = bad === null ? 'is empty' : `"${raw}" holds "${bad[0]}", which no process name may`;
    say(
      report,
      'error',
      'config/bad-name',
      valuePlace(option),
      `[${section.name}] process_name: ${message}`,
      'Write a name without blanks, colons and slashes.',
    );
    return name;
  }
  const { value, faults } = expand(slice(plain(option.text), lead, option.text.length), namesOf({ ...context, option }, 'process'));
  sayFaults(report, section.name, option, faults);
  return faults.length === 0 ? value : name;
}

/** The working directory; supervisord does not know `~` there. */
function readFolder(context: Context): string | undefined {
  const found = readText(context, 'directory', 'process');
  if (found === undefined) return undefined;
  const { section, report } = context;
  const at = valuePlace(found.option);
  const { text } = found.value;
  if (text === '') {
    say(report, 'error', 'config/missing-value', at, `[${section.name}] directory: is empty`, 'Write a path, or leave the line out.');
    return undefined;
  }
  if (text.startsWith('~')) {
    const message = `[${section.name}] directory: "~" does not stand for a home directory here, nor in supervisord`;
    say(report, 'warning', 'config/tilde', at, message, 'Write the whole path, or %(ENV_HOME)s.');
  } else if (!text.startsWith('/')) noteRelative(context, 'directory', text);
  return toTemplate(found.value);
}

/** What supervisord tells every program, then what the file sets. */
function environmentOf(context: Context, own: readonly Variable[], processName: string): Record<string, string> {
  const told = { SUPERVISOR_ENABLED: '1', SUPERVISOR_PROCESS_NAME: processName, SUPERVISOR_GROUP_NAME: '{{group}}' };
  const kept = Object.entries(told).filter(([name]) => !context.env.has(name));
  return Object.fromEntries([...kept, ...own.map(({ name, value }): [string, string] => [name, toTemplate(value)])]);
}

function stopOf(context: Context, values: SimpleValues): ServiceSource['stop'] {
  const { section, report, document } = context;
  const killAll = values.killasgroup ?? values.stopasgroup;
  const option = optionOf(document, section, 'killasgroup');
  if (values.stopasgroup && !killAll && option !== undefined) {
    const message = `[${section.name}] killasgroup: cannot be false while stopasgroup is true`;
    say(report, 'error', 'config/conflicting-options', valuePlace(option), message, 'Remove this line: it is true then.');
  }
  return {
    signal: values.stopsignal,
    timeout: formatDuration(values.stopwaitsecs * 1000),
    scope: values.stopasgroup ? 'group' : 'process',
    killScope: killAll ? 'group' : 'process',
  };
}

/** The place in the order of starting: the group's, for a program in one. */
function priorityOf(context: Context, own: number, membership: Membership | undefined, pointer: string): number {
  const option = optionOf(context.document, context.section, 'priority');
  const at = membership?.at ?? (option === undefined ? context.section.at : valuePlace(option));
  if (membership !== undefined || option !== undefined) context.report.origins.set(`${pointer}/priority`, at);
  return membership?.priority ?? own;
}

function copiesOf(context: Context, values: SimpleValues, processName: Filled): Partial<ServiceSource> {
  const { numprocs, numprocs_start } = values;
  const name = context.program?.program ?? '';
  const several = filled([...plain(`${name}_`).pieces, { text: '0', template: '{{instance}}', from: 0, length: 0 }]);
  const template = toTemplate(processName);
  const usual = toTemplate(numprocs === 1 ? plain(name) : several);
  const says = (key: string): string => optionOf(context.document, context.section, key)?.text ?? '';
  const numbered = numprocs > 1 || says('numprocs_start') !== '' || textOptions.some((key) => says(key).includes('process_num'));
  return {
    ...(numprocs === 1 ? {} : { instances: numprocs }),
    ...(numprocs_start === 1 || !numbered ? {} : { firstInstance: numprocs_start }),
    ...(template === usual ? {} : { instanceName: template }),
  };
}

/** The program's own `priority`, without reporting anything: groups compare them before programs are read. */
export function ownPriority(context: Context): number {
  const quiet = { ...context, report: { problems: [], origins: new Map() } };
  return readValue(quiet, 'priority', simpleOptions.priority.parse, simpleOptions.priority.fallback, 'program');
}

/** The service a program section amounts to; mistakes and places go to the report. */
export function readProgram(context: Context, name: string, membership: Membership | undefined): ServiceSource {
  const pointer = `/services${pointerStep(name)}`;
  const { origins } = context.report;
  origins.set(pointer, context.section.at);
  const group = membership?.group ?? name;
  const program = { program: name, group, numprocs: 1, firstNumber: 0 };
  const fixed = readSimple({ ...context, program }, false, pointer);
  const numbered: Context = { ...context, program: { ...program, numprocs: fixed.numprocs, firstNumber: fixed.numprocs_start } };
  const own = readEnvironment(numbered, `${pointer}/env`, 'process');
  const inner: Context = { ...numbered, env: new Map([...context.env, ...own.map(({ name: key, value }) => [key, value] as const)]) };
  const values: SimpleValues = { ...fixed, ...readSimple(inner, true, pointer) };
  const processName = readProcessName(inner, values.numprocs);
  markOrigin(context, `${pointer}/instanceName`, 'process_name');
  markOrigin(context, `${pointer}/cwd`, 'directory');
  const priority = priorityOf(context, values.priority, membership, pointer);
  const cwd = readFolder(inner);
  return {
    run: readCommand(inner, pointer),
    ...copiesOf(inner, values, processName),
    ...(membership === undefined ? {} : { group }),
    ...(priority === 999 ? {} : { priority }),
    ...(cwd === undefined ? {} : { cwd }),
    ...(values.user === undefined ? {} : { user: values.user }),
    ...(values.umask === undefined ? {} : { umask: values.umask.toString(8).padStart(3, '0') }),
    env: environmentOf(context, own, toTemplate(processName)),
    inheritEnv: true,
    ...(values.autostart ? {} : { autostart: false }),
    restart: values.autorestart,
    expectedExitCodes: values.exitcodes,
    ...(values.startsecs === 1 ? {} : { upAfter: formatDuration(values.startsecs * 1000) }),
    startRetries: values.startretries,
    backoff: { kind: 'linear' },
    stop: stopOf(context, values),
    ...readOutputs(inner, values, pointer),
  };
}
