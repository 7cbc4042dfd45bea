/** A boot step as written → what is to be done: defaults filled in, templates replaced, units as numbers. Pure. */
import { isAbsolute, resolve } from 'node:path';
import { parseListen } from './address.ts';
import type { ConfigCode } from './codes.ts';
import type { BootAction, BootStepSpec, InstanceSpec, MountSpec, WaitSpec } from './model.ts';
import { didYouMean } from './near.ts';
import { pointerStep } from './problem.ts';
import { resolveService } from './resolve-service.ts';
import type { Scope } from './scope.ts';
import type { BootStepSource } from './sections/boot.ts';
import type { ServiceSource } from './sections/service.ts';
import { type Lookup, render } from './template.ts';
import { durationOr } from './units.ts';

/** The service and group that commands of steps run as. */
export const bootService = 'boot';

/** Without a pause a step that fails at once would keep a processor busy. */
const shortestPauseMs = 10;

const actions = ['run', 'service', 'mount', 'waitFor'] as const;
const waits = ['tcp', 'http', 'unix', 'path', 'mount'] as const;
const ofCommand = ['shell', 'cwd', 'user', 'userGroup', 'groups', 'umask', 'env', 'envFile', 'inheritEnv'] as const;

/** A service of any file, as steps may name it. */
export interface NamedService {
  readonly service: string;
  readonly group: string;
}

/** One step being made: its templates, and where to tell what is wrong. */
class StepDraft {
  readonly scope: Scope;
  readonly name: string;

  constructor(scope: Scope, name: string) {
    this.scope = scope;
    this.name = name;
  }

