/** Builds the tree of directives and blocks from the words of a file. It goes on after a mistake, so all of them are told. */
import type { Position } from '../problem.ts';
import { type LexError, lex, type Token } from './lex.ts';

export interface Word {
  readonly text: string;
  readonly quoted: boolean;
  readonly at: Position;
}

export interface Directive {
  readonly name: string;
  /** Where the name stands. */
  readonly at: Position;
  readonly args: readonly Word[];
  /** What stands in its braces. */
  readonly block?: readonly Directive[];
}

export interface Parsed {
  readonly directives: readonly Directive[];
  readonly errors: readonly LexError[];
}

interface Open {
  readonly children: Directive[];
  readonly name: string;
  /** Its `{`. */
  readonly at?: Position;
}

const shown = (words: readonly Token[]): string => {
  const text = words.map((word) => word.text).join(' ');
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
};

/** The position just behind the last of `words`: where a semicolon is missing. */
function behind(words: readonly Token[]): Position {
  const { at } = words.at(-1) as Token;
  return { ...at, column: at.column + at.length - 1, length: 1 };
}

function createParser(errors: LexError[]) {
  const stack: [Open, ...Open[]] = [{ children: [], name: '' }];
  const top = (): Open => stack.at(-1) as Open;
  let words: Token[] = [];

  const finish = (block?: Directive[]): void => {
    const [name, ...args] = words as [Token, ...Token[]];
    top().children.push({ name: name.text, at: name.at, args, ...(block === undefined ? {} : { block }) });
    words = [];
  };
  const missing = (before: string): void => {
    if (words.length === 0) return;
    errors.push({ message: `"${shown(words)}" has no ; before ${before}`, hint: 'End it with a semicolon.', at: behind(words) });
    finish();
  };
  const take: Record<Token['kind'], (token: Token) => void> = {
    word: (token) => void words.push(token),
    end: (token) => {
      if (words.length > 0) finish();
      else errors.push({ message: '";" ends nothing', hint: 'Remove it.', at: token.at });
    },
    open: (token) => {
      if (words.length === 0)
        errors.push({
          message: '"{" opens a block without a name',
          hint: 'Write the name of the block before it, such as server.',
          at: token.at,
        });
      const children: Directive[] = [];
      const name = words[0]?.text ?? '';
      if (words.length > 0) finish(children);
      stack.push({ children, name, at: token.at });
    },
    close: (token) => {
      missing('"}"');
      if (stack.length > 1) stack.pop();
      else errors.push({ message: '"}" closes nothing', hint: 'Remove it, or look for a missing { above.', at: token.at });
    },
  };
  const end = (): readonly Directive[] => {
    missing('the end of the file');
    for (const open of stack.slice(1)) {
      errors.push({ message: `the { of "${open.name}" is never closed`, hint: 'Close it with }.', at: open.at as Position });
    }
    return stack[0].children;
  };
  return { take: (token: Token) => take[token.kind](token), end };
}

/** The directives of `text`, and every error of quotes, braces and semicolons. Never throws. */
export function parse(file: string, text: string): Parsed {
  const { tokens, errors: found, open } = lex(file, text);
  const errors = [...found];
  const consequences: LexError[] = [];
  const parser = createParser(open ? consequences : errors);
  for (const token of tokens) parser.take(token);
  return { directives: parser.end(), errors };
}
