/** What is sent instead of an error (nginx's error_page), and which answers get the headers that are for good ones. Pure. */
import type { ErrorPageSpec } from '../../config/model.ts';
import { compileTemplate, expand, type Scope, type Template, type VariableSource } from './variables.ts';

export interface CompiledErrorPage {
  readonly to: Template;
  readonly status: ErrorPageSpec['status'];
}

/** By status. */
export type ErrorPages = ReadonlyMap<number, CompiledErrorPage>;

/**
 * What an error leads to. `status` is what the client gets: undefined for that of whatever answers there. `path` is asked
 * with GET (HEAD stays HEAD); `named` with the method of the request.
 */
export type ErrorTarget =
  | { readonly kind: 'path'; readonly path: string; readonly args: string; readonly status: number | undefined }
  | { readonly kind: 'named'; readonly name: string; readonly status: number | undefined }
  | { readonly kind: 'redirect'; readonly to: string; readonly status: number };

/** The pages by status, undefined when there are none. The first that names a status has it. */
export function compileErrorPages(pages: readonly ErrorPageSpec[], scope: Scope): ErrorPages | undefined {
  if (pages.length === 0) return undefined;
  const found = new Map<number, CompiledErrorPage>();
  for (const { statuses, to, status } of pages) {
    const page = { to: compileTemplate(to, scope, /^[/@]/.test(to) ? 'plain' : 'url'), status };
    for (const one of statuses) if (!found.has(one)) found.set(one, page);
  }
  return found;
}

/** The page for an error of a route, or undefined: then the gateway's own. */
export const errorPageFor = (route: { readonly errorPages: ErrorPages | undefined }, status: number): CompiledErrorPage | undefined =>
  route.errorPages?.get(status);

const redirects = new Set([301, 302, 303, 307, 308]);

/** Where `page` leads for this request, whose answer was to be `status`. */
export function errorTarget(page: CompiledErrorPage, status: number, source: VariableSource): ErrorTarget {
  const to = expand(page.to, source);
  const sent = page.status === 'target' ? undefined : (page.status ?? status);
  if (to.startsWith('@')) return { kind: 'named', name: to.slice(1), status: sent };
  if (!to.startsWith('/')) return { kind: 'redirect', to, status: sent !== undefined && redirects.has(sent) ? sent : 302 };
  const mark = to.indexOf('?');
  if (mark < 0) return { kind: 'path', path: to, args: '', status: sent };
  return { kind: 'path', path: to.slice(0, mark), args: to.slice(mark + 1), status: sent };
}

/**
 * Whether an answer of `status` gets added headers that are not for always, Expires and Cache-Control.
 * https://nginx.org/en/docs/http/ngx_http_headers_module.html#add_header
 */
export function takesHeaders(status: number): boolean {
  switch (status) {
    case 200:
    case 201:
    case 204:
    case 206:
    case 301:
    case 302:
    case 303:
    case 304:
    case 307:
    case 308:
      return true;
    default:
      return false;
  }
}
