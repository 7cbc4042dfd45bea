/** Headers of an answer on its way out: a flat list of name, value, name, value. Names are asked for in lowercase. */

/** The first value of a name; undefined when there is none. */
export function fieldIn(headers: readonly string[], name: string): string | undefined {
  for (let at = 0; at < headers.length; at += 2) {
    const one = headers[at] ?? '';
    if (one.length === name.length && one.toLowerCase() === name) return headers[at + 1];
  }
  return undefined;
}

/** All values of a name. */
export const fieldsIn = (headers: readonly string[], name: string): string[] =>
  headers.filter((_, at) => at % 2 === 1 && headers[at - 1]?.toLowerCase() === name);

/** Takes the fields of these names out, in place. */
export function dropFields(headers: string[], names: ReadonlySet<string>): void {
  for (let at = headers.length - 2; at >= 0; at -= 2) if (names.has((headers[at] ?? '').toLowerCase())) headers.splice(at, 2);
}
