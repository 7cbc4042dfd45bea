/** The sites as they are told to people and programs: hosts, addresses, routes in words, certificates. Pure. */
import { X509Certificate } from 'node:crypto';
import type { SiteInfo } from '@steward/sdk/contract/gateway';
import type { RouteSpec, SiteSpec, TargetSpec } from '../config/model.ts';
import { routeName } from './match.ts';
import { type Certificate, certificateName, listenerName } from './table.ts';

const dayMs = 24 * 60 * 60 * 1000;

/** The value of a field in a name such as `C=CN\nCN=example.com`; all of it when it has no such field. */
const commonName = (name: string): string => /(?:^|\n)CN=(.*)/.exec(name)?.[1] ?? name.replaceAll('\n', ', ');

function describeCertificate({ cert }: Certificate, nowMs: number): NonNullable<SiteInfo['certificate']> {
  const { subject, issuer, subjectAltName = '', validFromDate, validToDate, fingerprint256 } = new X509Certificate(cert);
  return {
    subject: commonName(subject ?? ''),
    issuer: commonName(issuer),
    names: [...subjectAltName.matchAll(/(?:DNS|IP Address):([^,]+)/g)].map(([, name = '']) => name.trim()),
    from: validFromDate.toISOString(),
    until: validToDate.toISOString(),
    days: Math.floor((validToDate.getTime() - nowMs) / dayMs),
    fingerprint: fingerprint256.replaceAll(':', '').toLowerCase(),
  };
}

function targetName(target: TargetSpec): string {
  if (target.kind === 'service') return `service ${target.service}`;
  return target.kind === 'servers' ? target.name : 'a server that each request decides';
}

function does({ action }: RouteSpec): string {
  switch (action.kind) {
    case 'proxy':
      return `asks ${targetName(action.target)}`;
    case 'files':
      return 'serves files';
    case 'answer':
      return 'answers itself';
    case 'status':
      return 'shows counters';
  }
}

/** `nowMs` is epoch milliseconds. Certificates are those by `certificateName`. */
export const describeSites = (sites: readonly SiteSpec[], certificates: ReadonlyMap<string, Certificate>, nowMs: number): SiteInfo[] =>
  sites.map((site) => {
    const certificate = certificates.get(certificateName(site) ?? '');
    return {
      hosts: [...site.hosts],
      listen: site.listen.map(listenerName),
      tls: site.tls === undefined ? 'none' : typeof site.tls === 'string' ? site.tls : 'files',
      ...(certificate && { certificate: describeCertificate(certificate, nowMs) }),
      routes: site.routes.map((route) => ({ path: routeName(route.match), does: does(route) })),
    };
  });
