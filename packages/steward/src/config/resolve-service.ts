/** A service as written → its instances: defaults filled in, templates replaced, units as numbers. Pure. */
import { isIP } from 'node:net';
import { isAbsolute, join, resolve } from 'node:path';
import { addressName } from './address.ts';
import type { ConfigCode } from './codes.ts';
import type {
  BackoffSpec,
  Endpoint,
  HooksSpec,
  InstanceSpec,
  IoSpec,
  LimitsSpec,
  OutputSpec,
  ProcessLimitsSpec,
  ReadySpec,
  SharedSpec,
  StopSpec,
} from './model.ts';
import { hookNames } from './model.ts';
import { type Problem, pointerStep } from './problem.ts';
import type { Scope } from './scope.ts';
import type { ServiceSource } from './sections/service.ts';
import { templateNames } from './sections/templates.ts';
import { baseOf, textOfSecret } from './stored-secret.ts';
import { parseSyslogTarget, type SyslogSpec } from './syslog.ts';
import { type Lookup, render } from './template.ts';
import { parseDuration, parseSize } from './units.ts';
import { splitWords } from './words.ts';

const mb = 1024 * 1024;
const standard = { logBytes: 50 * mb, logKeep: 10, priority: 999, backlog: 4096 } as const;
/** The path of a unix socket must fit into sun_path (unix(7)). */
const longestSocketPath = 107;

const ms = (text: string | number | undefined, byDefault: number): number =>
  text === undefined ? byDefault : (parseDuration(text) ?? byDefault);
const bytes = (text: string | number | undefined, byDefault: number): number =>
  text === undefined ? byDefault : (parseSize(text) ?? byDefault);

interface Naming {
  readonly service: string;
  readonly group: string;
  readonly number: number;
  readonly count: number;
  /** It is the copy that stands in for the others, at a port of its own if it has one. */
  readonly standIn?: { readonly port: number };
}

const knownNames = Object.keys(templateNames);

/** How secrets may stand in a text: not at all, as text, or as bytes that latin1 stands for. */
type SecretForm = 'none' | 'text' | 'bytes';

const asLatin1 = (text: string): string => Buffer.from(text).toString('latin1');

/** One instance being made: its templates, and where to tell what is wrong with them. */
class Draft {
  readonly scope: Scope;
  readonly pointer: string;
  readonly naming: Naming;
  endpoint: Endpoint | undefined;
  readonly secretsUsed = new Set<string>();
  /** Stored ones with their marks. */
  readonly stored = new Map<string, string>();
  /** Why it cannot be started: the first stored secret that cannot be had. */
  lacks: string | undefined;

  constructor(scope: Scope, pointer: string, naming: Naming) {
    this.scope = scope;
    this.pointer = pointer;
    this.naming = naming;
  }

  /** The text of a field with its templates replaced. Problems are told once per service, for its first instance. */
  text(template: string, field: string, secrets: 'none' | 'text' = 'none'): string {
    return this.#render(template, field, this.#lookup(secrets, field));
  }

  /** The same as bytes, so that a secret can be any. */
  bytes(template: string, field: string): Buffer {
    const lookup = this.#lookup('bytes', field);
    const inLatin1: Lookup = (name) => {
      const found = lookup(Buffer.from(name, 'latin1').toString());
      const isPlain = found !== undefined && 'value' in found && !name.startsWith('secret.');
      return isPlain ? { value: asLatin1(String(found.value)) } : found;
    };
    return Buffer.from(this.#render(asLatin1(template), field, inLatin1), 'latin1');
  }

  #render(template: string, field: string, lookup: Lookup): string {
    const { text, mistakes } = render(template, lookup, knownNames);
    for (const { message, hint } of mistakes) this.tell(field, 'config/template', message, hint);
    return text;
  }

  tell(field: string, code: ConfigCode, message: string, hint: string, severity: Problem['severity'] = 'error'): void {
    if (this.naming.number !== this.firstNumber) return;
    this.scope.tell(
      this.pointer + field,
      code,
      `services.${this.naming.service}${field.replace(/#key$/, '').replaceAll('/', '.')}: ${message}`,
      hint,
      severity,
    );
  }

  firstNumber = 0;
  /** Of the instance, once it is known. */
  name = '';

