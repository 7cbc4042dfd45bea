/**
 * The certificates of the sites, read by the daemon (which may be root; the workers are not) and looked at before they are
 * used: what is wrong with them is said in words, at the plan, not by a browser.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import type { CertificateFiles, SiteSpec } from '../../config/model.ts';
import type { Problem } from '../../config/problem.ts';
import type { GatewayErrorCode } from '../errors.ts';
import { answersAnyHost, type Certificate, certificateName } from '../table.ts';
import { type Authority, openAuthority } from './authority.ts';

export interface Certificates {
  /** By `certificateName`. Sites whose certificate cannot be used have none. */
  readonly certificates: ReadonlyMap<string, Certificate>;
  readonly problems: readonly Problem[];
}

const dayMs = 24 * 60 * 60 * 1000;
const warnDays = 30;

const problem = (severity: Problem['severity'], code: GatewayErrorCode, message: string, hint: string): Problem<GatewayErrorCode> => ({
  severity,
  code,
  message,
  hint,
});

/** What a certificate is for. */
export type Served = Pick<SiteSpec, 'tls' | 'hosts' | 'isDefault'>;

/** All certificates of `sites`. `authorityDir` holds the local authority, made when a site first needs it. Never rejects. */
export async function loadCertificates(sites: readonly Served[], authorityDir: string, nowMs: number): Promise<Certificates> {
  const certificates = new Map<string, Certificate>();
  const problems: Problem[] = [];
  const seen = new Set<string>();
  let authority: Authority | undefined;
  for (const site of sites) {
    const name = certificateName(site);
    if (name === undefined || site.tls === undefined || seen.has(name)) continue;
    seen.add(name);
    try {
      if (typeof site.tls === 'string') {
        // An authority out there may take its time: until then a certificate of our own stands in.
        authority ??= await openAuthority(authorityDir, nowMs);
        certificates.set(name, await authority.issue(internalNames(site), nowMs));
        continue;
      }
      const loaded = await loadFiles(site.tls, nowMs);
      problems.push(...loaded.problems);
      if (loaded.certificate === undefined) continue;
      certificates.set(name, loaded.certificate);
      problems.push(...uncoveredHosts(site, site.tls, loaded.certificate));
    } catch (cause) {
      problems.push(
        problem(
          'error',
          'gateway/authority',
          `the local authority in ${authorityDir} cannot be used: ${messageOf(cause)}`,
          'Move its files away to have a new one made; browsers then need the new certificate.',
        ),
      );
    }
  }
  return { certificates, problems };
}

const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));

/** What an internal certificate is made for. Patterns that no certificate can hold are left out. */
function internalNames(site: Served): string[] {
  const named = site.hosts.flatMap((host) => {
    if (host.startsWith('.')) return [host.slice(1), `*${host}`];
    const bare = host.replace(/^\[(.*)\]$/, '$1');
    return host.startsWith('~') || host.endsWith('.*') ? [] : [bare];
  });
  return answersAnyHost(site) || named.length === 0 ? [...named, 'localhost', '127.0.0.1', '::1'] : named;
}

interface Loaded {
  readonly certificate?: Certificate;
  readonly problems: readonly Problem[];
}

async function loadFiles(files: CertificateFiles, nowMs: number): Promise<Loaded> {
  const problems: Problem[] = [];
  const read = async (file: string): Promise<string> => {
    try {
      return await readFile(file, 'utf8');
    } catch (cause) {
      problems.push(
        problem(
          'error',
          'gateway/certificate-unreadable',
          `"${file}" cannot be read: ${messageOf(cause)}`,
          'Write the path of a PEM file that Steward may read.',
        ),
      );
      return '';
    }
  };
  const [cert, key, chain] = await Promise.all([read(files.cert), read(files.key), files.chain === undefined ? '' : read(files.chain)]);
  if (problems.length > 0) return { problems };
  return assemble(files, { cert, key, chain }, nowMs);
}

