/** Files that sites name and workers, who may not read them, need: authorities of certificates, maintenance pages. */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { SiteSpec } from '../../config/model.ts';
import type { Problem } from '../../config/problem.ts';
import type { GatewayErrorCode } from '../errors.ts';
import { everyRoute } from '../every-route.ts';

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
  for (const site of sites) {
    const { clientCertificates, maintenance } = site;
    if (clientCertificates !== undefined) named.set(clientCertificates.ca, 'authorities');
    if (maintenance?.page !== undefined) named.set(maintenance.page, 'page');
    for (const { action } of everyRoute(site))
      if (action.kind === 'proxy' && action.verify?.ca !== undefined) named.set(action.verify.ca, 'authorities');
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
