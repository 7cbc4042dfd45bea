/** The configuration as text, on top of applying files: what is on the disk, writing it, its history. */
import type { Plan } from '@steward/sdk/contract/system';
import type { Configuration } from './api/api.ts';
import { hasErrors } from './config/problem.ts';
import type { ConfigText } from './config/read.ts';
import { writeTexts } from './config-files.ts';
import { type ConfigHistory, etagOf, keptVersion } from './config-history.ts';
import { StewardError } from './errors.ts';

export interface ConfigurationOptions {
  readonly history: ConfigHistory;
  /** The files in force; [] before the first apply. */
  roots(): readonly string[];
  /** The files of a configuration as they are on the disk, included ones too. */
  read(roots: readonly string[]): readonly ConfigText[];
  /** What applying would do, with other texts in place of what is on the disk. */
  plan(roots: readonly string[], texts: readonly ConfigText[]): Promise<Plan>;
  /** @throws StewardError when the files have errors, or would stop what they must not. */
  apply(roots: readonly string[], by: string, replace: boolean): Promise<Plan>;
  /** One change at a time. */
  inTurn<T>(work: () => Promise<T>): Promise<T>;
}

function refuseChanged(now: string, ifMatch: string | undefined): void {
  if (ifMatch === undefined || ifMatch === '*' || ifMatch === now) return;
  throw new StewardError('config/changed-meanwhile', 'the configuration was changed since you read it; nothing was written', {
    status: 412,
    hint: 'Read it again, and make your change in what is there now.',
    details: { etag: now },
  });
}

export function createConfiguration({ history, roots, read, plan, apply, inTurn }: ConfigurationOptions): Configuration {
  /** @throws StewardError for a file that the configuration does not have: nobody gets to write elsewhere by it. */
  function refuseForeign(texts: readonly ConfigText[], known: readonly ConfigText[]): void {
    const paths = new Set(known.map(({ path }) => path));
    const foreign = texts.filter(({ path }) => !paths.has(path));
    if (foreign.length === 0) return;
    throw new StewardError('config/not-ours', `${foreign.map(({ path }) => path).join(', ')} is no file of the configuration`, {
      status: 422,
      hint: `It has: ${[...paths].join(', ') || 'none yet; name files with steward up'}.`,
    });
  }

  function refuseErrors(found: Plan): void {
    if (!hasErrors(found.problems)) return;
    throw new StewardError('config/errors', 'the texts have errors; nothing was changed', {
      status: 422,
      details: { problems: found.problems, problemsText: found.problemsText },
    });
  }

  /** Writes texts and applies; when that is refused the files are as they were. */
  async function write(named: readonly string[], texts: readonly ConfigText[], by: string, replace: boolean): Promise<Plan> {
    refuseErrors(await plan(named, texts));
    const before = new Map(read(named).map(({ path, text }) => [path, text]));
    const changed = texts.filter(({ path, text }) => before.get(path) !== text);
    writeTexts(changed);
    try {
      return await apply(named, by, replace);
    } catch (error) {
      writeTexts(changed.flatMap(({ path }) => (before.has(path) ? [{ path, text: before.get(path) as string }] : [])));
      throw error;
    }
  }

  return {
    history,
    texts() {
      const texts = read(roots());
      const etag = etagOf(texts);
      const [last] = history.list(1);
      return {
        etag,
        roots: [...roots()],
        files: texts.map((text) => ({ ...text })),
        changedSinceApply: last !== undefined && last.etag !== etag,
      };
    },
    check: (texts) => {
      refuseForeign(texts, read(roots()));
      return plan(roots(), texts);
    },
    put: (texts, { by, ifMatch, replace = false }) =>
      inTurn(async () => {
        const known = read(roots());
        refuseChanged(etagOf(known), ifMatch);
        refuseForeign(texts, known);
        return write(roots(), texts, by, replace);
      }),
    rollBack: (version, { by, replace = false }) =>
      inTurn(async () => {
        const found = keptVersion(history, version);
        return write(found.applied.roots, found.texts, by, replace);
      }),
  };
}
