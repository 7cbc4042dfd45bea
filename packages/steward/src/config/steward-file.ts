/** The reader of steward.yaml itself. Pure. */
import { dirname } from 'node:path';
import { checkShape } from './check-shape.ts';
import type { Reading } from './format.ts';
import type { Source } from './problem.ts';
import { type FileSource, fileShape } from './sections/file.ts';
import { readYaml } from './yaml.ts';

/** The whole file, or with mistakes in its shape only what it includes: resolving works on sound values. */
export function readSteward(source: Source): Reading {
  const { value, origins, problems } = readYaml(source);
  const given = value ?? {};
  if (problems.length === 0 || value !== undefined) problems.push(...checkShape(fileShape, given, origins));
  const isUsable = !problems.some(({ severity }) => severity === 'error');
  return {
    config: isUsable ? (given as FileSource) : includesOf(given),
    origins,
    problems,
    sources: [source],
    folder: dirname(source.file),
  };
}

/** What of a file with mistakes is looked at further: the files it includes, so that all their problems are told too. */
function includesOf(given: unknown): FileSource {
  const include = (given as FileSource | null)?.include;
  return Array.isArray(include) && include.every((entry) => typeof entry === 'string') ? { include } : {};
}