  #lookup(secrets: SecretForm, field: string): Lookup {
    const { service, group, number, count } = this.naming;
    return (name) => {
      if (name === 'instance') return { value: number };
      if (name === 'instances') return { value: count };
      if (name === 'service') return { value: service };
      if (name === 'group') return { value: group };
      if (name === 'host') return { value: this.scope.hostname };
      if (name === 'port' || name === 'socket' || name === 'endpoint') return this.#address(name);
      if (name.startsWith('env.')) return this.#variable(name.slice(4));
      if (name.startsWith('secret.')) return this.#secret(name.slice(7), secrets, field);
      return undefined;
    };
  }

  #address(name: 'port' | 'socket' | 'endpoint'): ReturnType<Lookup> {
    const { endpoint } = this;
    if (name === 'socket')
      return endpoint?.kind === 'unix'
        ? { value: endpoint.path }
        : { missing: '{{socket}} stands for nothing: this service has no socket', hint: 'Add socket: true.' };
    if (name === 'port')
      return endpoint?.kind === 'tcp'
        ? { value: endpoint.port }
        : { missing: '{{port}} stands for nothing: this service has no port', hint: 'Add port: NUMBER.' };
    if (endpoint === undefined)
      return {
        missing: '{{endpoint}} stands for nothing: this service has no port and no socket',
        hint: 'Add port: NUMBER or socket: true.',
      };
    if (endpoint.kind === 'unix') return { value: 'localhost' };
    return { value: addressName(endpoint) };
  }

  #variable(name: string): ReturnType<Lookup> {
    const value = this.scope.env[name];
    return value === undefined
      ? { missing: `${name} is not set in Steward's environment`, hint: `Set it before starting Steward, or write the value here.` }
      : { value };
  }

  #secret(name: string, form: SecretForm, field: string): ReturnType<Lookup> {
    if (form === 'none')
      return {
        missing: `{{secret.${name}}} may stand in env only`,
        hint: 'Everybody on this machine can read command lines: give the program the secret by env.',
      };
    const found = this.scope.secret(name);
    if (found === undefined)
      return {
        missing: `there is no secret "${name}"`,
        hint: `Store it with \`steward secret set ${baseOf(name)}\`, or declare it under secrets: with file: or env:.`,
      };
    this.secretsUsed.add(name);
    if (typeof found === 'string') return this.#unseen(name, field, found);
    if ('declared' in found) return { value: form === 'bytes' ? asLatin1(found.declared) : found.declared };
    const value = 'lacks' in found || form === 'bytes' ? found : textOfSecret(found.bytes);
    if ('lacks' in value) return this.#lacking(name, field, value.lacks);
    this.stored.set(name, 'mark' in found ? found.mark : '');
    return { value: 'text' in value ? value.text : Buffer.from(value.bytes).toString('latin1') };
  }

  #unseen(name: string, field: string, found: 'unseen' | 'assumed'): { value: string } {
    const message = `secret "${name}" is not declared, so it has to be stored; no daemon runs that could say whether it is`;
    if (found === 'unseen') this.tell(field, 'config/secret-unseen', message, '`steward secret list` shows what is stored.', 'note');
    return { value: '' };
  }

  /** It does not keep the other services from being applied. */
  #lacking(name: string, field: string, why: string): { value: string } {
    this.lacks ??= `secret "${name}" cannot be had: ${why}`;
    this.stored.set(name, '');
    const hint = 'The service is not started until it can be; what runs of it is left as it is.';
    this.tell(field, 'config/secret-lacking', `secret "${name}" cannot be had: ${why}`, hint, 'warning');
    return { value: '' };
  }

  path(template: string, field: string): string {
    const text = this.text(template, field);
    return isAbsolute(text) ? text : resolve(this.scope.folder, text);
  }
}

function sharedOf(draft: Draft, { listen, port, socket }: ServiceSource): SharedSpec | undefined {
  if (listen === undefined) return undefined;
  if (port === undefined && !socket)
    draft.tell('/listen', 'config/shared-socket', 'it does not say where to listen', 'Add port: NUMBER or socket: true.');
  const { host, backlog = standard.backlog } = listen === 'shared' ? {} : listen;
  if (host !== undefined && (isIP(host) === 0 || host.includes('%')))
    draft.tell('/listen/host', 'config/address', `"${host}" is no IP address`, 'Write one such as 127.0.0.1, or leave it out for all.');
  if (host !== undefined && port === undefined)
    draft.tell('/listen/host', 'config/shared-socket', 'a unix socket has no host', 'Take it away, or give the service a port.');
  return { ...(host !== undefined && { host }), backlog };
}

