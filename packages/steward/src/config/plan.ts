/** What an apply would do, and why: the difference between what runs and what is wanted. Pure. */
import { createHmac } from 'node:crypto';
import type { InstanceSpec } from './model.ts';
import { bootService } from './resolve-boot-step.ts';
import { quoteWord } from './words.ts';

/**
 * - `start`, `stop`: it is new (with the reason, should it not be started), or gone from the files.
 * - `restart`: something changed that a process only takes at its start.
 * - `update`: something changed that takes effect without a restart.
 * - `stay`: nothing changed.
 */
export interface Change {
  readonly kind: 'start' | 'stop' | 'restart' | 'update' | 'stay';
  readonly id: string;
  /** Why, one field a line: `run: "a" → "b"`. Empty for stop and stay. */
  readonly reasons: readonly string[];
}

/** A spec as it is compared and kept on disk: secret values are replaced by a keyed hash, which tells a change and nothing else. */
export type PlainSpec = InstanceSpec;

/** `key` is private to this installation; without it the hashes say nothing about the secrets. A record stays as it is. */
export function withoutSecrets(spec: InstanceSpec, key: string): PlainSpec {
  if (spec.masked) return spec;
  const hidden = (value: string): string => `hidden:${createHmac('sha256', key).update(value).digest('base64url').slice(0, 22)}`;
  const env = Object.fromEntries(
    Object.entries(spec.env).map(([name, value]) => [name, spec.secretEnv.includes(name) ? hidden(value) : value]),
  );
  const secretFiles = spec.secretFiles?.map(({ variable, content }) => ({ variable, content: hidden(content) }));
  return { ...spec, env, ...(secretFiles && { secretFiles }), masked: true };
}

/** The command of a process of which nothing is known but that it is ours. */
export const notOnRecord = '(not on record)';

/** The fields a running process cannot take over. */
const atStart: readonly (keyof InstanceSpec)[] = [
  'command',
  'cwd',
  'env',
  'secrets',
  'secretFiles',
  'inheritEnv',
  'user',
  'userGroup',
  'groups',
  'umask',
  'endpoint',
  'processLimits',
  'nice',
  'io',
  'oomScore',
];

const userWords: Partial<Record<keyof InstanceSpec, string>> = {
  command: 'run',
  startRetries: 'startRetries',
  upAfterMs: 'upAfter',
  processLimits: 'limits',
};

const show = (value: unknown): string => {
  const text =
    value === undefined
      ? 'not set'
      : Array.isArray(value)
        ? value.map((item) => quoteWord(String(item))).join(' ')
        : typeof value === 'object'
          ? JSON.stringify(value)
          : String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
};

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

type Values = Readonly<Record<string, string>>;

/** Which entries differ, by name: a value may be private. */
function namedReasons(prefix: string, before: Values, after: Values): string[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter((name) => before[name] !== after[name]).toSorted();
  return names.map(
    (name) => `${prefix}${name} ${before[name] === undefined ? 'is new' : after[name] === undefined ? 'is gone' : 'changed'}`,
  );
}

/** Stored secrets that it used before and uses now, with another value. */
function changedSecrets({ secrets: before = {} }: InstanceSpec, { secrets: after = {} }: InstanceSpec): string[] {
  return Object.keys(after).filter((name) => before[name] !== undefined && before[name] !== after[name]);
}

/** The variables, without those that differ because a stored secret does. */
function envReasons(before: InstanceSpec, after: InstanceSpec): string[] {
  const isTold = changedSecrets(before, after).length > 0;
  const isOfSecret = (name: string): boolean => isTold && before.secretEnv.includes(name) && after.secretEnv.includes(name);
  const without = ({ env }: InstanceSpec): Values => Object.fromEntries(Object.entries(env).filter(([name]) => !isOfSecret(name)));
  return namedReasons('env.', without(before), without(after));
}

function fileReasons(before: InstanceSpec, after: InstanceSpec): string[] {
  const contents = ({ secretFiles = [] }: InstanceSpec): Values =>
    Object.fromEntries(secretFiles.map(({ variable, content }) => [variable, content]));
  const reasons = namedReasons('secretFiles.', contents(before), contents(after));
  return changedSecrets(before, after).length > 0 ? reasons.filter((reason) => !reason.endsWith(' changed')) : reasons;
}

/** Whether its output goes somewhere else in a way only a new process can follow: from or to no log, merged or apart. */
function rewired(before: InstanceSpec, after: InstanceSpec): boolean {
  const wiring = ({ stdout, stderr }: InstanceSpec): unknown => [
    stdout.file === 'none',
    stderr === 'stdout' ? stderr : stderr.file === 'none',
  ];
  return !same(wiring(before), wiring(after));
}

function reasonsFor(before: InstanceSpec, after: InstanceSpec, fields: readonly (keyof InstanceSpec)[]): string[] {
  return fields.flatMap((field) => {
    if (same(before[field], after[field])) return [];
    if (field === 'env') return envReasons(before, after);
    if (field === 'secrets') return changedSecrets(before, after).map((name) => `secret ${name} changed`);
    if (field === 'secretFiles') return fileReasons(before, after);
    return [`${userWords[field] ?? field}: ${show(before[field])} → ${show(after[field])}`];
  });
}

function compare(before: InstanceSpec, after: InstanceSpec): Change {
  const { id } = after;
  if (after.lacks !== undefined) return { kind: 'stay', id, reasons: [] }; // to stop what cannot be started again helps nobody
  if (before.command[0] === notOnRecord)
    return { kind: 'restart', id, reasons: ['it runs and is on no record: the state file could not be written when it started'] };
  const atStartOfThis = after.ownProgram ? atStart.filter((field) => field !== 'command') : atStart;
  const hard = reasonsFor(before, after, atStartOfThis);
  if (rewired(before, after)) hard.push('its output goes elsewhere');
  const all = [...new Set([...Object.keys(before), ...Object.keys(after)])] as (keyof InstanceSpec)[];
  const soft = reasonsFor(
    before,
    after,
    all.filter((field) => !atStartOfThis.includes(field)),
  );
  if (hard.length > 0) return { kind: 'restart', id, reasons: [...hard, ...soft] };
  return { kind: soft.length > 0 ? 'update' : 'stay', id, reasons: soft };
}

/** Why something new is not started, if it is not. */
function notStarted(spec: PlainSpec, stoppedByHand: ReadonlySet<string>): string[] {
  if (spec.service === bootService) return ['runs as a step of the boot list'];
  if (stoppedByHand.has(spec.id)) return ['not started: it was stopped by hand'];
  return spec.autostart ? [] : ['not started: autostart is false'];
}

/** Both sides without secrets, by id. Changes in the order of `after`, what stops last. */
export function planChanges(
  before: ReadonlyMap<string, PlainSpec>,
  after: ReadonlyMap<string, PlainSpec>,
  stoppedByHand: ReadonlySet<string>,
): Change[] {
  const wanted = [...after].map(([id, spec]): Change => {
    const present = before.get(id);
    return present === undefined ? { kind: 'start', id, reasons: notStarted(spec, stoppedByHand) } : compare(present, spec);
  });
  const gone = [...before.keys()].filter((id) => !after.has(id)).map((id): Change => ({ kind: 'stop', id, reasons: [] }));
  return [...wanted, ...gone];
}
