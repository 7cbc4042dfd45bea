/** Files that the access logs of sites go to. */
import type { SiteSpec } from '../../config/model.ts';
import { everyRoute } from '../every-route.ts';
import type { WantedLogFile } from './log-files.ts';

/** Each once; of two logs in one file the first says when it is rotated. */
export function logFilesOf(sites: readonly SiteSpec[]): WantedLogFile[] {
  const found = new Map<string, WantedLogFile>();
  const logs = sites.flatMap((site) => [...everyRoute(site)]).flatMap((route) => route.logs);
  for (const { file, maxBytes, keep } of logs) if (file !== undefined && !found.has(file)) found.set(file, { file, maxBytes, keep });
  return [...found.values()];
}
