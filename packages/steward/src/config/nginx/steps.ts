/** Instructions of the rewrite module as steps. */
import type { RouteSource } from '../sections/site.ts';
import type { StepSource, TestSource } from '../sections/step.ts';
import type { Level, Scene } from './scene.ts';
import type { Answer, StepLine, TestLine } from './settings.ts';
import { resolveText } from './variables.ts';

/** What answers instead of the location around an `if`, or undefined when its steps are all there is to it. */
export type RouteOfIf = (level: Level) => RouteSource | undefined;

function testOf(test: TestLine, scene: Scene): TestSource {
  const { left, comparison, right, file, at } = test;
  const use = { at, where: 'if', decides: true };
  const text = resolveText(scene, left, use);
  if (file !== undefined) return { file: text, ...(file.is === 'file' ? {} : { is: file.is }), ...(file.not ? { not: true } : {}) };
  if (comparison === undefined || right === undefined) return { value: text };
  const isText = comparison === 'equals' || comparison === 'notEquals';
  return { value: text, [comparison]: isText ? resolveText(scene, right, use) : right };
}

/** A `return` as a step. */
function returnStep({ status, redirect, text }: Answer, at: Level['at'], scene: Scene): StepSource {
  const use = { at, where: 'return' };
  return {
    return: status,
    ...(redirect === undefined ? {} : { to: resolveText(scene, redirect, use) }),
    ...(text === undefined ? {} : { body: resolveText(scene, text, use) }),
  };
}

function stepOf(line: StepLine, scene: Scene, routeOfIf: RouteOfIf): StepSource {
  if (line.kind === 'break') return { break: true };
  if (line.kind === 'return') return returnStep(line.answer, line.at, scene);
  if (line.kind === 'set') {
    const set: Record<string, string> = {};
    const value = resolveText(scene, line.value, { at: line.at, where: 'set' });
    Object.defineProperty(set, line.name, { value, enumerable: true, configurable: true, writable: true });
    return { set };
  }
  if (line.kind === 'rewrite') {
    const to = resolveText(scene, line.to, { at: line.at, where: 'rewrite' });
    return { rewrite: line.pattern, to, ...(line.flag === 'next' ? {} : { flag: line.flag }) };
  }
  const route = routeOfIf(line.level);
  return {
    if: testOf(line.test, scene),
    steps: stepsOf(line.level.settings.steps, scene, routeOfIf),
    ...(route === undefined ? {} : { route }),
  };
}

/** The steps of `lines`, in their order. */
export function stepsOf(lines: readonly StepLine[], scene: Scene, routeOfIf: RouteOfIf): StepSource[] {
  return lines.map((line) => {
    const step = stepOf(line, scene, routeOfIf);
    scene.draft.place(step, undefined, line.at);
    return step;
  });
}

/** Whether an instruction may keep those behind it from running, or change what they lead to. */
function mayLeave(line: StepLine): boolean {
  if (line.kind === 'if') return line.level.settings.isMore === true || line.level.settings.steps.some(mayLeave);
  return line.kind === 'break' || (line.kind === 'rewrite' && line.flag !== 'redirect' && line.flag !== 'permanent');
}

/** The instructions that run before the `return` that answers whatever they leave over; without one all of them. */
export function splitAnswer(lines: readonly StepLine[]): {
  readonly before: readonly StepLine[];
  readonly answer?: Extract<StepLine, { kind: 'return' }>;
} {
  const index = lines.findIndex((line) => line.kind === 'return');
  const found = lines[index];
  const before = index < 0 ? lines : lines.slice(0, index);
  if (found?.kind !== 'return') return { before };
  // What stands behind a return is never reached.
  return before.some(mayLeave) ? { before: [...before, found] } : { before, answer: found };
}

/** Whether one of these always ends in an answer. */
export const endsInAnswer = (lines: readonly StepLine[]): boolean =>
  lines.some(({ kind }) => kind === 'return') && !lines.some(({ kind }) => kind === 'break');
