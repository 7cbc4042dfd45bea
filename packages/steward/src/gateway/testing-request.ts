/** A request for tests of what is worked out from one: every fact has a value that can be told apart. */

import type { Rewritable } from './rules/steps.ts';
import { parseTarget } from './target.ts';

type Facts = Partial<Omit<Rewritable, 'header' | 'sentHeader' | 'upstreamHeader' | 'upstreamCookies'>>;

export interface TestRequest extends Facts {
  /** Path and query, as sent. */
  readonly url?: string;
  /** By lowercase name. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly sent?: Readonly<Record<string, string>>;
  readonly received?: Readonly<Record<string, string>>;
  readonly setCookies?: readonly string[];
}

/** @throws when `url` is no path. */
export function requestOf({ url = '/', headers = {}, sent = {}, received = {}, setCookies = [], ...facts }: TestRequest): Rewritable {
  const target = parseTarget(url);
  if (target === undefined) throw new Error(`not a path: ${url}`);
  return {
    host: 'example.com',
    hostLabel: '',
    httpHost: 'example.com:8080',
    remoteAddress: '10.0.0.1',
    remotePort: 50_001,
    peerAddress: '10.0.0.2',
    peerPort: 50_002,
    proxyProtocolAddress: '',
    proxyProtocolPort: 0,
    scheme: 'http',
    serverAddress: '127.0.0.1',
    serverPort: 8080,
    serverName: 'site',
    method: 'GET',
    protocol: 'HTTP/1.1',
    requestLine: `GET ${url} HTTP/1.1`,
    requestUri: url,
    path: target.path,
    args: target.query.slice(1),
    rewritten: false,
    prefixGone: false,
    searches: 0,
    remoteUser: '',
    requestId: '0123456789abcdef0123456789abcdef',
    traceparent: '00-0123456789abcdef0123456789abcdef-0123456789abcdef-01',
    requestLength: 100,
    startedAtMs: performance.now(),
    connectionNumber: 7,
    connectionRequests: 1,
    pipelined: false,
    completed: false,
    status: 0,
    bytesSent: 0,
    bodyBytesSent: 0,
    proxyHost: '',
    proxyPort: '',
    documentRoot: '/srv/www',
    realpathRoot: '/srv/release',
    requestFilename: '/srv/www/index.html',
    vars: undefined,
    header: (name) => headers[name] ?? '',
    sentHeader: (name) => sent[name] ?? '',
    upstreamHeader: (name) => received[name] ?? '',
    upstreamCookies: () => setCookies,
    tlsValue: (name) => `of ${name}`,
    upstreamValue: (name) => `of ${name}`,
    ...facts,
  };
}