/** Where a client on this machine reaches what listens on `host`. */
const hostToAsk = (host: string | undefined): string => (host === undefined || host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host);

function portOf(draft: Draft, first: number, shared: SharedSpec | undefined): Endpoint {
  const { number, count, standIn } = draft.naming;
  if (shared !== undefined) return { kind: 'tcp', host: hostToAsk(shared.host), port: first, shared };
  if (standIn !== undefined) return { kind: 'tcp', host: '127.0.0.1', port: standIn.port };
  const last = first + count - 1;
  if (last > 65535)
    draft.tell('/port', 'config/out-of-range', `the last of ${count} instances would get port ${last}`, 'Begin with a lower port.');
  return { kind: 'tcp', host: '127.0.0.1', port: first + number - draft.firstNumber };
}

function socketOf(draft: Draft, socket: true | string, shared: SharedSpec | undefined): Endpoint {
  const { service, number, standIn } = draft.naming;
  const owned = socket === true;
  const file = shared !== undefined ? 'shared.sock' : standIn === undefined ? `${number}.sock` : 'stand-in.sock';
  const given = owned ? join(draft.scope.socketFolder, service, file) : draft.path(socket, '/socket');
  const path = owned || shared !== undefined || standIn === undefined ? given : `${given}.stand-in`;
  if (Buffer.byteLength(path) > longestSocketPath)
    draft.tell(
      '/socket',
      'config/socket-path',
      `the path ${path} is longer than ${longestSocketPath} bytes`,
      'Linux allows no longer one: use a shorter folder.',
    );
  return { kind: 'unix', path, owned, ...(shared !== undefined && { shared }) };
}

function endpointOf(draft: Draft, source: ServiceSource): Endpoint | undefined {
  if (source.port !== undefined && source.socket)
    draft.tell('/socket', 'config/two-endpoints', 'a service has a port or a socket, not both', 'Take one of them away.');
  const shared = sharedOf(draft, source);
  if (source.port !== undefined) return portOf(draft, source.port, shared);
  return source.socket ? socketOf(draft, source.socket, shared) : undefined;
}

