/** Files that sites name and workers, who may not read them, need: authorities of certificates, maintenance pages. */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { RouteSpec, SiteSpec, StepSpec } from '../../config/model.ts';
import type { Problem } from '../../config/problem.ts';
import type { GatewayErrorCode } from '../errors.ts';

export interface SiteFiles {
  /** Contents by path. A file that cannot be used is not among them. */
  readonly files: ReadonlyMap<string, string>;
  readonly problems: readonly Problem<GatewayErrorCode>[];
}

const mostBytes = 1024 * 1024;

type Kind = 'authorities' | 'page';

/** Paths and what each must hold. */
function namedBy(sites: readonly SiteSpec[]): Map<string, Kind> {
  const named = new Map<string, Kind>();
  const look = ({ action, routes, steps }: RouteSpec): void => {
    if (action.kind === 'proxy' && action.verify?.ca !== undefined) named.set(action.verify.ca, 'authorities');
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
  for (const { clientCertificates, maintenance, routes, rest, steps } of sites) {
    lookIn(steps);
    if (clientCertificates !== undefined) named.set(clientCertificates.ca, 'authorities');
    if (maintenance?.page !== undefined) named.set(maintenance.page, 'page');
    [...routes, rest].forEach(look);
  }
  return named;
}

/** What is wrong with a file's content, or undefined. */
function faultOf(kind: Kind, text: string): string | undefined {
  if (text.length > mostBytes) return 'is larger than 1 MB';
  if (kind === 'page') return undefined;
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
  try {
    for (const block of blocks) new X509Certificate(block);
  } catch {
    return 'holds a certificate that cannot be read';
  }
  return blocks.length === 0 ? 'holds no certificate in PEM form' : undefined;
}

const problem = (code: GatewayErrorCode, message: string, hint: string): Problem<GatewayErrorCode> => ({
  severity: 'error',
  code,
  message,
  hint,
});

/** Reads all of them. Never rejects. */
export async function loadSiteFiles(sites: readonly SiteSpec[]): Promise<SiteFiles> {
  const files = new Map<string, string>();
  const problems: Problem<GatewayErrorCode>[] = [];
  for (const [path, kind] of namedBy(sites)) {
    try {
      const text = await readFile(path, 'utf8');
      const fault = faultOf(kind, text);
      if (fault === undefined) files.set(path, text);
      else
        problems.push(
          problem('gateway/file', `"${path}" ${fault}`, kind === 'page' ? 'Send a smaller page.' : 'Name a PEM file of certificates.'),
        );
    } catch (cause) {
      problems.push(problem('gateway/file', `"${path}" cannot be read: ${(cause as Error).message}`, 'Name a file that Steward may read.'));
    }
  }
  return { files, problems };
}
