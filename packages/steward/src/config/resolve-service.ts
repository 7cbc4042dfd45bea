/** A service as written → its instances: defaults filled in, templates replaced, units as numbers. Pure. */
import type { BackoffSpec, HooksSpec, InstanceSpec, IoSpec, LimitsSpec, ProcessLimitsSpec, StopSpec } from './model.ts';
import { hookNames } from './model.ts';
import { pointerStep } from './problem.ts';
import { endpointOf } from './resolve-endpoint.ts';
import { outputOf } from './resolve-output.ts';
import { checkProbe, readyOf } from './resolve-ready.ts';
import type { Scope } from './scope.ts';
import type { ServiceSource } from './sections/service.ts';
import { ServiceDraft } from './service-draft.ts';
import { durationOr, sizeOr } from './units.ts';
import { splitWords } from './words.ts';

const standardPriority = 999;

function commandOf(draft: ServiceDraft, source: Pick<ServiceSource, 'run' | 'shell'>, field = '/run'): [string, ...string[]] {
  if (Array.isArray(source.run))
    return source.run.map((word, index) => draft.text(word, `${field}${pointerStep(index)}`)) as [string, ...string[]];
  if (source.shell) return ['/bin/sh', '-c', draft.text(source.run, field)];
  const split = splitWords(source.run);
  if ('mistake' in split) {
    draft.tell(
      field,
      'config/open-quote',
      `the command ${split.mistake}: ${source.run}`,
      'Close the quote, or write the command as a list of words.',
    );
    return ['false'];
  }
  const words = split.words.map((word) => draft.text(word, field));
  if (words.length === 0) draft.tell(field, 'config/empty-command', 'the command is empty', 'Write the program and its arguments.');
  return words as [string, ...string[]];
}

function envOf(draft: ServiceDraft, source: ServiceSource): { env: Record<string, string>; secretEnv: string[] } {
  const { scope } = draft;
  const env: Record<string, string> = { ...scope.fileEnv };
  const secretEnv = new Set<string>();
  const add = (templates: Readonly<Record<string, string | number | boolean>>, field: string): void => {
    for (const [name, value] of Object.entries(templates)) {
      draft.secretsUsed.clear();
      env[name] = typeof value === 'string' ? draft.text(value, field + pointerStep(name), 'text') : String(value);
      if (draft.secretsUsed.size > 0) secretEnv.add(name);
      else secretEnv.delete(name);
      checkVariable(draft, field + pointerStep(name), name, env[name]);
    }
  };
  add(scope.envTemplates, '/env');
  for (const file of [source.envFile ?? []].flat())
    Object.assign(env, scope.envFile(draft.text(file, '/envFile'), `${draft.pointer}/envFile`));
  add(source.env ?? {}, '/env');
  return { env, secretEnv: [...secretEnv] };
}

/** What it gets as files. Call it after `envOf`: a variable is one or the other. */
function secretFilesOf(
  draft: ServiceDraft,
  { secretFiles = {} }: ServiceSource,
  env: Readonly<Record<string, string>>,
): Pick<InstanceSpec, 'secretFiles'> {
  const files = Object.entries(secretFiles).map(([variable, template]) => {
    const field = `/secretFiles${pointerStep(variable)}`;
    const wrong = (message: string, hint: string, place = field): void => draft.tell(place, 'config/secret-files', message, hint);
    if (!/^[A-Za-z_]\w{0,127}$/.test(variable))
      wrong(`"${variable}" cannot be the name of a variable and of a file`, 'Use letters, digits and _.', `${field}#key`);
    if (env[variable] !== undefined)
      wrong(`${variable} is in env too`, 'It gets the path of the file: take it away there.', `${field}#key`);
    draft.secretsUsed.clear();
    const content = draft.bytes(template, field).toString('base64');
    if (draft.secretsUsed.size === 0 && !template.includes('{{secret.')) wrong('it holds no secret', 'Write "{{secret.NAME}}".');
    return { variable, content };
  });
  return files.length === 0 ? {} : { secretFiles: files };
}

/** The stored secrets that its environment and files have used. */
function storedOf({ stored, lacks }: ServiceDraft): Pick<InstanceSpec, 'secrets' | 'lacks'> {
  const names = [...stored].toSorted(([a], [b]) => (a < b ? -1 : 1));
  return { ...(names.length > 0 && { secrets: Object.fromEntries(names) }), ...(lacks !== undefined && { lacks }) };
}

function checkVariable(draft: ServiceDraft, field: string, name: string, value: string): void {
  if (draft.endpoint?.shared !== undefined && !/^[A-Za-z_]\w*$/.test(name))
    draft.tell(
      `${field}#key`,
      'config/variable-name',
      `"${name}" would not reach a service with listen: shared, which starts by way of a shell`,
      'Use letters, digits and _.',
    );
  if (/[=\0]/.test(name) || name === '')
    draft.tell(`${field}#key`, 'config/variable-name', `"${name}" cannot be the name of a variable`, 'Use letters, digits and _.');
  if (value.includes('\0'))
    draft.tell(field, 'config/variable-value', `${name} holds a NUL character`, 'The system cannot hand that to a program.');
}

