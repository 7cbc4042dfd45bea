/** Tests of `if` made ready for requests (https://nginx.org/en/docs/http/ngx_http_rewrite_module.html#if). */
import { statSync } from 'node:fs';
import type { TestSpec } from '../../config/model.ts';
import type { Problem } from '../../config/problem.ts';
import type { GatewayErrorCode } from '../errors.ts';
import { compilePattern, compileTemplate, expand, matchPattern, patternProblem, type Scope, type VariableSource } from './variables.ts';

/** Whether the test holds. One with a regular expression sets its groups, or clears them when it does not fit. */
export type Condition = (source: VariableSource) => boolean;

/** nginx's truth: neither empty nor "0". */
export const isTrue = (text: string): boolean => text !== '' && text !== '0';

/** The test ready to be asked. A regular expression that cannot be used is told, and holds for nothing, negated or not. */
export function compileCondition(test: TestSpec, scope: Scope, problems: Problem<GatewayErrorCode>[]): Condition {
  if (test.kind === 'truth') {
    const text = compileTemplate(test.text, scope);
    return (source) => isTrue(expand(text, source));
  }
  if (test.kind === 'equals') {
    const left = compileTemplate(test.left, scope);
    const right = compileTemplate(test.right, scope);
    return (source) => (expand(left, source) === expand(right, source)) !== test.not;
  }
  if (test.kind === 'file') {
    const path = compileTemplate(test.path, scope);
    return (source) => isOnDisk(expand(path, source), test.is) !== test.not;
  }
  return matchCondition(test, scope, problems);
}

function matchCondition(test: Extract<TestSpec, { kind: 'matches' }>, scope: Scope, problems: Problem<GatewayErrorCode>[]): Condition {
  const left = compileTemplate(test.left, scope);
  const pattern = compilePattern(test.pattern, scope);
  if (typeof pattern === 'string') {
    problems.push(patternProblem(test.pattern.pattern, pattern));
    return () => false;
  }
  return (source) => {
    const fits = matchPattern(pattern, expand(left, source), source);
    if (!fits && source.vars !== undefined) source.vars.groups = undefined;
    return fits !== test.not;
  };
}

/** As nginx's -f, -d, -e and -x: links are followed, sockets and pipes are nothing, and folders can be executable. */
function isOnDisk(path: string, is: Extract<TestSpec, { kind: 'file' }>['is']): boolean {
  if (path === '' || path.includes('\0')) return false;
  let facts: ReturnType<typeof statSync>;
  try {
    facts = statSync(path, { throwIfNoEntry: false });
  } catch {
    return false;
  }
  if (facts === undefined) return false;
  if (is === 'file') return facts.isFile();
  if (is === 'folder') return facts.isDirectory();
  return (facts.isFile() || facts.isDirectory()) && (is === 'any' || (Number(facts.mode) & 0o100) !== 0);
}
