/** Steps of a site or a route: each says exactly one thing. Pure. */
import type { AnswerSpec, RouteSpec, StepSpec, TestSpec } from './model.ts';
import { pointerStep } from './problem.ts';
import { checkVariableName } from './resolve-access.ts';
import { checkAnswer } from './resolve-answer.ts';
import { checkRegex, pathText } from './resolve-text.ts';
import type { Scope } from './scope.ts';
import type { RouteSource, StepSource, TestSource } from './sections/step.ts';

/** Makes what answers instead of the route around a step. */
export type ResolveInner = (pointer: string, route: RouteSource) => RouteSpec | undefined;

const kinds = ['set', 'rewrite', 'return', 'break', 'if'] as const;
type StepKind = (typeof kinds)[number];

/** Keys that belong to one kind of step, or two. */
const belongs: Readonly<Partial<Record<keyof StepSource, readonly StepKind[]>>> = {
  anyCase: ['rewrite'],
  to: ['rewrite', 'return'],
  flag: ['rewrite'],
  body: ['return'],
  steps: ['if'],
  route: ['if'],
};

/** The one kind a step is of; undefined, once told, when it is of none or of several. */
function kindOf(scope: Scope, pointer: string, step: StepSource): StepKind | undefined {
  const given = kinds.filter((kind) => step[kind] !== undefined);
  const [kind] = given;
  if (kind === undefined || given.length > 1) {
    const message = kind === undefined ? 'the step does not say what to do' : `${given.join(' and ')} are given together`;
    scope.tell(pointer, 'config/step', message, `Give exactly one of ${kinds.join(', ')}; steps are taken in turn.`);
    return undefined;
  }
  for (const [key, owners] of Object.entries(belongs)) {
    if (step[key as keyof StepSource] !== undefined && !owners.includes(kind))
      scope.tell(`${pointer}/${key}`, 'config/step', `${key} says nothing beside ${kind}`, `It belongs to ${owners.join(' or ')}.`);
  }
  return kind;
}

function setsOf(scope: Scope, pointer: string, set: Readonly<Record<string, string>>): StepSpec[] {
  return Object.entries(set).map(([name, value]) => {
    const at = pointer + pointerStep(name);
    checkVariableName(scope, `${at}#key`, name);
    return { kind: 'set', variable: name.toLowerCase(), value: scope.text(at, value) };
  });
}

/** nginx answers with a redirect when the new path is an address. */
const isElsewhere = (to: string): boolean => /^(https?:\/\/|\$scheme|\$\{scheme\})/.test(to);

function rewriteOf(scope: Scope, pointer: string, step: StepSource, pattern: string): StepSpec[] {
  const anyCase = step.anyCase ?? false;
  checkRegex(scope, `${pointer}/rewrite`, pattern, anyCase);
  if (step.to === undefined) {
    scope.tell(
      pointer,
      'config/step',
      'rewrite does not say what the path becomes',
      'Add to: /NEW/PATH; groups of the expression are $1 to $9.',
    );
    return [];
  }
  const to = scope.text(`${pointer}/to`, step.to);
  const flag = step.flag ?? 'next';
  return [
    {
      kind: 'rewrite',
      pattern: { kind: 'regex', pattern, anyCase },
      to,
      flag: isElsewhere(to) && flag !== 'permanent' ? 'redirect' : flag,
    },
  ];
}

function returnOf(scope: Scope, pointer: string, status: number, { to, body }: StepSource): StepSpec {
  if (to !== undefined && body !== undefined)
    scope.tell(pointer, 'config/step', 'to and body are given together', 'Write to for a redirect, body for a text.');
  const answer: AnswerSpec = {
    status,
    ...(to !== undefined && { to: scope.text(`${pointer}/to`, to) }),
    ...(body !== undefined && { body: scope.text(`${pointer}/body`, body) }),
  };
  checkAnswer(scope, `${pointer}/return`, answer);
  return { kind: 'return', answer };
}

