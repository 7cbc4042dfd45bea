/** Access logs of sites and routes. Pure. */
import type { AccessLogSpec } from './model.ts';
import { didYouMean } from './near.ts';
import { pathText } from './resolve-text.ts';
import type { Scope } from './scope.ts';
import type { RouteSource } from './sections/step.ts';
import { hasVariable } from './text-variables.ts';
import { sizeOr } from './units.ts';

type LogSource = Extract<Exclude<RouteSource['log'], false | undefined>, readonly unknown[]>[number];

const standardBytes = 50 * 1024 * 1024;
const names = ['steward', 'combined', 'json'] as const;

/** The log of a site that says nothing of it. */
export const standardLog: AccessLogSpec = { format: { kind: 'steward' }, maxBytes: standardBytes, keep: 10 };

function formatOf(scope: Scope, pointer: string, given: LogSource): AccessLogSpec['format'] {
  const text = given.format ?? (given.file === undefined ? 'steward' : 'combined');
  const kind = names.find((name) => name === text);
  if (kind !== undefined) return { kind };
  if (!hasVariable(text))
    scope.tell(
      pointer,
      'config/log-format',
      `"${text}" is no form of a log, and holds no variable`,
      `Use one of: ${names.join(', ')}, or a text with variables.${didYouMean(text, names)}`,
    );
  return { kind: 'text', text: scope.text(pointer, text), escape: given.escape ?? 'default' };
}

function logOf(scope: Scope, pointer: string, given: LogSource): AccessLogSpec {
  return {
    ...(given.file !== undefined && { file: pathText(scope, `${pointer}/file`, given.file) }),
    format: formatOf(scope, `${pointer}/format`, given),
    ...(given.when !== undefined && { when: scope.text(`${pointer}/when`, given.when) }),
    maxBytes: sizeOr(given.maxSize, standardBytes),
    keep: given.keep ?? 10,
  };
}

/** `log` of a site or a route. */
export function resolveLogs(scope: Scope, pointer: string, given: NonNullable<RouteSource['log']>): AccessLogSpec[] {
  if (given === false) return [];
  return Array.isArray(given) ? given.map((log, index) => logOf(scope, `${pointer}/${index}`, log)) : [logOf(scope, pointer, given)];
}
