/**
 * One order, from the wish to the certificate (RFC 8555, 7.4): what the authority wants to see is published, it looks, and
 * signs. Everything published is withdrawn at the end, whatever that is.
 */
// Before @peculiar/x509, which needs it when it is loaded.
import 'reflect-metadata';
import { setTimeout as sleep } from 'node:timers/promises';
import * as x509 from '@peculiar/x509';
import type { Certificate, Challenges } from '../../table.ts';
import { keyAlgorithm, makeKeys } from '../keys.ts';
import { alpnCertificate } from './alpn-certificate.ts';
import { noChallenges } from './challenges.ts';
import { type AcmeClient, type Answer, type Members, members, Refusal, readable, text } from './client.ts';

/** The ways to show that a host is ours, best first: over port 80, and by a TLS handshake on port 443. */
export const challengeTypes = ['http-01', 'tls-alpn-01'] as const;
export type ChallengeType = (typeof challengeTypes)[number];

/** Between looks at what the authority has found; doubled up to the second. */
const firstLookMs = 250;
const longestLookMs = 10_000;

export interface OrderOptions {
  readonly client: AcmeClient;
  readonly hosts: readonly string[];
  /** How it may be shown that a host is ours. */
  readonly ways: readonly ChallengeType[];
  /** Which of them to take: tries go through them in turn. */
  readonly attempt: number;
  /** Resolves when all of it is served. */
  readonly publish: (challenges: Challenges) => Promise<void>;
  /** Ends everything. */
  readonly signal: AbortSignal;
}

/** The certificate for `hosts`. Rejects with a Refusal when the authority does not give one, or with the reason of `signal`. */
export async function placeOrder(options: OrderOptions): Promise<Certificate> {
  const { client, hosts, publish, signal } = options;
  const placed = await client.newOrder(hosts);
  const order = members(placed);
  const orderUrl = placed.location ?? text({}, 'location', placed.url);
  try {
    await prove(options, textsOf(order.authorizations));
  } finally {
    await publish(noChallenges);
  }
  const ready = await settle(client, orderUrl, ['pending', 'processing'], signal);
  const { key, csr } = await requestFor(hosts);
  if (ready.status === 'ready') await client.post(text(ready, 'finalize', orderUrl), { csr });
  const signed = await settle(client, orderUrl, ['ready', 'processing'], signal);
  if (signed.status !== 'valid') throw refusedItem(signed, `the order is ${String(signed.status)}`);
  const { text: cert } = await client.post(text(signed, 'certificate', orderUrl));
  return { cert, key };
}

const textsOf = (value: unknown): string[] => (Array.isArray(value) ? value.filter((one) => typeof one === 'string') : []);

interface Offer {
  readonly url: string;
  readonly host: string;
  readonly type: ChallengeType;
  readonly challengeUrl: string;
  readonly token: string;
}

/** Shows all that the authorizations at `urls` still ask for, and waits until the authority has seen it. */
async function prove({ client, ways, attempt, publish, signal }: OrderOptions, urls: readonly string[]): Promise<void> {
  const offers: Offer[] = [];
  for (const url of urls) {
    const offer = chooseOffer(await client.post(url), ways, attempt);
    if (offer !== undefined) offers.push({ ...offer, url });
  }
  if (offers.length === 0) return;
  await publish(await challengesFor(client, offers));
  signal.throwIfAborted();
  for (const { challengeUrl } of offers) await client.post(challengeUrl, {});
  for (const { url, host } of offers) {
    const seen = await settle(client, url, ['pending', 'processing'], signal);
    if (seen.status !== 'valid') throw refusedHost(seen, host);
  }
}

/** What to show for an authorization; undefined when the authority remembers that the host is ours. */
function chooseOffer(answer: Answer, ways: readonly ChallengeType[], attempt: number): Omit<Offer, 'url'> | undefined {
  const authorization = members(answer);
  if (authorization.status === 'valid') return undefined;
  const { value } = (authorization.identifier ?? {}) as Members;
  const host = typeof value === 'string' ? value : answer.url;
  if (authorization.status !== 'pending') throw refusedHost(authorization, host);
  const offered = challengesOf(authorization);
  const types = ways.filter((type) => offered.some((challenge) => challenge.type === type));
  const type = types[attempt % types.length];
  const challenge = offered.find((one) => one.type === type);
  if (type === undefined || challenge === undefined)
    throw new Refusal('', `the authority offers no ${ways.join(' or ')} for ${host}`, false);
  return { host, type, challengeUrl: text(challenge, 'url', answer.url), token: text(challenge, 'token', answer.url) };
}

const challengesOf = ({ challenges }: Members): Members[] =>
  Array.isArray(challenges) ? challenges.filter((one) => typeof one === 'object' && one !== null) : [];

async function challengesFor(client: AcmeClient, offers: readonly Offer[]): Promise<Challenges> {
  const http: Record<string, string> = {};
  const alpn: Record<string, Certificate> = {};
  for (const { type, host, token } of offers) {
    const answer = client.keyAuthorization(token);
    if (type === 'http-01') http[token] = answer;
    else alpn[host] = await alpnCertificate(answer, host);
  }
  return { http, alpn };
}

/** The item at `url` once its status is none of `unsettled`. The signal bounds the wait. */
async function settle(client: AcmeClient, url: string, unsettled: readonly string[], signal: AbortSignal): Promise<Members> {
  for (let waitMs = firstLookMs; ; waitMs = Math.min(waitMs * 2, longestLookMs)) {
    const answer = await client.post(url);
    const item = members(answer);
    if (!unsettled.includes(text(item, 'status', url))) return item;
    await sleep(Math.min(Math.max(waitMs, answer.retryAfterMs ?? 0), longestLookMs), undefined, { signal });
  }
}

/** Why a host was not found to be ours: the authority writes it into the challenge. */
function refusedHost(authorization: Members, host: string): Refusal {
  const failed = challengesOf(authorization).find(({ error }) => error !== undefined);
  return refusedItem(failed ?? {}, `${host} is ${String(authorization.status)}`, host);
}

function refusedItem({ error }: Members, otherwise: string, host?: string): Refusal {
  const { type, detail } = (error ?? {}) as Members;
  const why = typeof detail === 'string' ? `${host === undefined ? '' : `${host}: `}${readable(detail)}` : otherwise;
  return new Refusal(typeof type === 'string' ? (type.split(':').at(-1) ?? '') : '', why, false);
}

/** A new key, and the request to have it signed for `hosts` (base64url of its DER). */
async function requestFor(hosts: readonly string[]): Promise<{ key: string; csr: string }> {
  const { pair, pem } = await makeKeys();
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    keys: pair,
    signingAlgorithm: keyAlgorithm,
    extensions: [new x509.SubjectAlternativeNameExtension(hosts.map((value) => ({ type: 'dns', value })))],
  });
  return { key: pem, csr: Buffer.from(request.rawData).toString('base64url') };
}
