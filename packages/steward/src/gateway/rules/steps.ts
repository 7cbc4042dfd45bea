/**
 * Steps of a site or a route, as nginx's rewrite module takes them (https://nginx.org/en/docs/http/ngx_http_rewrite_module.html):
 *
 *   request ── steps of the site ──► route ── its steps ──┬─ go-on ──► limits, access, action
 *                                      ▲                  ├─ answer
 *                                      └── search-again ──┘   (at most 10 times, then 500)
 */
import type { AnswerSpec, StepSpec } from '../../config/model.ts';
import type { Problem } from '../../config/problem.ts';
import type { GatewayErrorCode } from '../errors.ts';
import type { StepEntry } from '../table.ts';
import { encodePath, type RequestPath, toBytes } from '../target.ts';
import { type Condition, compileCondition } from './conditions.ts';
import {
  compilePattern,
  compileTemplate,
  expand,
  matchPattern,
  type Pattern,
  patternProblem,
  type Scope,
  type Template,
  type VariableSource,
  variablesOf,
} from './variables.ts';

/** A request whose path and query steps may change. */
export interface Rewritable extends VariableSource {
  path: RequestPath;
  args: string;
  /** The path is no longer what the client sent: it goes upstream as `path.raw` all the same, which then is made of `path.text`. */
  rewritten: boolean;
  /** A `break` has stayed in its route with a path of its own: what the route's prefix would be replaced in is gone. */
  prefixGone: boolean;
  /** Searches for a route after the first: by steps, and by whoever sends a request elsewhere within. */
  searches: number;
}

/** Searches after the first; one more is 500 (nginx's NGX_HTTP_MAX_URI_CHANGES). */
export const mostSearches = 10;

/** An answer as configured, its texts compiled. */
export interface CompiledAnswer {
  readonly status: number;
  readonly to: Template | undefined;
  readonly body: Template | undefined;
}

/**
 * An answer for one request. With `to` it is a redirect: an address, or a path of this site. Without `to` and `body` the error
 * pages apply. Status 444 closes the connection.
 */
export interface ReadyAnswer {
  readonly status: number;
  readonly to: string | undefined;
  readonly body: string | undefined;
}

/** What comes after the steps. `route`: what an `if` put in place of the route around it; it holds for answers too (headers, log). */
export type StepsOutcome<R> =
  | { readonly kind: 'go-on'; readonly route: R | undefined }
  | { readonly kind: 'search-again' }
  | { readonly kind: 'answer'; readonly route: R | undefined; readonly answer: ReadyAnswer };

interface CompiledRewrite {
  readonly kind: 'rewrite';
  readonly pattern: Pattern;
  /** Of a redirect the whole address. */
  readonly path: Template;
  readonly args: Template | undefined;
  /** The query there was follows. */
  readonly keepArgs: boolean;
  readonly flag: 'next' | 'last' | 'break';
  /** 0: no redirect. */
  readonly redirect: 0 | 301 | 302;
}

/** `R` is a compiled route (match.ts). */
export type CompiledStep<R> =
  | { readonly kind: 'set' /** Undefined: the query itself. */; readonly slot: number | undefined; readonly value: Template }
  | CompiledRewrite
  | { readonly kind: 'return'; readonly answer: CompiledAnswer }
  | { readonly kind: 'break' }
  | { readonly kind: 'if'; readonly test: Condition; readonly steps: readonly CompiledStep<R>[]; readonly route: R | undefined };

/** Compiles the route of an `if`. */
export type RouteCompiler<R> = (route: NonNullable<Extract<StepEntry, { kind: 'if' }>['route']>) => R;