function backoffOf({ backoff }: ServiceSource): BackoffSpec {
  if (backoff?.kind === 'linear') return { kind: 'linear' };
  return {
    kind: 'exponential',
    firstMs: durationOr(backoff?.first, 0),
    baseMs: durationOr(backoff?.base, 200),
    factor: backoff?.factor ?? 2,
    maxMs: durationOr(backoff?.max, 30_000),
    jitter: backoff?.jitter ?? 0.1,
    resetAfterMs: durationOr(backoff?.resetAfter, 30_000),
  };
}

function stopOf(draft: ServiceDraft, { stop }: ServiceSource): StopSpec {
  const scope = stop?.scope ?? 'group';
  const drainMs = durationOr(stop?.drain, 10_000);
  const drains = drainMs > 0 && draft.endpoint !== undefined && draft.endpoint.shared === undefined;
  return {
    signal: stop?.signal ?? 'TERM',
    timeoutMs: durationOr(stop?.timeout, 10_000),
    scope,
    killScope: stop?.killScope ?? scope,
    ...(drains && { drainMs }),
  };
}

function hooksOf(draft: ServiceDraft, { hooks }: ServiceSource): HooksSpec | undefined {
  const commands = hookNames.flatMap((name) => {
    const written = hooks?.[name];
    return written === undefined ? [] : [[name, commandOf(draft, { run: written }, `/hooks/${name}`)] as const];
  });
  return commands.length === 0 ? undefined : { ...Object.fromEntries(commands), timeoutMs: durationOr(hooks?.timeout, 30_000) };
}

/** Octal digits, as a text or as YAML's number, to the mask they mean. */
function maskOf(draft: ServiceDraft, umask: string | number): number {
  if (!/^[0-7]{1,4}$/.test(String(umask)))
    draft.tell('/umask', 'config/wrong-form', `${umask} is not octal`, 'Write octal digits in quotes, such as "022".');
  return Number.parseInt(String(umask), 8) || 0;
}

/** What it may use and how it is served; the fields that nothing is said about are not there. */
function limitsOf(draft: ServiceDraft, { limits = {}, nice, ioClass, ioPriority, oomScore }: ServiceSource): Partial<InstanceSpec> {
  const { memory, memoryHigh, cpu, tasks, ...each } = limits;
  const ofTree: LimitsSpec = {
    ...(memory !== undefined && { memory: sizeOr(memory, 0) }),
    ...(memoryHigh !== undefined && { memoryHigh: sizeOr(memoryHigh, 0) }),
    ...(cpu !== undefined && { cpu }),
    ...(tasks !== undefined && { tasks }),
  };
  if ((ofTree.memoryHigh ?? 0) > (ofTree.memory ?? Number.POSITIVE_INFINITY))
    draft.tell(
      '/limits/memoryHigh',
      'config/out-of-range',
      'it is larger than memory',
      'Give the size from which it is slowed down: a smaller one.',
    );
  const ofProcess = Object.fromEntries(
    Object.entries(each).map(([name, value]) => [name, typeof value === 'string' && value !== 'unlimited' ? sizeOr(value, 0) : value]),
  );
  return {
    ...(Object.keys(ofTree).length > 0 && { limits: ofTree }),
    ...(Object.keys(ofProcess).length > 0 && { processLimits: ofProcess as ProcessLimitsSpec }),
    ...(nice !== undefined && { nice }),
    ...ioOf(ioClass, ioPriority),
    ...(oomScore !== undefined && { oomScore }),
  };
}

function ioOf(given: IoSpec['class'] | undefined, priority: number | undefined): { io?: IoSpec } {
  if (given === undefined && priority === undefined) return {};
  return { io: given === 'idle' ? { class: 'idle' } : { class: given ?? 'best-effort', priority: priority ?? 4 } };
}

function hooksAndReload(draft: ServiceDraft, source: ServiceSource): Pick<InstanceSpec, 'hooks' | 'reloadSignal' | 'rolls'> {
  const hooks = hooksOf(draft, source);
  const { reload, update } = source;
  return {
    ...(hooks && { hooks }),
    ...(reload !== undefined && reload !== 'rolling' && { reloadSignal: reload }),
    ...(update === 'rolling' && { rolls: true }),
  };
}

/** An only instance needs no number in its name, and keeps that name when others are added by hand. */
function nameOf(draft: ServiceDraft, { instanceName, instances = 1 }: ServiceSource): string {
  const isOnly = instances === 1 && draft.naming.number === draft.firstNumber;
  return draft.text(instanceName ?? (isOnly ? '{{service}}' : '{{service}}_{{instance}}'), '/instanceName');
}

