/** A command line split into words as a POSIX shell would, without a shell: quotes and backslash, no expansion. Pure. */

export type Words = { readonly words: string[] } | { readonly mistake: string; readonly offset: number };

/** `offset` of a mistake is where the open quote or the last backslash stands, 0-based. */
export function splitWords(line: string): Words {
  const words: string[] = [];
  let word: string | undefined;
  for (let at = 0; at < line.length; at++) {
    const char = line[at] as string;
    if (/\s/.test(char)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (char === '\\') {
      if (at + 1 === line.length) return { mistake: 'ends with a backslash', offset: at };
      word = (word ?? '') + line[++at];
    } else if (char === "'" || char === '"') {
      const quoted = readQuoted(line, at, char);
      if (quoted === undefined) return { mistake: `has an open ${char === "'" ? 'single' : 'double'} quote`, offset: at };
      word = (word ?? '') + quoted.text;
      at = quoted.end;
    } else word = (word ?? '') + char;
  }
  if (word !== undefined) words.push(word);
  return { words };
}

/** The text between the quote at `start` and its end; a backslash escapes inside double quotes only, and only " and \. */
function readQuoted(line: string, start: number, quote: string): { text: string; end: number } | undefined {
  let text = '';
  for (let at = start + 1; at < line.length; at++) {
    const char = line[at] as string;
    if (char === quote) return { text, end: at };
    const next = line[at + 1];
    if (quote === '"' && char === '\\' && (next === '"' || next === '\\')) {
      text += next;
      at += 1;
    } else text += char;
  }
  return undefined;
}

/** A word as it must be written so that splitWords gives it back. */
export const quoteWord = (word: string): string => (/^[A-Za-z0-9_@%+=:,./{}~-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);