function commandOf(draft: Draft, source: Pick<ServiceSource, 'run' | 'shell'>, field = '/run'): [string, ...string[]] {
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

function envOf(draft: Draft, source: ServiceSource): { env: Record<string, string>; secretEnv: string[] } {
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
  draft: Draft,
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
function storedOf({ stored, lacks }: Draft): Pick<InstanceSpec, 'secrets' | 'lacks'> {
  const names = [...stored].toSorted(([a], [b]) => (a < b ? -1 : 1));
  return { ...(names.length > 0 && { secrets: Object.fromEntries(names) }), ...(lacks !== undefined && { lacks }) };
}

function checkVariable(draft: Draft, field: string, name: string, value: string): void {
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

/** `8080`, `host:8080`, `[::1]:8080`. */
function tcpAddress(draft: Draft, given: string | number): { host: string; port: number } {
  const text = typeof given === 'number' ? String(given) : draft.text(given, '/ready/tcp');
  const [, v6, host, port] = /^(?:(?:\[([^\]]+)\]|([^:]+)):)?(\d+)$/.exec(text) ?? [];
  if (port === undefined || Number(port) < 1 || Number(port) > 65535)
    draft.tell('/ready/tcp', 'config/address', `"${text}" is no port and no host:port`, 'Write 8080, 127.0.0.1:8080 or "{{port}}".');
  return { host: v6 ?? host ?? '127.0.0.1', port: Number(port ?? 1) };
}

function httpProbe(draft: Draft, template: string): { kind: 'http'; url: string; socketPath?: string } {
  const url = draft.text(template, '/ready/http');
  if (!URL.canParse(url) || !/^https?:/.test(url))
    draft.tell('/ready/http', 'config/address', `"${url}" is no http address`, 'Write http://{{endpoint}}/health.');
  const { endpoint } = draft;
  return { kind: 'http', url, ...(endpoint?.kind === 'unix' && template.includes('{{endpoint}}') && { socketPath: endpoint.path }) };
}

function logProbe(draft: Draft, pattern: string): { kind: 'log'; pattern: string } {
  try {
    new RegExp(pattern);
    return { kind: 'log', pattern };
  } catch (error) {
    draft.tell(
      '/ready/log',
      'config/regular-expression',
      `"${pattern}" is no regular expression: ${(error as Error).message.replace(/^.*: /, '')}`,
      'Put a backslash before ( ) [ ] { } . * + ? when they stand for themselves.',
    );
    return { kind: 'log', pattern: '(?!)' };
  }
}

const defaultReadyMs = 60_000;

function readyOf(draft: Draft, source: ServiceSource): ReadySpec | undefined {
  const { ready } = source;
  const { endpoint } = draft;
  const timing = { timeoutMs: ms(ready?.timeout, defaultReadyMs), ...(ready?.every && { everyMs: ms(ready.every, 0) }) };
  const kinds = (['tcp', 'http', 'unix', 'log', 'notify'] as const).filter((kind) => ready?.[kind] !== undefined && ready[kind] !== false);
  if (kinds.length > 1) draft.tell('/ready', 'config/two-probes', `${kinds.join(' and ')} are given together`, 'Keep one of them.');
  if (ready?.tcp !== undefined) return { ...timing, kind: 'tcp', ...tcpAddress(draft, ready.tcp) };
  if (ready?.http !== undefined) return { ...timing, ...httpProbe(draft, ready.http) };
  if (ready?.unix !== undefined) return { ...timing, kind: 'unix', path: draft.path(ready.unix, '/ready/unix') };
  if (ready?.log !== undefined) return { ...timing, ...logProbe(draft, ready.log) };
  if (ready?.notify) return { ...timing, kind: 'notify' };
  // The system accepts for a shared socket, so that a look at it says nothing of one instance.
  const own = endpoint?.shared === undefined ? endpoint : undefined;
  if (own?.kind === 'tcp') return { ...timing, kind: 'tcp', host: own.host, port: own.port };
  if (own?.kind === 'unix') return { ...timing, kind: 'unix', path: own.path };
  if (ready !== undefined) draft.tell('/ready', 'config/no-probe', 'it does not say how', 'Give one of tcp, http, unix, log, notify.');
  return undefined;
}

/** A probe of a shared socket is answered before the program is ready, by the system or by a sibling. */
function checkProbe(draft: Draft, ready: ReadySpec | undefined): void {
  const { endpoint } = draft;
  if (endpoint?.shared === undefined || ready === undefined) return;
  const isTcp = endpoint.kind === 'tcp' && ready.kind === 'tcp' && ready.port === endpoint.port;
  const isUnix = endpoint.kind === 'unix' && ready.kind === 'unix' && ready.path === endpoint.path;
  if (!isTcp && !isUnix) return;
  draft.tell(
    `/ready/${ready.kind}`,
    'config/shared-probe',
    'a shared socket accepts connections at all times, whether this instance is ready or not',
    'Use log or notify, or leave it out: it counts as running once it has stayed up for upAfter.',
    'warning',
  );
}

function backoffOf({ backoff }: ServiceSource): BackoffSpec {
  if (backoff?.kind === 'linear') return { kind: 'linear' };
  return {
    kind: 'exponential',
    firstMs: ms(backoff?.first, 0),
    baseMs: ms(backoff?.base, 200),
    factor: backoff?.factor ?? 2,
    maxMs: ms(backoff?.max, 30_000),
    jitter: backoff?.jitter ?? 0.1,
    resetAfterMs: ms(backoff?.resetAfter, 30_000),
  };
}

function stopOf(draft: Draft, { stop }: ServiceSource): StopSpec {
  const scope = stop?.scope ?? 'group';
  const drainMs = ms(stop?.drain, 10_000);
  const drains = drainMs > 0 && draft.endpoint !== undefined && draft.endpoint.shared === undefined;
  return {
    signal: stop?.signal ?? 'TERM',
    timeoutMs: ms(stop?.timeout, 10_000),
    scope,
    killScope: stop?.killScope ?? scope,
    ...(drains && { drainMs }),
  };
}

function hooksOf(draft: Draft, { hooks }: ServiceSource): HooksSpec | undefined {
  const commands = hookNames.flatMap((name) => {
    const written = hooks?.[name];
    return written === undefined ? [] : [[name, commandOf(draft, { run: written }, `/hooks/${name}`)] as const];
  });
  return commands.length === 0 ? undefined : { ...Object.fromEntries(commands), timeoutMs: ms(hooks?.timeout, 30_000) };
}

/** Steward's own output, under the names it has in containers: there a log is shown by `steward up` and kept as any other. */
const ownOutput = /^\/(dev\/(stdout|stderr|fd\/[12])|proc\/self\/fd\/[12])$/;

function logFileOf(draft: Draft, given: string | undefined, field: string): string | undefined {
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

function outputOf(draft: Draft, given: Exclude<ServiceSource['stdout'], undefined> | undefined, field: string): OutputSpec {
  const { logs } = draft.scope;
  const file = logFileOf(draft, given?.file, field);
  const rotate = given?.rotate ?? logs.rotate;
  const compress = given?.compress ?? logs.compress;
  const syslog = syslogOf(draft, given?.syslog, field);
  if (file === 'none' && syslog !== undefined)
    draft.tell(`${field}/syslog`, 'config/no-log', 'lines are sent to syslog from the log, and it keeps none', 'Take away file: none.');
  return {
    ...(file && { file }),
    maxBytes: bytes(given?.maxSize, bytes(logs.maxSize, standard.logBytes)),
    keep: given?.keep ?? logs.keep ?? standard.logKeep,
    ...(rotate && { rotate }),
    ...(compress && { compress }),
    ...(given?.total !== undefined && { totalBytes: bytes(given.total, 0) }),
    ...(logs.total !== undefined && { pool: { name: `${draft.scope.folder} ${logs.total}`, bytes: bytes(logs.total, 0) } }),
    ...(syslog && { syslog }),
  };
}

type SyslogSource = NonNullable<NonNullable<ServiceSource['stdout']>['syslog']>;

function syslogOf(draft: Draft, given: SyslogSource | undefined, field: string): SyslogSpec | undefined {
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

/** Octal digits, as a text or as YAML's number, to the mask they mean. */
function maskOf(draft: Draft, umask: string | number): number {
  if (!/^[0-7]{1,4}$/.test(String(umask)))
    draft.tell('/umask', 'config/wrong-form', `${umask} is not octal`, 'Write octal digits in quotes, such as "022".');
  return Number.parseInt(String(umask), 8) || 0;
}

/** What it may use and how it is served; the fields that nothing is said about are not there. */
function limitsOf(draft: Draft, { limits = {}, nice, ioClass, ioPriority, oomScore }: ServiceSource): Partial<InstanceSpec> {
  const { memory, memoryHigh, cpu, tasks, ...each } = limits;
  const ofTree: LimitsSpec = {
    ...(memory !== undefined && { memory: bytes(memory, 0) }),
    ...(memoryHigh !== undefined && { memoryHigh: bytes(memoryHigh, 0) }),
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
    Object.entries(each).map(([name, value]) => [name, typeof value === 'string' && value !== 'unlimited' ? bytes(value, 0) : value]),
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

function hooksAndReload(draft: Draft, source: ServiceSource): Pick<InstanceSpec, 'hooks' | 'reloadSignal' | 'rolls'> {
  const hooks = hooksOf(draft, source);
  const { reload, update } = source;
  return {
    ...(hooks && { hooks }),
    ...(reload !== undefined && reload !== 'rolling' && { reloadSignal: reload }),
    ...(update === 'rolling' && { rolls: true }),
  };
}

/** An only instance needs no number in its name, and keeps that name when others are added by hand. */
function nameOf(draft: Draft, { instanceName, instances = 1 }: ServiceSource): string {
  const isOnly = instances === 1 && draft.naming.number === draft.firstNumber;
  return draft.text(instanceName ?? (isOnly ? '{{service}}' : '{{service}}_{{instance}}'), '/instanceName');
}

function instanceOf(draft: Draft, source: ServiceSource): InstanceSpec {
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
    priority: source.priority ?? standard.priority,
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
    upAfterMs: ms(source.upAfter, 1000),
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
  const draft = new Draft(scope, `/services${pointerStep(service)}`, naming);
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
    const draft = new Draft(scope, pointer, { service, group: source.group ?? service, number: first + index, count });
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