function instanceOf(draft: ServiceDraft, source: ServiceSource): InstanceSpec {
  const { service, group, number } = draft.naming;
  draft.endpoint = endpointOf(draft, source);
  const ready = readyOf(draft, source);
  checkProbe(draft, ready);
  const name = draft.naming.standIn === undefined ? nameOf(draft, source) : `${service}~stand-in`;
  draft.name = name;
  const environment = envOf(draft, source);
  if (/[\s:*,]/.test(name) || name === '')
    draft.tell('/instanceName', 'config/name', `"${name}" cannot be the name of an instance`, 'Leave out blanks and : * , characters.');
  return {
    id: name === group ? name : `${group}:${name}`,
    service,
    group,
    name,
    number,
    priority: source.priority ?? standardPriority,
    autostart: source.autostart ?? true,
    after: source.after ?? [],
    ...(source.critical && { critical: true }),
    command: commandOf(draft, source),
    cwd: source.cwd === undefined ? draft.scope.folder : draft.path(source.cwd, '/cwd'),
    ...environment,
    ...secretFilesOf(draft, source, environment.env),
    ...storedOf(draft),
    inheritEnv: source.inheritEnv ?? false,
    ...(source.user !== undefined && { user: source.user }),
    ...(source.userGroup !== undefined && { userGroup: source.userGroup }),
    ...(source.groups !== undefined && { groups: source.groups }),
    ...(source.umask !== undefined && { umask: maskOf(draft, source.umask) }),
    restart: source.restart ?? 'always',
    expectedExitCodes: source.expectedExitCodes ?? [0],
    ...(ready && { ready }),
    upAfterMs: durationOr(source.upAfter, 1000),
    startRetries: source.startRetries ?? 'forever',
    backoff: backoffOf(source),
    stop: stopOf(draft, source),
    ...hooksAndReload(draft, source),
    stdout: outputOf(draft, source.stdout, '/stdout'),
    stderr: source.stderr === 'stdout' ? 'stdout' : outputOf(draft, source.stderr, '/stderr'),
    ...(draft.endpoint && { endpoint: draft.endpoint }),
    ...limitsOf(draft, source),
  };
}

/** As many as the file says, unless somebody has scaled the service. */
const countOf = (scope: Scope, service: string, { instances = 1 }: ServiceSource): number => scope.counts.get(service) ?? instances;

const startsOnce = { restart: 'never', startRetries: 0, autostart: true } as const;

/**
 * The copy that serves while the instances of a service are replaced: it has the next number, a socket of its own or `port`, and
 * is not started again. Undefined when its program would not learn of that address, which neither its command nor its environment
 * names. What is wrong has been told for the instances.
 */
export function resolveStandIn(scope: Scope, service: string, written: ServiceSource, port: number): InstanceSpec | undefined {
  const source = { ...scope.defaults, ...written };
  const count = countOf(scope, service, source);
  const first = source.firstInstance ?? 1;
  const naming = { service, group: source.group ?? service, number: first + count, count, standIn: { port } };
  const draft = new ServiceDraft(scope, `/services${pointerStep(service)}`, naming);
  draft.firstNumber = first;
  const spec = { ...instanceOf(draft, source), ...startsOnce, temporary: 'stand-in' as const };
  const { endpoint, command, env } = spec;
  const address = endpoint?.shared !== undefined ? '' : endpoint?.kind === 'unix' ? endpoint.path : String(endpoint?.port ?? '');
  return [...command, ...Object.values(env)].some((text) => text.includes(address)) ? spec : undefined;
}

/** All instances of a service; what is wrong is told to the scope. */
export function resolveService(scope: Scope, service: string, written: ServiceSource): InstanceSpec[] {
  const source = { ...scope.defaults, ...written };
  const pointer = `/services${pointerStep(service)}`;
  if (/[\s:*,]/.test(service) || service === '')
    scope.tell(`${pointer}#key`, 'config/name', `"${service}" cannot be the name of a service`, 'Leave out blanks and : * , characters.');
  if (service === 'gateway' || source.group === 'gateway')
    scope.tell(`${pointer}#key`, 'config/name', '"gateway" is the name of Steward\'s own gateway', 'Call it otherwise.');
  const count = countOf(scope, service, source);
  const first = source.firstInstance ?? 1;
  const instances = Array.from({ length: count }, (_, index) => {
    const draft = new ServiceDraft(scope, pointer, { service, group: source.group ?? service, number: first + index, count });
    draft.firstNumber = first;
    return instanceOf(draft, source);
  });
  const addresses = new Set(instances.map(({ endpoint }) => JSON.stringify(endpoint)));
  if (source.listen !== undefined && addresses.size > 1)
    scope.tell(
      `${pointer}/socket`,
      'config/shared-socket',
      `services.${service}.socket: with listen: shared it must be the same for all instances`,
      'Leave {{instance}} out of the path.',
    );
  return instances;
}