const comparisons = ['equals', 'notEquals', 'matches', 'matchesAnyCase', 'notMatches', 'notMatchesAnyCase'] as const;

function compareOf(scope: Scope, pointer: string, left: string, name: (typeof comparisons)[number], right: string): TestSpec {
  const at = `${pointer}/${name}`;
  const not = name.startsWith('not');
  if (name === 'equals' || name === 'notEquals') return { kind: 'equals', left, right: scope.text(at, right), not };
  const anyCase = name.endsWith('AnyCase');
  checkRegex(scope, at, right, anyCase);
  return { kind: 'matches', left, pattern: { kind: 'regex', pattern: right, anyCase }, not };
}

/** What an `if` looks at; undefined, once told, when it says nothing or too much. */
function testOf(scope: Scope, pointer: string, test: TestSource): TestSpec | undefined {
  const { value, file } = test;
  const given = comparisons.filter((name) => test[name] !== undefined);
  const isSound = value === undefined ? file !== undefined && given.length === 0 : file === undefined && given.length < 2;
  if (!isSound) {
    scope.tell(
      pointer,
      'config/test',
      'the test does not say one thing',
      `Write value with at most one of ${comparisons.join(', ')}, or file.`,
    );
    return undefined;
  }
  if (value === undefined) {
    const path = pathText(scope, `${pointer}/file`, file ?? '');
    return { kind: 'file', path, is: test.is ?? 'file', not: test.not ?? false };
  }
  for (const key of ['is', 'not'] as const)
    if (test[key] !== undefined) scope.tell(`${pointer}/${key}`, 'config/test', `${key} says nothing beside value`, 'It belongs to file.');
  const left = scope.text(`${pointer}/value`, value);
  const [name] = given;
  return name === undefined ? { kind: 'truth', text: left } : compareOf(scope, pointer, left, name, test[name] ?? '');
}

/** What a route within an `if` cannot say: the route around it has said it. */
const saidAround = ['path', 'steps', 'routes', 'internal'] as const;

function ifOf(scope: Scope, pointer: string, source: StepSource, inner: ResolveInner | undefined): StepSpec[] {
  const test = testOf(scope, `${pointer}/if`, source.if ?? {});
  const steps = resolveSteps(scope, `${pointer}/steps`, source.steps, inner);
  const route = source.route && inner?.(`${pointer}/route`, source.route);
  if (source.route !== undefined && inner === undefined)
    scope.tell(`${pointer}/route`, 'config/step', 'no route is around a step of the site', 'Put the step into a route, or write return.');
  for (const key of saidAround)
    if (source.route?.[key] !== undefined)
      scope.tell(`${pointer}/route/${key}`, 'config/step', `${key} says nothing in the route of an if`, 'The route around it says it.');
  if (source.steps === undefined && source.route === undefined)
    scope.tell(pointer, 'config/step', 'if does not say what to do', 'Add steps, or a route.');
  return test === undefined ? [] : [{ kind: 'if', test, steps, ...(route && { route }) }];
}

function stepOf(scope: Scope, pointer: string, step: StepSource, inner: ResolveInner | undefined): StepSpec[] {
  switch (kindOf(scope, pointer, step)) {
    case 'set':
      return setsOf(scope, `${pointer}/set`, step.set ?? {});
    case 'rewrite':
      return rewriteOf(scope, pointer, step, step.rewrite ?? '');
    case 'return':
      return [returnOf(scope, pointer, step.return ?? 0, step)];
    case 'break':
      return [{ kind: 'break' }];
    case 'if':
      return ifOf(scope, pointer, step, inner);
    case undefined:
      return [];
  }
}

/** `steps` of a site (without `inner`: no route is around them), or of a route. */
export function resolveSteps(
  scope: Scope,
  pointer: string,
  steps: readonly StepSource[] | undefined,
  inner: ResolveInner | undefined,
): StepSpec[] {
  return (steps ?? []).flatMap((step, index) => stepOf(scope, `${pointer}/${index}`, step, inner));
}
