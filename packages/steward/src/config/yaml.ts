/** A steward.yaml as text to a value and the place of each of its parts. Syntax problems come all at once. */
import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, type Pair, parseDocument } from 'yaml';
import type { ConfigCode } from './codes.ts';
import { type Position, type Problem, pointerStep, type Source } from './problem.ts';

export interface YamlReading {
  /** Undefined when the text is not YAML. */
  readonly value: unknown;
  /** Positions of values by JSON pointer; `POINTER#key` is the position of the key itself. */
  readonly origins: Map<string, Position>;
  readonly problems: Problem<ConfigCode>[];
}

/** Aliases a file may use in all; more is a file made to explode. */
const mostAliases = 200;

function adviceFor(message: string): string {
  if (/keys must be unique/i.test(message)) return 'Give one of the two another name, or put both into one.';
  return /tab/i.test(message) ? 'Indent with spaces.' : 'Quote texts that hold : # { } [ ] or begin with @ or *.';
}

export function readYaml({ file, text }: Source): YamlReading {
  const lines = new LineCounter();
  const document = parseDocument(text.replace(/^\uFEFF/, ''), { lineCounter: lines, prettyErrors: false, uniqueKeys: true, merge: true });
  const place = (range: readonly number[]): Position => {
    const { line, col } = lines.linePos(range[0] ?? 0);
    return { file, line, column: col, length: Math.max(1, (range[1] ?? 0) - (range[0] ?? 0)) };
  };
  const problems = [...document.errors, ...document.warnings].map(
    ({ message, pos, name }): Problem<ConfigCode> => ({
      severity: name === 'YAMLWarning' ? 'warning' : 'error',
      code: 'config/yaml-syntax',
      message: `not valid YAML: ${message.replace(/\s*at line \d+.*/s, '').toLowerCase()}`,
      hint: adviceFor(message),
      at: place(pos),
    }),
  );
  const origins = new Map<string, Position>();
  const visit = (node: Node | null | undefined, pointer: string): void => {
    if (node?.range) origins.set(pointer, place(node.range));
    // 0o27 is how YAML writes a file mode: as a number it would no longer say so.
    if (isScalar(node) && node.format === 'OCT') node.value = Number(node.value).toString(8);
    if (isMap(node)) for (const pair of node.items) visitPair(pair as Pair<Node, Node>, pointer);
    else if (isSeq(node)) node.items.forEach((item, index) => void visit(item as Node, pointer + pointerStep(index)));
    else if (isAlias(node)) return;
  };
  const visitPair = (pair: Pair<Node, Node>, pointer: string): void => {
    const key = pointer + pointerStep(isScalar(pair.key) ? String(pair.key.value) : '');
    if (pair.key.range) origins.set(`${key}#key`, place(pair.key.range));
    if (pair.value === null && pair.key.range) origins.set(key, place(pair.key.range));
    visit(pair.value, key);
  };
  visit(document.contents, '');
  if (document.errors.length > 0) return { value: undefined, origins, problems };
  try {
    return { value: document.toJS({ maxAliasCount: mostAliases }), origins, problems };
  } catch (error) {
    problems.push({
      severity: 'error',
      code: 'config/yaml-syntax',
      message: (error as Error).message,
      at: { file, line: 1, column: 1, length: 1 },
    });
    return { value: undefined, origins, problems };
  }
}
