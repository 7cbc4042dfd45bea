/** Files of NAME=value lines (`.env`, `.flaskenv`). Pure. */
import type { ConfigCode } from './codes.ts';
import type { Problem, Source } from './problem.ts';

const line = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.]*)\s*=\s*(.*?)\s*$/;

/** Takes off quotes: double ones know \n \t \" \\, single ones nothing; without quotes a ` #` begins a comment. */
function unquote(value: string): string {
  const double = /^"((?:[^"\\]|\\.)*)"\s*(?:#.*)?$/.exec(value);
  if (double) return (double[1] ?? '').replace(/\\(.)/g, (_, char: string) => ({ n: '\n', t: '\t', r: '\r' })[char] ?? char);
  const single = /^'([^']*)'\s*(?:#.*)?$/.exec(value);
  return single ? (single[1] ?? '') : value.replace(/\s+#.*$/, '');
}

/** The variables of a file, and a problem for each line that is neither one, nor empty, nor a # comment. */
export function readEnvFile({ file, text }: Source): { env: Record<string, string>; problems: Problem<ConfigCode>[] } {
  const env = new Map<string, string>();
  const problems: Problem<ConfigCode>[] = [];
  text
    .replace(/^\uFEFF/, '')
    .split(/\r\n|\n|\r/)
    .forEach((row, index) => {
      if (/^\s*(#|$)/.test(row)) return;
      const found = line.exec(row);
      if (found) env.set(found[1] as string, unquote(found[2] ?? ''));
      else
        problems.push({
          severity: 'error',
          code: 'config/env-line',
          message: 'this line is no NAME=value',
          hint: 'Write NAME=value; begin a comment with #.',
          at: { file, line: index + 1, column: 1, length: Math.max(1, row.length) },
        });
    });
  return { env: Object.fromEntries(env), problems };
}
