/** Variables in texts: which ones the gateway knows, and what the others can be replaced by while reading. Pure. */

/** Known in request headers: see `setHeaders` in sections/site.ts. */
export const headerVariables: ReadonlySet<string> = new Set(
  'host http_host remote_addr proxy_add_x_forwarded_for scheme server_port server_name request_uri uri args request_method proxy_host'.split(
    ' ',
  ),
);

/** Known in `redirect`. */
export const redirectVariables: ReadonlySet<string> = new Set(['host', 'request_uri', 'uri', 'args']);

const sameAs: Readonly<Record<string, string>> = { query_string: 'args', document_uri: 'uri' };

export interface Resolved {
  readonly text: string;
  /** Variables that are not known here, with their `$`. */
  readonly unknown: readonly string[];
}

/**
 * `text` with `${name}` as `$name`, synonyms replaced and names in `fixed` by their value. A `${name}` that a letter
 * follows counts as unknown, since the gateway could not tell where it ends.
 */
export function resolveVariables(text: string, known: ReadonlySet<string>, fixed: Readonly<Record<string, string>>): Resolved {
  const unknown: string[] = [];
  const replaced = text.replace(
    /\$(?:\{(\w+)\}(\w?)|(\w+))/g,
    (whole, braced: string | undefined, next: string | undefined, plain: string | undefined) => {
      const name = (braced ?? plain) as string;
      const value = Object.hasOwn(fixed, name) ? fixed[name] : undefined;
      if (value !== undefined) return value + (next ?? '');
      const own = (Object.hasOwn(sameAs, name) ? sameAs[name] : undefined) ?? name;
      const isKnown = known.has(own) || (known === headerVariables && /^http_\w+$/.test(own));
      if (isKnown && !next) return `$${own}`;
      unknown.push(`$${name}`);
      return whole;
    },
  );
  return { text: replaced, unknown };
}

/** Whether a text holds a `$name` or `${name}`. */
export const hasVariable = (text: string): boolean => /\$[\w{]/.test(text);

/** Whether a `${` is never closed by the brace that belongs to it. */
export const hasOpenVariable = (text: string): boolean => /\$\{(?!\w+\})/.test(text);
