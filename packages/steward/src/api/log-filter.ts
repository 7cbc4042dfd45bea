/** Which lines of logs are wanted: by time, pattern, level and run. */
import { createContext, Script } from 'node:vm';
import { StewardError } from '../errors.ts';
import { type Level, type LogLine, levelOf, levels } from '../output/output.ts';

export interface LogFilter {
  readonly sinceMs?: number | undefined;
  readonly untilMs?: number | undefined;
  readonly pattern?: RegExp | undefined;
  /** This level and worse. */
  readonly level?: Level | undefined;
  /** The run of each instance, by the beginning of its id; undefined is every run. */
  readonly runOf?: ((instance: string) => string | undefined) | undefined;
}

export interface KeptLine extends LogLine {
  readonly level: Level | undefined;
}

/** What the pattern may take on one stretch of a log: a hundred times what a usual one does. */
const patternMs = 1000;
/** A pattern such as (a+)+$ can take for ever on one line. Only a script can be given a time limit; it calls back. */
const sandbox: { work: () => void } = { work: () => {} };
const context = createContext(sandbox);
const script = new Script('work()');

function withinTime(work: () => void): void {
  sandbox.work = work;
  try {
    script.runInContext(context, { timeout: patternMs });
  } catch (error) {
    if ((error as { code?: string }).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error;
    throw new StewardError('api/slow-pattern', 'the pattern takes too long on these lines', {
      status: 400,
      hint: 'Write it without a repetition inside a repetition, such as (a+)+.',
    });
  } finally {
    sandbox.work = () => {};
  }
}

/** @throws StewardError for a text that is no regular expression. */
export function parsePattern(text: string, ignoreCase: boolean): RegExp {
  try {
    return new RegExp(text, ignoreCase ? 'i' : '');
  } catch (error) {
    throw new StewardError('api/bad-pattern', `"${text}" is no regular expression: ${(error as Error).message.replace(/^.*: /, '')}`, {
      status: 400,
      hint: 'Put a backslash before ( ) [ ] { } . * + ? when they stand for themselves.',
    });
  }
}

/** A line that goes on with what the one before began: it has its level. */
const goesOn = /^(?:\s|Caused by: |\.\.\. \d+ more|$)/;

/** Gives a function that says which lines of a stretch are wanted, in order; it is to be called with one stretch after the other. */
export function createLineFilter(
  instance: string,
  { sinceMs, untilMs, pattern, level, runOf }: LogFilter,
): (lines: readonly LogLine[]) => KeptLine[] {
  const run = runOf?.(instance);
  const least = level === undefined ? levels.length : levels.indexOf(level);
  let before: Level | undefined;
  const isWanted = (line: KeptLine): boolean => {
    if (sinceMs !== undefined && line.timeMs !== 0 && line.timeMs < sinceMs) return false;
    if (untilMs !== undefined && line.timeMs > untilMs) return false;
    if (run !== undefined && !(line.run !== '' && line.run.startsWith(run))) return false;
    return level === undefined || (line.level !== undefined && levels.indexOf(line.level) <= least);
  };
  return (lines) => {
    const kept = lines
      .map((line): KeptLine => {
        const own = levelOf(line.text);
        if (own !== undefined || !goesOn.test(line.text)) before = own;
        return { ...line, level: own ?? before };
      })
      .filter(isWanted);
    if (pattern === undefined || kept.length === 0) return kept;
    const found: KeptLine[] = [];
    withinTime(() => {
      for (const line of kept) if (pattern.test(line.text)) found.push(line);
    });
    return found;
  };
}
