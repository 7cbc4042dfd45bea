/** Files that the access logs of sites go to. */
import type { RouteSpec, SiteSpec, StepSpec } from '../../config/model.ts';
import type { WantedLogFile } from './log-files.ts';

/** Each once; of two logs in one file the first says when it is rotated. */
export function logFilesOf(sites: readonly SiteSpec[]): WantedLogFile[] {
  const found = new Map<string, WantedLogFile>();
  const look = ({ logs, routes, steps }: RouteSpec): void => {
    for (const { file, maxBytes, keep } of logs) if (file !== undefined && !found.has(file)) found.set(file, { file, maxBytes, keep });
    lookIn(steps);
    routes.forEach(look);
  };
  const lookIn = (steps: readonly StepSpec[]): void => {
    for (const step of steps) {
      if (step.kind !== 'if') continue;
      lookIn(step.steps);
      if (step.route !== undefined) look(step.route);
    }
  };
  for (const { routes, rest, steps } of sites) {
    lookIn(steps);
    [...routes, rest].forEach(look);
  }
  return [...found.values()];
}
