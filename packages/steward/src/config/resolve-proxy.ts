/** Requests that go on to a service or an upstream: to whom, what they look like there, and what is done with the answer. Pure. */
import { resolve } from 'node:path';
import type { CanarySpec, LocationRule, PathMatch, ProxyAction, RegexSpec, RetryCause, RetrySpec, TargetSpec } from './model.ts';
import { didYouMean } from './near.ts';
import { checkHeaderName, resolveSetHeaders } from './resolve-headers.ts';
import { checkRegex } from './resolve-text.ts';
import { checkCookieName, serviceTarget, upstreamTarget } from './resolve-upstream.ts';
import type { Scope } from './scope.ts';
import type { RouteSource } from './sections/step.ts';
import { expressionOf, hasVariable } from './text-variables.ts';
import { durationOr } from './units.ts';

function targetOf(scope: Scope, pointer: string, { service, upstream = '' }: RouteSource): TargetSpec {
  if (service !== undefined) return serviceTarget(scope, `${pointer}/service`, service);
  const at = `${pointer}/upstream`;
  return hasVariable(upstream) ? { kind: 'text', text: scope.text(at, upstream) } : upstreamTarget(scope, at, upstream);
}

function pathOf(scope: Scope, pointer: string, route: RouteSource, match: PathMatch): ProxyAction['path'] {
  const { upstreamPath, upstreamUri } = route;
  if (upstreamPath !== undefined && upstreamUri !== undefined)
    scope.tell(
      `${pointer}/upstreamUri`,
      'config/one-of',
      'upstreamPath and upstreamUri are given together',
      'Write upstreamPath to replace the matched prefix, upstreamUri for all of path and query.',
    );
  if (upstreamUri !== undefined) return { kind: 'whole', to: scope.text(`${pointer}/upstreamUri`, upstreamUri) };
  if (upstreamPath === undefined) return { kind: 'keep' };
  if (match.kind === 'regex' || match.kind === 'named')
    scope.tell(
      `${pointer}/upstreamPath`,
      'config/regex-path',
      `upstreamPath replaces a prefix, and this route ${match.kind === 'regex' ? 'matches a regular expression' : 'has none'}`,
      'Write upstreamUri with $1 of the expression, or give the route a prefix.',
    );
  return { kind: 'replace', to: scope.text(`${pointer}/upstreamPath`, upstreamPath) };
}

function verifyOf(scope: Scope, pointer: string, given: RouteSource['upstreamVerify']): ProxyAction['verify'] {
  if (given === undefined || given === false) return undefined;
  const { ca, name } = given === true ? {} : given;
  return {
    ...(ca !== undefined && { ca: resolve(scope.folder, ca) }),
    ...(name !== undefined && { name: scope.text(`${pointer}/name`, name) }),
  };
}

/** `~regex` or `~*regex` as an expression, any other text as itself. */
function patternOf(scope: Scope, pointer: string, from: string): string | RegexSpec {
  const pattern = expressionOf(from);
  if (pattern === undefined) return from;
  const anyCase = from.startsWith('~*');
  checkRegex(scope, pointer, pattern, anyCase);
  return { kind: 'regex', pattern, anyCase };
}

const locationsOf = (scope: Scope, pointer: string, given: RouteSource['rewriteLocation'] = []): LocationRule[] =>
  given.map(({ from, to }, index) => {
    const at = `${pointer}/${index}`;
    const pattern = patternOf(scope, `${at}/from`, from);
    return { from: typeof pattern === 'string' ? scope.text(`${at}/from`, pattern) : pattern, to: scope.text(`${at}/to`, to) };
  });

const cookiesOf = (scope: Scope, pointer: string, given: RouteSource['rewriteCookies'] = []): ProxyAction['rewriteCookies'] =>
  given.map(({ attribute, from, to }, index) => ({
    attribute,
    from: patternOf(scope, `${pointer}/${index}/from`, from),
    to: scope.text(`${pointer}/${index}/to`, to),
  }));

const causes: readonly RetryCause[] = ['error', 'timeout', 'invalid-header', 'non-idempotent', 500, 502, 503, 504, 403, 404, 429];

function causeOf(scope: Scope, pointer: string, given: string | number): RetryCause[] {
  const cause = causes.find((known) => String(known) === String(given));
  if (cause === undefined)
    scope.tell(
      pointer,
      'config/unknown-value',
      `"${given}" is no reason to ask another server`,
      `Use one of: ${causes.join(', ')}.${didYouMean(String(given), causes.map(String))}`,
    );
  return cause === undefined ? [] : [cause];
}

