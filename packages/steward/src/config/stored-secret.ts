/** What the configuration may ask of the store of secrets, which lies above it. */

/**
 * A stored secret: its bytes, with a mark that changes when they do and tells nothing else of them; or why they cannot be had
 * now; or where nobody can look: `unseen`, which is told, or `assumed`.
 */
export type StoredSecret = { readonly bytes: Uint8Array; readonly mark: string } | { readonly lacks: string } | 'unseen' | 'assumed';

/** What is stored under a name, or under `NAME.previous`; undefined when there is nothing. */
export type StoredSecrets = (name: string) => StoredSecret | undefined;

/** For who reads files where the store is somebody else's business: any name is fine. */
export const assumedSecrets: StoredSecrets = () => 'assumed';

/** The secret that a name in a template is of: `db` for `db.previous`. */
export const baseOf = (name: string): string => name.replace(/\.previous$/, '');

/** A value as an environment can hold it, or why it cannot. */
export function textOfSecret(bytes: Uint8Array): { readonly text: string } | { readonly lacks: string } {
  if (bytes.includes(0)) return { lacks: 'it holds a NUL, which no environment variable can' };
  try {
    return { text: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes) };
  } catch {
    return { lacks: 'it is not UTF-8, as an environment variable has to be' };
  }
}
