/**
 * What happens to a request at its route, in nginx's order:
 *
 *   steps of the site ─► route ─► its steps ─┬─ body size ─► rates ─► connections ─► access ─► try ─► action
 *                          ▲                 └─ search again                                   │
 *                          └───────────── error pages, try, X-Accel-Redirect ──────────────────┘
 *
 * Anything that has to wait (a delayed request, a slow password, a request that decides) goes on from where it stood.
 */

import { fieldsIn } from './connection/header-list.ts';
import { type Headers, headerValue, locationValue } from './connection/headers.ts';
import type { Counting } from './counting.ts';
import { encodingFor } from './decorate.ts';
import type { Exchange, ExchangeKeeper } from './exchange.ts';
import { lookFor, serveFile } from './files/files.ts';
import { mediaType } from './files/media-types.ts';
import { type CompiledRoute, type CompiledSite, type CompiledTries, matchRoute } from './match.ts';
import { type AccessOutcome, accessAfterAsking, accessFor, type CompiledAccess, checkAccess, type Refusal } from './rules/access.ts';
import { errorPageFor, errorTarget } from './rules/error-page.ts';
import type { Limits } from './rules/limits.ts';
import { maintenanceAnswer } from './rules/maintenance.ts';
import type { PasswordCheck } from './rules/password-check.ts';
import { expandAnswer, mostSearches, pathFromText, type ReadyAnswer, runSteps } from './rules/steps.ts';
import { expand } from './rules/variables.ts';
import { statusPage } from './status-page.ts';
import { createSubrequest } from './subrequest.ts';
import { destinationOf } from './upstream/destination.ts';
import { type ForwardParts, forward } from './upstream/forward.ts';
import type { Upstreams } from './upstream/upstreams.ts';

export interface WalkParts {
  readonly upstreams: Upstreams;
  readonly limits: Limits;
  readonly passwords: PasswordCheck;
  readonly log: (line: string) => void;
  readonly keeper: ExchangeKeeper;
  readonly counters: () => Counting;
}

export class RouteWalk implements ForwardParts {
  readonly #parts: WalkParts;
  readonly upstreams: Upstreams;
  readonly log: (line: string) => void;

  constructor(parts: WalkParts) {
    this.#parts = parts;
    this.upstreams = parts.upstreams;
    this.log = parts.log;
  }

  /** The request has its site. */
  enter(exchange: Exchange, site: CompiledSite): void {
    const closed = site.maintenance === undefined ? undefined : maintenanceAnswer(site.maintenance, exchange);
    if (closed !== undefined)
      return exchange.respond(503, ['Retry-After', closed.retryAfter, 'Content-Type', closed.contentType], closed.body);
    this.#begin(exchange, site);
  }