/** The steps ready to be taken. One whose regular expression cannot be used is told and left out. */
export function compileSteps<R>(
  steps: readonly StepEntry[],
  scope: Scope,
  problems: Problem<GatewayErrorCode>[],
  compileRoute: RouteCompiler<R>,
): readonly CompiledStep<R>[] {
  return steps.flatMap((step): CompiledStep<R>[] => {
    if (step.kind === 'break') return [step];
    if (step.kind === 'return') return [{ kind: 'return', answer: compileAnswer(step.answer, scope) }];
    if (step.kind === 'set') {
      const slot = scope.slots.get(step.variable.toLowerCase());
      return [{ kind: 'set', slot, value: compileTemplate(step.value, scope) }];
    }
    if (step.kind === 'if') {
      const test = compileCondition(step.test, scope, problems);
      const route = step.route === undefined ? undefined : compileRoute(step.route);
      return [{ kind: 'if', test, steps: compileSteps(step.steps, scope, problems, compileRoute), route }];
    }
    const pattern = compilePattern(step.pattern, scope);
    if (typeof pattern !== 'string') return [compileRewrite(step, pattern, scope)];
    problems.push(patternProblem(step.pattern.pattern, pattern));
    return [];
  });
}

export const compileAnswer = ({ status, to, body }: AnswerSpec, scope: Scope): CompiledAnswer => ({
  status,
  to: to === undefined ? undefined : compileTemplate(to, scope, 'url'),
  body: body === undefined ? undefined : compileTemplate(body, scope),
});

export const expandAnswer = ({ status, to, body }: CompiledAnswer, source: VariableSource): ReadyAnswer => ({
  status,
  to: to === undefined ? undefined : expand(to, source),
  body: body === undefined ? undefined : expand(body, source),
});

function compileRewrite(step: Extract<StepSpec, { kind: 'rewrite' }>, pattern: Pattern, scope: Scope): CompiledRewrite {
  const keepArgs = !step.to.endsWith('?');
  const to = keepArgs ? step.to : step.to.slice(0, -1);
  const outside = /^(?:https?:\/\/|\$scheme)/.test(to);
  const redirect = step.flag === 'permanent' ? 301 : step.flag === 'redirect' || outside ? 302 : 0;
  const flag = step.flag === 'permanent' || step.flag === 'redirect' ? 'last' : step.flag;
  const common = { kind: 'rewrite', pattern, keepArgs, flag, redirect } as const;
  if (redirect !== 0) {
    return { ...common, path: compileTemplate(to, scope, 'url', escapedGroup), args: to.includes('?') ? [] : undefined };
  }
  const mark = to.indexOf('?');
  if (mark < 0) return { ...common, path: compileTemplate(to, scope), args: undefined };
  const args = compileTemplate(to.slice(mark + 1), scope, 'plain', escapedGroup);
  return { ...common, path: compileTemplate(to.slice(0, mark), scope), args };
}

