/**
 * What a reader of a foreign format writes into while it reads: the problems, and where each value of the answer came
 * from. Places are kept per object, so that sites and routes may move until the answer is complete; only then do they
 * become JSON pointers.
 */
import { type Position, type Problem, pointerStep, type Severity } from './problem.ts';

/** A value and the text it stands in. */
export interface Given<T> {
  readonly value: T;
  readonly at: Position;
}

/** `Code`: the codes its reader declared. */
export interface Draft<Code extends string> {
  readonly problems: readonly Problem<Code>[];
  /** Adds a problem; the same words at the same place are told once. */
  report(severity: Severity, code: Code, message: string, at: Position, hint?: string): void;
  /** A note that is told for the first place only: `topic` is what it is about. */
  noteOnce(topic: string, code: Code, message: string, at: Position, hint?: string): void;
  /** Takes back everything reported since there were `count` problems. */
  forget(count: number): void;
  /** Remembers where `owner[key]` came from; without a key, where `owner` itself stands. */
  place(owner: object, key: string | number | undefined, at: Position): void;
  /** Sets `owner[key]` and remembers where it came from. */
  set<T extends object, K extends keyof T & string>(owner: T, key: K, given: Given<NonNullable<T[K]>> | undefined): void;
  /** All remembered places below `root` by JSON pointer. */
  origins(root: object): ReadonlyMap<string, Position>;
}

type Places = WeakMap<object, Map<string, Position>>;

function collect(places: Places, value: unknown, pointer: string, into: Map<string, Position>): void {
  if (typeof value !== 'object' || value === null) return;
  const known = places.get(value);
  const own = known?.get('');
  if (own !== undefined && !into.has(pointer)) into.set(pointer, own);
  for (const [key, child] of Object.entries(value)) {
    const at = known?.get(pointerStep(key));
    if (at !== undefined) into.set(pointer + pointerStep(key), at);
    collect(places, child, pointer + pointerStep(key), into);
  }
}

/** An empty draft. Nothing in it throws. */
export function createDraft<Code extends string>(): Draft<Code> {
  const problems: Problem<Code>[] = [];
  const told = new Set<string>();
  const places: Places = new WeakMap();
  const keyOf = ({ code, message, at }: Problem): string => `${code} ${at?.file} ${at?.line} ${at?.column} ${message}`;
  const draft: Draft<Code> = {
    problems,
    report(severity, code, message, at, hint) {
      const problem: Problem<Code> = { severity, code, message, ...(hint === undefined ? {} : { hint }), at };
      if (told.has(keyOf(problem))) return;
      told.add(keyOf(problem));
      problems.push(problem);
    },
    noteOnce(topic, code, message, at, hint) {
      if (told.has(topic)) return;
      told.add(topic);
      draft.report('note', code, message, at, hint);
    },
    forget(count) {
      for (const problem of problems.splice(count)) told.delete(keyOf(problem));
    },
    place(owner, key, at) {
      const known = places.get(owner) ?? new Map<string, Position>();
      known.set(key === undefined ? '' : pointerStep(key), at);
      places.set(owner, known);
    },
    set(owner, key, given) {
      if (given === undefined) return;
      owner[key] = given.value;
      draft.place(owner, key, given.at);
    },
    origins(root) {
      const found = new Map<string, Position>();
      collect(places, root, '', found);
      return found;
    },
  };
  return draft;
}