  /** The steps of the site, then the search for a route. */
  #begin(exchange: Exchange, site: CompiledSite): void {
    if (site.steps.length > 0) {
      const outcome = runSteps(site.steps, exchange, 'site');
      if (outcome.kind !== 'search-again' && outcome.route !== undefined) exchange.route = outcome.route;
      if (outcome.kind === 'answer') return this.#answer(exchange, outcome.answer, undefined);
    }
    this.search(exchange, site);
  }

  /** Finds the route of the path, as it is now. */
  search(exchange: Exchange, site: CompiledSite): void {
    for (;;) {
      const route = matchRoute(site, exchange.path.text, exchange) ?? site.rest;
      if (this.#take(exchange, route)) return;
    }
  }

  /** Goes on at `route`; false when its steps ask for another search. */
  #take(exchange: Exchange, route: CompiledRoute): boolean {
    exchange.route = route;
    if (route.internal && !exchange.internal && !exchange.rewritten) {
      exchange.respondPage(404);
      return true;
    }
    // What is sent within has been let in with its body.
    if (!exchange.internal && isTooLarge(exchange, route)) {
      exchange.respondPage(413);
      return true;
    }
    if (route.plain) {
      this.#act(exchange, route);
      return true;
    }
    if (route.steps.length > 0) {
      const outcome = runSteps(route.steps, exchange);
      if (outcome.kind === 'search-again') return false;
      const inner = outcome.route ?? route;
      exchange.route = inner;
      if (outcome.kind === 'answer') this.#answer(exchange, outcome.answer, undefined);
      else this.#admit(exchange, inner);
      return true;
    }
    this.#admit(exchange, route);
    return true;
  }

  // ---- may it go on?

  #admit(exchange: Exchange, route: CompiledRoute): void {
    if (exchange.internal && exchange.counted) return this.#guard(exchange, route);
    if (route.rates.length > 0 && !exchange.counted) {
      exchange.counted = true;
      const outcome = this.#parts.limits.rate(route.rates, exchange);
      if (outcome.kind === 'refuse') return exchange.respondPage(outcome.status);
      if (outcome.kind === 'wait') return this.#delay(exchange, route, outcome.ms);
    }
    this.#count(exchange, route);
  }

  #delay(exchange: Exchange, route: CompiledRoute, ms: number): void {
    const timer = setTimeout(() => {
      exchange.onAbandon = undefined;
      this.#guarded(exchange, () => this.#count(exchange, route));
    }, ms);
    exchange.onAbandon = () => clearTimeout(timer);
  }

  #count(exchange: Exchange, route: CompiledRoute): void {
    if (route.connections.length > 0 && exchange.onEnd === undefined) {
      const outcome = this.#parts.limits.connections(route.connections, exchange);
      if (outcome.kind === 'refuse') return exchange.respondPage(outcome.status);
      exchange.onEnd = outcome.leave;
    }
    this.#guard(exchange, route);
  }

  #guard(exchange: Exchange, route: CompiledRoute): void {
    const access = exchange.admitted ? undefined : accessFor(route, exchange.method);
    if (access === undefined) return this.#try(exchange, route);
    const outcome = checkAccess(access, exchange, this.#parts.passwords);
    if (!(outcome instanceof Promise)) return this.#decide(exchange, route, access, outcome);
    outcome.then(
      (late) => this.#guarded(exchange, () => this.#decide(exchange, route, access, late)),
      () => exchange.respondPage(500),
    );
  }

  #decide(exchange: Exchange, route: CompiledRoute, access: CompiledAccess, outcome: AccessOutcome): void {
    if (exchange.closed) return;
    if (outcome.kind === 'refused') return exchange.respondPage(outcome.status, [...outcome.headers]);
    if (outcome.kind === 'allowed') return this.#try(exchange, route);
    this.#ask(exchange, route, access, outcome.uri, outcome.before);
  }

  /** The answer to a request within decides. */
  #ask(exchange: Exchange, route: CompiledRoute, access: CompiledAccess, uri: string, before: Refusal | undefined): void {
    const { site } = exchange;
    if (site === undefined || exchange.depth >= maxDepth) return exchange.respondPage(500);
    const asking = createSubrequest(exchange, this.#parts.keeper, (answer) => {
      exchange.onAbandon = undefined;
      if (exchange.closed) return;
      const challenges = fieldsIn(answer.headers, 'www-authenticate');
      this.#guarded(exchange, () => {
        const { tale } = exchange;
        // $upstream_ variables that are set now mean whoever decided; later ones whoever answers.
        exchange.tale = answer.tale;
        exchange.upstreamHeaders = answer.upstreamHeaders;
        const outcome = accessAfterAsking(access, exchange, before, answer.status, challenges);
        exchange.tale = tale;
        this.#decide(exchange, route, access, outcome);
      });
    });
    exchange.onAbandon = () => asking.breakOff();
    this.#goTo(asking, uri, site);
  }

  /** What goes on later must not bring the worker down either. */
  #guarded(exchange: Exchange, go: () => void): void {
    if (exchange.closed) return;
    try {
      go();
    } catch (error) {
      this.log(`bug: ${error instanceof Error ? (error.stack ?? error.message).replaceAll('\n', ' | ') : String(error)}`);
      if (exchange.begun) exchange.breakOff();
      else exchange.respondPage(500);
    }
  }

  // ---- what answers

  #try(exchange: Exchange, route: CompiledRoute): void {
    if (route.tries === undefined || exchange.tried === route) return this.#act(exchange, route);
    exchange.tried = route;
    if (this.#find(exchange, route, route.tries)) return this.#act(exchange, route);
    const { last } = route.tries;
    if (last.kind === 'status') return exchange.respondPage(last.status);
    if (last.kind === 'path') return this.sendWithin(exchange, expand(last.to, exchange));
    this.#goToNamed(exchange, last.name);
  }

  /** Whether one of the files is there; then it is the request's path. A folder's has the slash that the request has. */
  #find(exchange: Exchange, route: CompiledRoute, { spec, place, paths }: CompiledTries): boolean {
    for (const [index, path] of paths.entries()) {
      const written = expand(path, exchange);
      const asFolder = spec.paths[index]?.endsWith('/') === true;
      const text = asFolder && written !== '/' ? written.slice(0, -1) : written;
      const found = lookFor(place, exchange, route.prefix, text.startsWith('/') ? text : `/${text}`, asFolder);
      if (found !== 'file' && found !== 'folder') continue;
      if (text !== exchange.path.text) {
        exchange.path = pathFromText(text, exchange.path);
        exchange.rewritten = true;
      }
      return true;
    }
    return false;
  }

  #act(exchange: Exchange, route: CompiledRoute): void {
    const { action } = route;
    if (action.kind === 'proxy') {
      const destination = destinationOf(exchange, action, this.upstreams);
      if (destination === undefined) return exchange.respondPage(500);
      forward(exchange, action, destination, route.prefix, route.maxBodyBytes, this);
    } else if (action.kind === 'files') {
      serveFile(exchange, action, route.prefix, {
        reroute: (path) => this.#reroute(exchange, route, path),
        encodes: (headers) => encodingFor(exchange, route, 200, headers) !== undefined,
      });
    } else if (action.kind === 'answer')
      this.#answer(exchange, expandAnswer(action.answer, exchange), action.contentType && expand(action.contentType, exchange));
    else statusPage(exchange, action.form, this.#parts.counters(), this.upstreams.counts());
  }

  /** An index file is another request within: `index.php` may be another route's. */
  #reroute(exchange: Exchange, from: CompiledRoute, path: string): boolean {
    const { site } = exchange;
    if (site === undefined) return false;
    const goesOnHere = site.steps.length === 0 && from.steps.length === 0 && matchRoute(site, path, exchange) === from;
    if (!goesOnHere) {
      this.sendWithin(exchange, path + (exchange.args === '' ? '' : `?${exchange.args}`));
      return true;
    }
    exchange.path = pathFromText(path, exchange.path);
    exchange.rewritten = true;
    return false;
  }

  #answer(exchange: Exchange, { status, to, body }: ReadyAnswer, contentType: string | undefined): void {
    if (status === 444) return exchange.hangUp();
    if (to !== undefined) return exchange.respond(status, ['Location', locationValue(to)]);
    if (body === undefined && status >= 300) return exchange.respondPage(status);
    const typed = exchange.route?.addHeaders.some(({ name }) => name.toLowerCase() === 'content-type') === true;
    const headers = typed || status === 204 ? [] : ['Content-Type', textType(exchange, contentType)];
    exchange.respond(status, headers, body ?? '');
  }

  // ---- sending within

  /** Sends the request to another path of its site: `/path?query`, or `@name`. */
  sendWithin(exchange: Exchange, to: string): void {
    const { site } = exchange;
    if (site === undefined || ++exchange.searches > mostSearches) return exchange.respondPage(500);
    exchange.internal = true;
    if (to.startsWith('@')) return this.#goToNamed(exchange, to.slice(1));
    this.#goTo(exchange, to, site);
  }

  #goTo(exchange: Exchange, to: string, site: CompiledSite): void {
    const mark = to.indexOf('?');
    exchange.path = pathFromText(mark < 0 ? to : to.slice(0, mark), exchange.path);
    exchange.args = mark < 0 ? '' : to.slice(mark + 1);
    exchange.rewritten = true;
    exchange.prefixGone = false;
    exchange.tried = undefined;
    this.#begin(exchange, site);
  }

  #goToNamed(exchange: Exchange, name: string): void {
    const route = exchange.site?.named.get(name);
    if (route === undefined || ++exchange.searches > mostSearches) return exchange.respondPage(500);
    exchange.internal = true;
    exchange.tried = undefined;
    if (!this.#take(exchange, route) && exchange.site !== undefined) this.search(exchange, exchange.site);
  }

  /** Whether an error page of the route answers instead of `status`. */
  sendErrorPage(exchange: Exchange, status: number, headers: readonly string[]): boolean {
    const route = exchange.route ?? exchange.site?.rest;
    const page = route === undefined || exchange.begun || exchange.errorPaged ? undefined : errorPageFor(route, status);
    if (page === undefined) {
      exchange.statusInstead = undefined;
      return false;
    }
    const target = errorTarget(page, status, exchange);
    if (target.kind === 'named' && exchange.bodyGone && exchange.site?.named.get(target.name)?.action.kind === 'proxy') return false;
    exchange.beginErrorPage(status, headers);
    if (target.kind === 'redirect') {
      exchange.respond(target.status, ['Location', locationValue(target.to)]);
      return true;
    }
    exchange.statusInstead = target.status;
    if (target.kind === 'named') this.sendWithin(exchange, `@${target.name}`);
    else {
      exchange.becomeGet();
      this.sendWithin(exchange, target.path + (target.args === '' ? '' : `?${target.args}`));
    }
    return true;
  }

  // ---- ForwardParts: what an upstream's answer may lead to

  intercept(exchange: Exchange, status: number, headers: Headers): boolean {
    const challenge = status === 401 ? headers.all('www-authenticate').flatMap((value) => ['WWW-Authenticate', value]) : [];
    if (!exchange.errorPaged) return this.sendErrorPage(exchange, status, challenge);
    // The page itself has come from an upstream that failed: it must not stand for the first error either.
    const route = exchange.route ?? exchange.site?.rest;
    if (route === undefined || errorPageFor(route, status) === undefined) return false;
    exchange.respondPage(status, challenge);
    return true;
  }
}

/** Requests within requests: one that decides may itself be decided by another, but not for ever. */
const maxDepth = 5;

/** The media type of a text: `given`, or what the route says for the path. */
function textType({ route, site, path }: Exchange, given: string | undefined): string {
  if (given !== undefined && given !== '') return headerValue(given);
  const { answerTypes, charset = 'utf-8' } = (route ?? site?.rest)?.entry ?? {};
  if (answerTypes !== undefined) return mediaType(path.text, answerTypes);
  return charset === false ? 'text/plain' : `text/plain; charset=${charset}`;
}

const isTooLarge = (exchange: Exchange, { maxBodyBytes }: CompiledRoute): boolean =>
  maxBodyBytes > 0 && exchange.request.bodyLength > maxBodyBytes;
