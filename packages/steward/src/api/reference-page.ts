/** The reference as one page of HTML without scripts: what openApi() says, to read and to search in. Pure. */
interface Shape {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly required?: readonly string[];
  readonly items?: Shape;
  readonly anyOf?: readonly Shape[];
}

interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly required: boolean;
  readonly description?: string;
  readonly schema: Shape;
}

type Content = Readonly<Record<string, { readonly schema: Shape }>>;

interface Described {
  readonly operationId: string;
  readonly summary: string;
  readonly description: string;
  readonly tags: readonly string[];
  readonly parameters: readonly Parameter[];
  readonly requestBody?: { readonly content: Content };
  readonly responses: { readonly 200: { readonly content: Content } };
}

export interface Document {
  readonly info: { readonly title: string; readonly version: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Described>>>>;
}

const escaped = (text: string): string => text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);
const code = (text: string): string => `<code>${escaped(text)}</code>`;
/** Descriptions name fields between backticks. */
const prose = (text: string): string => escaped(text).replace(/`([^`]+)`/g, '<code>$1</code>');

function typeOf(shape: Shape): string {
  if (shape.enum) return shape.enum.map((value) => JSON.stringify(value)).join(' | ');
  if (shape.const !== undefined) return JSON.stringify(shape.const);
  if (shape.anyOf) return shape.anyOf.map(typeOf).join(' | ');
  if (shape.items) return `${typeOf(shape.items)}[]`;
  return [shape.type ?? 'any'].flat().join(' | ');
}

interface Row {
  readonly name: string;
  readonly type: string;
  readonly always: boolean;
  readonly about: string;
}

function rowsOf(shape: Shape, at = ''): Row[] {
  if (shape.items) return rowsOf(shape.items, `${at}[]`);
  return Object.entries(shape.properties ?? {}).flatMap(([key, value]) => {
    const name = at === '' ? key : `${at}.${key}`;
    const row = { name, type: typeOf(value), always: shape.required?.includes(key) === true, about: value.description ?? '' };
    return [row, ...rowsOf(value, name)];
  });
}

function table(title: string, rows: readonly Row[]): string {
  if (rows.length === 0) return '';
  const lines = rows.map(
    ({ name, type, always, about }) =>
      `<tr><td>${code(name)}${always ? '' : ' <i>optional</i>'}</td><td>${escaped(type)}</td><td>${prose(about)}</td></tr>`,
  );
  return `<h4>${title}</h4><table>${lines.join('')}</table>`;
}

const schemaOf = (content: Content | undefined): Shape => Object.values(content ?? {})[0]?.schema ?? {};

function section(
  method: string,
  path: string,
  { operationId, summary, description, parameters, requestBody, responses }: Described,
): string {
  const given = parameters.map(({ name, schema, required, description: about = '', in: where }) => ({
    name,
    type: typeOf(schema),
    always: required,
    about: `${where}: ${about}`,
  }));
  const isStream = 'text/event-stream' in responses[200].content;
  return `<section id="${operationId}"><h3>${operationId}</h3><p><b>${method.toUpperCase()}</b> ${code(path)}</p><p>${prose(summary)}</p><p class="needs">${prose(description)}</p>${table('Parameters', given)}${table('Body', rowsOf(schemaOf(requestBody?.content)))}${table(isStream ? 'Each event' : 'Answer', rowsOf(schemaOf(responses[200].content)))}</section>`;
}

const style = `body{font:15px/1.5 system-ui,sans-serif;margin:0;color:#1d2530;background:#fff}main{max-width:70rem;margin:auto;padding:1rem 2rem}
nav{columns:4 14rem;font-size:14px}nav a{display:block;color:#0b5cad;text-decoration:none}h3{margin:2.5rem 0 .25rem;border-top:1px solid #d5dbe3;padding-top:1rem}
h4{margin:.75rem 0 .25rem}table{border-collapse:collapse;width:100%}td{border:1px solid #d5dbe3;padding:.25rem .5rem;vertical-align:top}td:first-child{width:28%}
code{font:13px ui-monospace,monospace;background:#f2f5f9;padding:0 .2em}.needs{color:#55606e}i{color:#7a8594;font-size:12px}
@media(prefers-color-scheme:dark){body{background:#12161c;color:#dbe2ea}td,h3{border-color:#2b333d}code{background:#1d242d}nav a{color:#7db7f0}.needs,i{color:#93a0af}}`;

/** `document` as openApi() makes it. */
export function referencePage({ info, paths }: Document): string {
  const all = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );
  const links = all.map(({ operation: { operationId } }) => `<a href="#${operationId}">${operationId}</a>`);
  const sections = all.map(({ path, method, operation }) => section(method, path, operation));
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escaped(info.title)} API ${escaped(info.version)}</title><style>${style}</style></head><body><main><h1>${escaped(info.title)} API</h1><p>Version ${escaped(info.version)}. The same for programs: <a href="/openapi.json">openapi.json</a> (OpenAPI 3.1).</p><nav>${links.join('')}</nav>${sections.join('')}</main></body></html>`;
}