const unsafeAlways = /[\0-\x20\x7f-\u{10ffff}]+/gu;
const unsafeInArgs = /[\0-\x20#%&+?\x7f-\u{10ffff}]+/gu;
const encode = (text: string): string => encodeURIComponent(text.toWellFormed());

/** A group that goes into a query: escaped as it was when the client sent the path with escapes, else as it stands (as nginx does). */
function escapedGroup(n: number): (source: VariableSource) => string {
  return (source) => {
    const text = source.vars?.groups?.[n] ?? '';
    const mark = source.requestUri.indexOf('?');
    const sentPath = mark < 0 ? source.requestUri : source.requestUri.slice(0, mark);
    return text.replace(/[%+]/.test(sentPath) ? unsafeInArgs : unsafeAlways, encode);
  };
}

/** What escaping did too much in the path of a redirect: only bytes that a URL cannot hold stay escaped, and a `?` of the path. */
function unescapeRedirect(address: string): string {
  const mark = address.indexOf('?');
  const path = mark < 0 ? address : address.slice(0, mark);
  const plain = path.replace(/%(2[6-9a-f]|[3-6][0-9a-f]|7[0-9a-e])/gi, (form, hex) =>
    hex.toLowerCase() === '3f' ? form : String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return plain + address.slice(path.length);
}

const urlChars = /^[\w\-.~!$&'()*+,;=:@/]*$/;

/**
 * The forms of a path made within (by a rewrite, an error page) from its decoded text. `before` tells how the request's own
 * path was read: one that is not UTF-8 has a character for each byte, and so has what is made of it.
 */
export function pathFromText(text: string, before: RequestPath): RequestPath {
  if (urlChars.test(text)) return { raw: text, bytes: text, text };
  const byBytes = before.text === before.bytes && /[\x80-\xff]/.test(before.text) && /^[\0-\xff]*$/.test(text);
  const bytes = byBytes ? text : toBytes(text);
  return { raw: encodePath(bytes), bytes, text };
}

class Run<R> {
  readonly request: Rewritable;
  route: R | undefined;
  changed = false;
  answer: ReadyAnswer | undefined;

  constructor(request: Rewritable) {
    this.request = request;
  }

  /** Takes the steps in turn; false when one of them was the last. */
  take(steps: readonly CompiledStep<R>[], nested: boolean): boolean {
    for (const step of steps) if (!this.#one(step, nested)) return false;
    return true;
  }

  #one(step: CompiledStep<R>, nested: boolean): boolean {
    const { request } = this;
    if (step.kind === 'set') {
      const value = expand(step.value, request);
      if (step.slot === undefined) {
        request.args = value;
        // The request is no longer the one sent: its path goes on in its normal form.
        request.path = pathFromText(request.path.text, request.path);
      } else variablesOf(request).values[step.slot] = value;
      return true;
    }
    if (step.kind === 'rewrite') return this.#rewrite(step);
    if (step.kind === 'if') {
      if (!step.test(request)) return true;
      // The last `if` that holds says what answers: one without a route of its own leads back to the route around it.
      if (step.route !== undefined || !nested) this.route = step.route;
      return this.take(step.steps, true);
    }
    if (step.kind === 'return') this.answer = expandAnswer(step.answer, request);
    else this.changed = false;
    return false;
  }

  #rewrite(step: CompiledRewrite): boolean {
    const { request } = this;
    if (!matchPattern(step.pattern, request.path.text, request)) {
      if (request.vars !== undefined) request.vars.groups = undefined;
      return true;
    }
    const text = expand(step.path, request);
    if (step.redirect !== 0) {
      const kept = step.keepArgs && request.args !== '' ? (step.args === undefined ? '?' : '&') + request.args : '';
      this.answer = { status: step.redirect, to: unescapeRedirect(text) + kept, body: undefined };
      return false;
    }
    if (step.args !== undefined) {
      const kept = step.keepArgs && request.args !== '' ? `&${request.args}` : '';
      request.args = expand(step.args, request) + kept;
    } else if (!step.keepArgs) request.args = '';
    if (text === '') {
      this.answer = { status: 500, to: undefined, body: undefined };
      return false;
    }
    const stays = step.flag === 'break';
    if (stays) request.prefixGone = true;
    request.path = pathFromText(stays && !text.startsWith('/') ? `/${text}` : text, request.path);
    request.rewritten = true;
    this.changed = !stays;
    return step.flag === 'next';
  }
}

const goOn: StepsOutcome<never> = { kind: 'go-on', route: undefined };
const searchAgain: StepsOutcome<never> = { kind: 'search-again' };
const cycle: StepsOutcome<never> = { kind: 'answer', route: undefined, answer: { status: 500, to: undefined, body: undefined } };

/**
 * Takes the steps: path, query and variables of `request` are changed in place. `of` a site they never ask for another search,
 * since the first is still to come. The eleventh search is answered with 500.
 */
export function runSteps<R>(steps: readonly CompiledStep<R>[], request: Rewritable, of: 'site' | 'route' = 'route'): StepsOutcome<R> {
  if (steps.length === 0) return goOn;
  const run = new Run<R>(request);
  run.take(steps, false);
  const { route, answer } = run;
  if (answer !== undefined) return { kind: 'answer', route, answer };
  if (!run.changed || of === 'site') return route === undefined ? goOn : { kind: 'go-on', route };
  return ++request.searches > mostSearches ? cycle : searchAgain;
}