/** No causes: never. */
function retryOf(scope: Scope, pointer: string, given: RouteSource['retry'] = true): RetrySpec {
  if (given === false) return { on: [], tries: 1, timeoutMs: 0 };
  const { on, tries, timeout } = given === true ? {} : given;
  return {
    on: on?.flatMap((cause, index) => causeOf(scope, `${pointer}/on/${index}`, cause)) ?? ['error', 'timeout'],
    tries: tries ?? 0,
    timeoutMs: durationOr(timeout, 0),
  };
}

function canaryOf(scope: Scope, pointer: string, given: RouteSource['canary']): CanarySpec | undefined {
  if (given === undefined) return undefined;
  const { service, upstream, percent, cookie } = given;
  checkCookieName(scope, `${pointer}/cookie`, cookie);
  if ((service === undefined) === (upstream === undefined)) {
    scope.tell(pointer, 'config/one-of', 'the canary needs exactly one of service and upstream', 'Write service: NAME or upstream: NAME.');
    return undefined;
  }
  const target =
    service === undefined
      ? upstreamTarget(scope, `${pointer}/upstream`, upstream ?? '')
      : serviceTarget(scope, `${pointer}/service`, service);
  return { target, percent, cookie: cookie ?? 'steward_canary' };
}

function methodOf(scope: Scope, pointer: string, method: string): string {
  if (!hasVariable(method) && !/^[A-Z][A-Z-]*$/.test(method))
    scope.tell(pointer, 'config/method', `"${method}" is no method`, 'Write it in capitals, such as GET or POST.');
  return scope.text(pointer, method);
}

/** What a request looks like at the upstream. */
function requestOf(scope: Scope, pointer: string, route: RouteSource) {
  return {
    ...(route.upstreamMethod !== undefined && { method: methodOf(scope, `${pointer}/upstreamMethod`, route.upstreamMethod) }),
    setHeaders: resolveSetHeaders(scope, `${pointer}/setHeaders`, route.setHeaders),
    passHeaders: route.passHeaders ?? true,
    passBody: route.passBody ?? true,
    forwardedHeaders: route.forwardedHeaders ?? 'set',
    requestId: route.requestId ?? true,
    traceparent: route.traceparent ?? false,
    upstreamHost: scope.text(`${pointer}/upstreamHost`, route.upstreamHost ?? 'keep'),
  } satisfies Partial<ProxyAction>;
}

/** What is done with the upstream's answer. */
function answerOf(scope: Scope, pointer: string, route: RouteSource) {
  const { hideHeaders = [] } = route;
  hideHeaders.forEach((name, index) => void checkHeaderName(scope, `${pointer}/hideHeaders/${index}`, name));
  return {
    rewriteLocation: locationsOf(scope, `${pointer}/rewriteLocation`, route.rewriteLocation),
    rewriteCookies: cookiesOf(scope, `${pointer}/rewriteCookies`, route.rewriteCookies),
    hideHeaders: hideHeaders.map((name) => name.toLowerCase()),
    interceptErrors: route.interceptErrors ?? false,
    buffering: route.buffering ?? false,
  } satisfies Partial<ProxyAction>;
}

/** How long a request waits for a server of `target` to come up: Steward itself starts those of a service. */
const holdOf = (hold: RouteSource['hold'], target: TargetSpec): number => durationOr(hold, target.kind === 'service' ? 10_000 : 0);

/** What a route with `service` or `upstream` does. */
export function resolveProxy(scope: Scope, pointer: string, route: RouteSource, match: PathMatch): ProxyAction {
  const target = targetOf(scope, pointer, route);
  const canary = canaryOf(scope, `${pointer}/canary`, route.canary);
  const verify = verifyOf(scope, `${pointer}/upstreamVerify`, route.upstreamVerify);
  return {
    kind: 'proxy',
    target,
    ...(canary && { canary }),
    scheme: route.upstreamScheme ?? 'http',
    ...(verify && { verify }),
    path: pathOf(scope, pointer, route, match),
    ...requestOf(scope, pointer, route),
    ...answerOf(scope, pointer, route),
    connectTimeoutMs: durationOr(route.connectTimeout, 5000),
    readTimeoutMs: durationOr(route.readTimeout, 60_000),
    sendTimeoutMs: durationOr(route.sendTimeout, 60_000),
    retry: retryOf(scope, `${pointer}/retry`, route.retry),
    holdMs: holdOf(route.hold, target),
  };
}