  tell(field: string, code: ConfigCode, message: string, hint: string): void {
    const words = field.replace(/#key$/, '').replaceAll('/', '.');
    this.scope.tell(`/boot/steps${pointerStep(this.name)}${field}`, code, `boot.steps.${this.name}${words}: ${message}`, hint);
  }

  text(template: string, field: string): string {
    const lookup: Lookup = (name) => {
      if (name === 'host') return { value: this.scope.hostname };
      if (!name.startsWith('env.')) return undefined;
      const value = this.scope.env[name.slice(4)];
      if (value !== undefined) return { value };
      return {
        missing: `${name.slice(4)} is not set in Steward's environment`,
        hint: 'Set it before starting Steward, or write the value here.',
      };
    };
    const { text, mistakes } = render(template, lookup, ['host', 'env.NAME']);
    for (const { message, hint } of mistakes) this.tell(field, 'config/template', message, hint);
    return text;
  }

  path(template: string, field: string): string {
    const text = this.text(template, field);
    return isAbsolute(text) ? text : resolve(this.scope.folder, text);
  }
}

/** What is told of a command as of a service, told of its step. */
function commandScope(scope: Scope, name: string): Scope {
  const own = `/services${pointerStep(name)}`;
  return {
    ...scope,
    defaults: {},
    tell(pointer, code, message, hint, severity) {
      if (pointer === `${own}#key` || pointer === `${own}/instanceName`) return; // names of steps are looked at here
      const words = message.replace(`services.${name}`, `boot.steps.${name}`);
      scope.tell(`/boot/steps${pointerStep(name)}${pointer.slice(own.length)}`, code, words, hint, severity);
    },
  };
}

/** What a command started and left behind is a daemon most likely: it is not ended with it. */
function commandOf(scope: Scope, name: string, source: BootStepSource): InstanceSpec | undefined {
  const written: ServiceSource = {
    ...(Object.fromEntries(ofCommand.flatMap((key) => (source[key] === undefined ? [] : [[key, source[key]]]))) as Partial<ServiceSource>),
    run: source.run ?? [],
    group: bootService,
    autostart: false,
    restart: 'never',
    upAfter: 0,
    startRetries: 0,
    stop: { scope: 'group', killScope: 'process' },
    stderr: 'stdout',
  };
  const [spec] = resolveService(commandScope(scope, name), name, written);
  return spec && { ...spec, id: `${bootService}:${name}`, service: bootService, group: bootService, name };
}

function mountOf(draft: StepDraft, { source, at, type, options }: NonNullable<BootStepSource['mount']>): MountSpec {
  const spec = {
    source: draft.text(source, '/mount/source'),
    at: draft.path(at, '/mount/at'),
    options: (options ?? []).map((option, index) => draft.text(option, `/mount/options/${index}`)),
    ...(type !== undefined && { type: draft.text(type, '/mount/type') }),
  };
  if (spec.source.trim() === '') draft.tell('/mount/source', 'config/wrong-form', 'it is empty', 'Write a device, HOST:/PATH or a folder.');
  return spec;
}

function waitOf(draft: StepDraft, source: NonNullable<BootStepSource['waitFor']>): WaitSpec | undefined {
  const given = waits.filter((kind) => source[kind] !== undefined);
  if (given.length !== 1)
    draft.tell('/waitFor', 'config/one-of', `it says ${given.join(' and ') || 'nothing'}`, `Give exactly one of ${waits.join(', ')}.`);
  if (source.tcp !== undefined) return tcpOf(draft, source.tcp);
  if (source.http !== undefined) return httpOf(draft, source.http);
  if (source.unix !== undefined) return { kind: 'unix', path: draft.path(source.unix, '/waitFor/unix') };
  if (source.path !== undefined) return { kind: 'path', path: draft.path(source.path, '/waitFor/path') };
  return source.mount === undefined ? undefined : { kind: 'mount', path: draft.path(source.mount, '/waitFor/mount') };
}

function tcpOf(draft: StepDraft, given: string | number): WaitSpec {
  const text = typeof given === 'string' ? draft.text(given, '/waitFor/tcp') : given;
  const at = parseListen(text);
  if (at === undefined)
    draft.tell('/waitFor/tcp', 'config/address', `"${text}" is neither a port nor host:port`, 'Write 2049 or 10.0.0.3:2049.');
  return { kind: 'tcp', host: at?.host ?? '127.0.0.1', port: at?.port ?? 0 };
}

function httpOf(draft: StepDraft, template: string): WaitSpec {
  const url = draft.text(template, '/waitFor/http');
  if (!URL.canParse(url) || !/^https?:/.test(url))
    draft.tell('/waitFor/http', 'config/address', `"${url}" is no http address`, 'Write http://10.0.0.3:8080/health.');
  return { kind: 'http', url };
}

/** The services that names of services and groups mean, each once. */
function servicesOf(draft: StepDraft, given: string | readonly string[], known: readonly NamedService[]): string[] {
  const names = [...new Set(known.flatMap(({ service, group }) => [service, group]))].filter((name) => name !== bootService);
  const found = [given].flat().flatMap((name, index) => {
    const meant = known.filter(({ service, group }) => service === name || group === name.replace(/:\*$/, ''));
    if (meant.length === 0)
      draft.tell(
        Array.isArray(given) ? `/service/${index}` : '/service',
        'config/unknown-service',
        `there is no service or group "${name}"`,
        names.length === 0 ? 'These files have no services.' : `Use one of: ${names.join(', ')}.${didYouMean(name, names)}`,
      );
    return meant.map(({ service }) => service);
  });
  return [...new Set(found)];
}

function actionOf(draft: StepDraft, source: BootStepSource, known: readonly NamedService[]): BootAction | undefined {
  const { scope, name } = draft;
  if (source.run !== undefined) {
    const spec = commandOf(scope, name, source);
    return spec && { kind: 'run', spec };
  }
  if (source.service !== undefined) return { kind: 'service', services: servicesOf(draft, source.service, known) };
  if (source.mount !== undefined) return { kind: 'mount', mount: mountOf(draft, source.mount) };
  const wait = source.waitFor && waitOf(draft, source.waitFor);
  return wait && { kind: 'wait', wait };
}

function checkKeys(draft: StepDraft, source: BootStepSource): void {
  const given = actions.filter((kind) => source[kind] !== undefined);
  if (given.length !== 1)
    draft.tell('#key', 'config/one-of', `it says ${given.join(' and ') || 'nothing to do'}`, `Give exactly one of ${actions.join(', ')}.`);
  if (source.run !== undefined) return;
  for (const key of ofCommand.filter((name) => source[name] !== undefined))
    draft.tell(`/${key}`, 'config/step', 'it belongs to a step that runs a command', 'Take it away, or give the step a run.');
}

/** What a step amounts to; undefined when it says nothing that could be done, which has been told then. */
export function resolveBootStep(
  scope: Scope,
  name: string,
  source: BootStepSource,
  known: readonly NamedService[],
): BootStepSpec | undefined {
  const draft = new StepDraft(scope, name);
  if (/[\s:*,]/.test(name) || name === '')
    draft.tell('#key', 'config/name', `"${name}" cannot be the name of a step`, 'Leave out blanks and : * , characters.');
  checkKeys(draft, source);
  const action = actionOf(draft, source, known);
  const background = source.background ?? false;
  return (
    action && {
      name,
      action,
      timeoutMs: durationOr(source.timeout, 60_000),
      retries: source.retry?.times ?? (background ? 'forever' : 0),
      retryEveryMs: Math.max(shortestPauseMs, durationOr(source.retry?.every, 5000)),
      onFailure: source.onFailure ?? 'stop',
      background,
    }
  );
}
