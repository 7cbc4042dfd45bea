/** Answers that come from the configuration alone: redirects, texts, statuses, and pages in place of errors. Pure. */
import type { AnswerSpec, ErrorPageSpec, RouteAction } from './model.ts';
import { checkPlace } from './resolve-text.ts';
import type { Scope, SiteScope } from './scope.ts';
import type { RouteSource } from './sections/step.ts';

/** Statuses that send a client elsewhere by a Location header. */
const redirects = [301, 302, 303, 307, 308];

/** Tells a status that cannot end an exchange, or does not go with the target. */
export function checkAnswer(scope: Scope, pointer: string, { status, to }: AnswerSpec): void {
  if (status < 200) scope.tell(pointer, 'config/status', `${status} is no status to answer with`, 'Write 200 or more; 444 hangs up.');
  else if (to !== undefined && !redirects.includes(status))
    scope.tell(pointer, 'config/status', `no client follows a redirect with status ${status}`, `Use one of: ${redirects.join(', ')}.`);
}

/** What `redirect`, `respond` or `status` alone answers with; undefined when the route has none of them. */
export function resolveAnswer(scope: Scope, pointer: string, route: RouteSource): RouteAction | undefined {
  const { redirect, respond, status, contentType } = route;
  if (redirect === undefined && respond === undefined && status === undefined) return undefined;
  const answer: AnswerSpec = {
    status: status ?? (redirect === undefined ? 200 : 302),
    ...(redirect !== undefined && { to: scope.text(`${pointer}/redirect`, redirect) }),
    ...(respond !== undefined && { body: scope.text(`${pointer}/respond`, respond) }),
  };
  checkAnswer(scope, `${pointer}/status`, answer);
  return {
    kind: 'answer',
    answer,
    ...(contentType !== undefined && { contentType: scope.text(`${pointer}/contentType`, contentType) }),
  };
}

const address = { fits: /^[a-z][a-z0-9+.-]*:\/\//i, words: 'an address such as https://example.com/' };

/** `errorPages` of a site or a route. */
export function resolveErrorPages(scope: SiteScope, pointer: string, given: NonNullable<RouteSource['errorPages']>): ErrorPageSpec[] {
  return given.map(({ on, to, status }, index) => {
    const at = `${pointer}/${index}/to`;
    checkPlace(scope, at, to, address);
    return { statuses: on, to: scope.text(at, to), ...(status !== undefined && { status }) };
  });
}
