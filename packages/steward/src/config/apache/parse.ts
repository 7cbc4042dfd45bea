/** Builds the tree of directives and sections. Words are split later, while reading, since a Define above decides what `${NAME}` means. */
import type { Position } from '../problem.ts';
import { type Line, positionIn, splitLines } from './lex.ts';

export interface Directive {
  /** As written. */
  readonly name: string;
  /** Where the name stands. */
  readonly at: Position;
  readonly line: Line;
  /** Where its arguments start and end in the line. */
  readonly from: number;
  readonly to: number;
  /** What a section holds. */
  readonly block?: readonly Directive[];
}

export interface SyntaxError {
  readonly message: string;
  readonly hint: string;
  readonly at: Position;
}

/** Deeper nesting is a mistake, and would cost the stack of whoever walks the tree. */
const maxDepth = 100;

interface Open {
  readonly name: string;
  readonly at: Position;
  readonly children: Directive[];
}

function openSection(line: Line, errors: SyntaxError[]): Directive {
  const [, name = ''] = /^<([^\s>]*)/.exec(line.text) ?? [];
  const close = line.text.lastIndexOf('>');
  const at = positionIn(line, 0, 1 + name.length + (line.text[1 + name.length] === '>' ? 1 : 0));
  if (close < 0) errors.push({ message: `<${name} has no > at its end`, hint: 'Close the line with >.', at });
  return { name, at, line, from: 1 + name.length, to: close < 0 ? line.text.length : Math.max(close, 1 + name.length), block: [] };
}

function closeSection(line: Line, stack: Open[], errors: SyntaxError[]): void {
  const [, name = ''] = /^<\/([^\s>]*)/.exec(line.text) ?? [];
  const index = stack.findLastIndex((open) => open.name.toLowerCase() === name.toLowerCase());
  const at = positionIn(line, 0);
  if (index <= 0) {
    errors.push({ message: `</${name}> closes nothing`, hint: `Remove it, or look for a missing <${name}> above.`, at });
    return;
  }
  for (const open of stack.splice(index).slice(1)) errors.push(neverClosed(open));
}

const neverClosed = ({ name, at }: Open): SyntaxError => ({ message: `<${name}> is never closed`, hint: `Close it with </${name}>.`, at });

/** The directives of a text, and what is wrong with its sections. Never throws. */
export function parse(file: string, text: string): { readonly directives: readonly Directive[]; readonly errors: readonly SyntaxError[] } {
  const errors: SyntaxError[] = [];
  const start: Position = { file, line: 1, column: 1, length: 1 };
  const root: Open = { name: '', at: start, children: [] };
  const stack: Open[] = [root];
  for (const line of splitLines(file, text)) {
    const top = stack.at(-1) as Open;
    if (line.text.startsWith('</')) closeSection(line, stack, errors);
    else if (line.text.startsWith('<')) {
      const children: Directive[] = [];
      const section = { ...openSection(line, errors), block: children };
      if (stack.length <= maxDepth) top.children.push(section);
      else if (stack.length === maxDepth + 1) {
        errors.push({
          message: `sections are nested more than ${maxDepth} deep`,
          hint: 'Look for a section that is never closed.',
          at: section.at,
        });
      }
      stack.push({ name: section.name, at: section.at, children });
    } else {
      const [name = ''] = /^\S+/.exec(line.text) ?? [];
      top.children.push({ name, at: positionIn(line, 0, name.length), line, from: name.length, to: line.text.length });
    }
  }
  errors.push(...stack.slice(1).map(neverClosed));
  return { directives: root.children, errors };
}
