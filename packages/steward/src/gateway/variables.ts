/** Texts with `$variables` of nginx's names: compiled once for a table, filled in for each request. */

/** Where the values of one request come from. All texts are as sent by the client unless said otherwise. */
export interface VariableSource {
  /** Host name without port, lowercase; the site's name when the client sent none. */
  readonly host: string;
  /** The Host header (or the authority of an absolute request target). */
  readonly httpHost: string;
  readonly remoteAddress: string;
  readonly scheme: string;
  readonly serverPort: number;
  readonly serverName: string;
  readonly method: string;
  /** Path and query, as sent. */
  readonly requestUri: string;
  /** Normalized path, percent-encoded where a URL needs it: a decoded line break never reaches a header. */
  readonly uri: string;
  /** Query without `?`. */
  readonly args: string;
  readonly proxyHost: string;
  /** All values of a request header joined by a comma, or the empty text. `name` is lowercase. */
  header(name: string): string;
}

type Part = string | ((source: VariableSource) => string);

/** A compiled text. */
export type Template = readonly Part[];

const variables: Readonly<Record<string, (source: VariableSource) => string>> = {
  host: (source) => source.host,
  http_host: (source) => source.httpHost,
  remote_addr: (source) => source.remoteAddress,
  proxy_add_x_forwarded_for: forwardedFor,
  scheme: (source) => source.scheme,
  server_port: (source) => String(source.serverPort),
  server_name: (source) => source.serverName,
  request_uri: (source) => source.requestUri,
  uri: (source) => source.uri,
  document_uri: (source) => source.uri,
  args: (source) => source.args,
  query_string: (source) => source.args,
  is_args: (source) => (source.args === '' ? '' : '?'),
  request_method: (source) => source.method,
  proxy_host: (source) => source.proxyHost,
};

/** The client's X-Forwarded-For with the client's own address behind it. */
export function forwardedFor(source: VariableSource): string {
  const sent = source.header('x-forwarded-for');
  return sent === '' ? source.remoteAddress : `${sent}, ${source.remoteAddress}`;
}

function partOf(name: string, text: string): Part {
  const known = Object.hasOwn(variables, name) ? variables[name] : undefined;
  if (known !== undefined) return known;
  if (!name.startsWith('http_')) return text;
  const header = name.slice(5).replaceAll('_', '-');
  return (source) => source.header(header);
}

/** `text` ready to be filled in. A `$name` that is no variable stays as it is; `${name}` is the same as `$name`. */
export function compileTemplate(text: string): Template {
  const parts: Part[] = [];
  let end = 0;
  for (const match of text.matchAll(/\$(?:\{([a-z0-9_]+)\}|([a-z0-9_]+))/gi)) {
    const [whole, braced, plain] = match;
    if (match.index > end) parts.push(text.slice(end, match.index));
    parts.push(partOf((braced ?? plain ?? '').toLowerCase(), whole));
    end = match.index + whole.length;
  }
  if (end < text.length) parts.push(text.slice(end));
  return parts;
}

/** The text of `template` for one request. */
export function expand(template: Template, source: VariableSource): string {
  let text = '';
  for (const part of template) text += typeof part === 'string' ? part : part(source);
  return text;
}
