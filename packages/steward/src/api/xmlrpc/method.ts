/** What a method of the XML-RPC interface is: the right it needs, its parameters, and what it may ask. */
import type { Right } from '@steward/sdk/contract/rights';
import { bootService } from '../../config/resolve-boot-step.ts';
import { gatewayService } from '../../gateway-service.ts';
import { may, whole } from '../../identity/identity.ts';
import type { InstanceView } from '../../supervisor/supervisor.ts';
import { resourceOf } from '../authorize.ts';
import type { Caller, Rooms } from '../handlers.ts';
import { commandFault } from './command.ts';
import { type ProcessInfo, processInfo } from './describe.ts';
import { Fault } from './faults.ts';
import type { Lifetimes } from './lifetimes.ts';
import type { Value } from './xml.ts';

/** The types that system.methodSignature names. */
export type TypeName = 'string' | 'int' | 'boolean' | 'array' | 'struct';

export interface Parameter {
  readonly name: string;
  readonly type: TypeName;
  /** It may be left out. */
  readonly optional?: true;
}

/** One request of a caller: what its methods may ask, and what they have used of it. */
export interface Call {
  readonly caller: Caller;
  /** Aborts when the caller has gone: nobody waits for what he asked any more. */
  readonly signal: AbortSignal;
  readonly rooms: Rooms;
  readonly lifetimes: Lifetimes;
  /** The file of Steward's own log; undefined when it goes elsewhere. */
  mainLog(): string | undefined;
  /** Bytes of logs that may still be read for this request. */
  budget: number;
  readonly begin: Begin;
}

/** Hears of every call that is to change something, before it does: which process or group it names. Then, how it ended. */
export type Begin = (
  caller: Caller,
  method: string,
  names: readonly string[],
) => (result: 'done' | 'refused' | 'failed', reason?: string) => void;

export interface Method {
  /** Asked for the whole before it runs, or with `over: 'processes'` by itself for each process it is about. */
  readonly needs: Right;
  readonly over?: 'processes';
  /** Told to the audit trail. */
  readonly changes?: true;
  readonly parameters: readonly Parameter[];
  readonly returns: TypeName;
  readonly help: string;
  run(given: readonly Value[], call: Call): Value | Promise<Value>;
}

export type Methods = Readonly<Record<string, Method>>;

/** One entry of what a method over several processes gives back. */
export interface Outcome {
  readonly name: string;
  readonly group: string;
  readonly status: number;
  readonly description: string;
  readonly [field: string]: string | number;
}

/** The boundary between this interface's loose types and ours. @throws Fault INCORRECT_PARAMETERS. */
export const textFrom = (value: Value | undefined): string => {
  if (typeof value !== 'string') throw new Fault('INCORRECT_PARAMETERS');
  return value;
};

/** A whole number, or a text of one. @throws Fault INCORRECT_PARAMETERS. */
export const integerFrom = (value: Value | undefined): number => {
  const number = typeof value === 'string' && /^\s*[+-]?\d{1,15}\s*$/.test(value) ? Number(value) : value;
  if (typeof number === 'boolean') return Number(number);
  if (typeof number !== 'number') throw new Fault('INCORRECT_PARAMETERS');
  return Math.trunc(number);
};

/** Anything but nothing is true; left out it is true too. */
export const flagFrom = (value: Value | undefined): boolean => value === undefined || Boolean(value);

/** Whether `caller` has a right over a process. */
export const mayOver = ({ caller }: Call, right: Right, view: InstanceView): boolean => may(caller.subject, right, resourceOf(view.spec));

/** @throws Fault when the caller lacks a right over the whole. */
export function requireWhole({ caller }: Call, right: Right): void {
  if (!may(caller.subject, right, whole)) throw new Fault('FAILED', `you may not do that: it needs the right "${right}"`);
}

/** @throws Fault when the caller lacks a right over one of `views`. */
export function requireOver(call: Call, right: Right, views: readonly InstanceView[]): void {
  const refused = views.find((view) => !mayOver(call, right, view));
  if (refused !== undefined) throw new Fault('FAILED', `you may not do that: it needs the right "${right}" over ${refused.spec.service}`);
}

/** Steward's own parts, copies and commands that run once are no processes of supervisord. */
const isProcess = ({ spec }: InstanceView): boolean =>
  spec.temporary === undefined && spec.service !== gatewayService && spec.service !== bootService;

/** The processes that the caller may see, in the order of their files. */
export const processesOf = (call: Call): InstanceView[] =>
  call.rooms.supervisor.views().filter((view) => isProcess(view) && mayOver(call, 'read', view));

/** By code units, as supervisord sorts. */
export const compareTexts = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

const byPriority = (a: InstanceView, b: InstanceView): number => a.spec.priority - b.spec.priority;

/** The members of a group in the order of their priorities; [] when there is no such group. */
export const groupOf = (call: Call, group: string): InstanceView[] =>
  processesOf(call)
    .filter(({ spec }) => spec.group === group)
    .toSorted(byPriority);

/** All processes: groups by the lowest priority in them and by name, and within a group by priority. */
export function allByPriority(call: Call): InstanceView[] {
  const groups = [...Map.groupBy(processesOf(call), ({ spec }) => spec.group)].toSorted(([a], [b]) => compareTexts(a, b));
  const sorted = groups.map(([, views]) => views.toSorted(byPriority));
  return sorted.toSorted(([a], [b]) => (a && b ? byPriority(a, b) : 0)).flat();
}

export interface Namespec {
  readonly group: string;
  /** Undefined for `group:*` and `group:`: the whole group. */
  readonly process: string | undefined;
}

/** `name`, `group:name`, `group:*`. Pure. */
export function splitName(text: string): Namespec {
  const colon = text.indexOf(':');
  if (colon === -1) return { group: text, process: text };
  const process = text.slice(colon + 1);
  return { group: text.slice(0, colon), process: process === '' || process === '*' ? undefined : process };
}

/** The process of this name, or the group. @throws Fault BAD_NAME. */
export function findProcess(call: Call, name: string): InstanceView | { readonly members: readonly InstanceView[] } {
  const { group, process } = splitName(name);
  const members = groupOf(call, group);
  if (members.length === 0) throw new Fault('BAD_NAME', name);
  if (process === undefined) return { members };
  const found = members.find(({ spec }) => spec.name === process);
  if (found === undefined) throw new Fault('BAD_NAME', name);
  return found;
}

/** The same where a group will not do. @throws Fault BAD_NAME. */
export function oneProcess(call: Call, name: string): InstanceView {
  const found = findProcess(call, name);
  if ('members' in found) throw new Fault('BAD_NAME', name);
  return found;
}

export function describe(view: InstanceView, { lifetimes }: Call): ProcessInfo {
  const isBad = view.state.phase === 'FATAL' || view.state.phase === 'BACKOFF';
  return processInfo(view, {
    nowMs: Date.now(),
    lifetime: lifetimes.of(view.spec.id),
    commandFault: isBad ? commandFault(view.spec)?.message.replace(/^\w+: /, '') : undefined,
  });
}