/** The pair for workers: leaf first, then each certificate that signed the one before, whatever order the files have. */
function assemble(
  files: CertificateFiles,
  texts: { readonly cert: string; readonly key: string; readonly chain: string },
  nowMs: number,
): Loaded {
  const key = parseKey(texts.key);
  if (key === undefined)
    return { problems: [invalid(files.key, 'no private key in PEM form without a password', '-----BEGIN PRIVATE KEY-----')] };
  const own = parseCertificates(texts.cert);
  if (own === undefined || own.length === 0)
    return { problems: [invalid(files.cert, 'no certificate in PEM form', '-----BEGIN CERTIFICATE-----')] };
  const more = parseCertificates(texts.chain);
  if (more === undefined || (files.chain !== undefined && more.length === 0))
    return { problems: [invalid(files.chain ?? '', 'no certificate in PEM form', '-----BEGIN CERTIFICATE-----')] };
  const all = [...own, ...more];
  const leaf = all.find((certificate) => certificate.checkPrivateKey(key));
  if (leaf === undefined) {
    return {
      problems: [
        problem(
          'error',
          'gateway/certificate-key',
          `the key "${files.key}" does not belong to the certificate "${files.cert}"`,
          'Use the key that the certificate was requested with.',
        ),
      ],
    };
  }
  const problems = checkDates(leaf, files.cert, nowMs);
  if (problems.some(({ severity }) => severity === 'error')) return { problems };
  return { certificate: { cert: orderChain(leaf, all).map(String).join(''), key: texts.key }, problems };
}

const invalid = (file: string, what: string, begin: string): Problem =>
  problem('error', 'gateway/certificate-invalid', `"${file}" holds ${what}`, `Such a file has a line ${begin}`);

function parseKey(text: string): KeyObject | undefined {
  try {
    return createPrivateKey(text);
  } catch {
    return undefined;
  }
}

/** The certificates of a PEM text, or undefined when one of them is broken. */
function parseCertificates(text: string): X509Certificate[] | undefined {
  const blocks = text.match(/-----BEGIN (?:TRUSTED )?CERTIFICATE-----[\s\S]*?-----END (?:TRUSTED )?CERTIFICATE-----/g) ?? [];
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch {
    return undefined;
  }
}

/** Leaf to root-most; a self-signed root is left out, since a client that needs it does not trust it. */
function orderChain(leaf: X509Certificate, all: readonly X509Certificate[]): X509Certificate[] {
  const chain = [leaf];
  for (let last = leaf; ; ) {
    const next = all.find((candidate) => !chain.includes(candidate) && last.checkIssued(candidate));
    if (next === undefined || next.checkIssued(next)) return chain;
    chain.push(next);
    last = next;
  }
}

function checkDates(leaf: X509Certificate, file: string, nowMs: number): Problem[] {
  const to = leaf.validToDate;
  const days = Math.floor((to.getTime() - nowMs) / dayMs);
  const day = to.toISOString().slice(0, 10);
  if (to.getTime() <= nowMs)
    return [
      problem('error', 'gateway/certificate-expired', `the certificate "${file}" ended on ${day}`, 'Renew it, then `steward reload`.'),
    ];
  if (leaf.validFromDate.getTime() > nowMs) {
    return [
      problem(
        'warning',
        'gateway/certificate-early',
        `the certificate "${file}" is not valid before ${leaf.validFromDate.toISOString()}`,
        "Check this machine's clock.",
      ),
    ];
  }
  if (days >= warnDays) return [];
  return [
    problem(
      'warning',
      'gateway/certificate-expires',
      `the certificate "${file}" ends on ${day}, in ${days} ${days === 1 ? 'day' : 'days'}`,
      'Renew it, then `steward reload`.',
    ),
  ];
}

function uncoveredHosts(site: Served, files: CertificateFiles, { cert }: Certificate): Problem[] {
  const leaf = new X509Certificate(cert);
  const exact = site.hosts.filter((host) => !host.startsWith('~') && !host.includes('*') && !host.startsWith('.'));
  const uncovered = exact.filter((host) => (isIP(host) === 0 ? leaf.checkHost(host) : leaf.checkIP(host)) === undefined);
  return uncovered.map((host) =>
    problem(
      'warning',
      'gateway/certificate-host',
      `the certificate "${files.cert}" is not for the host "${host}"`,
      `It is for ${leaf.subjectAltName ?? 'no host at all'}.`,
    ),
  );
}
