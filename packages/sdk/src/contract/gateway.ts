/** Operations on the gateway: what goes through it. */
import { type Static, Type } from 'typebox';
import { operation } from './operation.ts';

const count = (description: string) => Type.Integer({ minimum: 0, description });

const answersShape = Type.Array(Type.Integer({ minimum: 0 }), {
  minItems: 5,
  maxItems: 5,
  description: 'by first digit of the status: 1xx, 2xx, 3xx, 4xx, 5xx',
});

const routeTrafficShape = Type.Object({
  route: Type.String({ description: 'its path as configured; - for what no route answered' }),
  requests: count('answered since the workers started'),
  answers: answersShape,
  bytesSent: count('bytes of bodies'),
  took: Type.Array(Type.Array(Type.Number(), { minItems: 2, maxItems: 2 }), {
    description: 'histogram of the time to the end of the answer: [longest time in milliseconds, requests], without empty ones',
  }),
});

const serverTrafficShape = Type.Object({
  upstream: Type.String(),
  server: Type.String({ description: 'unix:/path or host:port' }),
  requests: count('it was given'),
  failures: count('it did not answer'),
  active: count('under way'),
});

export const trafficShape = Type.Object({
  at: Type.String({ format: 'date-time' }),
  workers: count('that are connected'),
  requests: count('begun'),
  active: count('under way'),
  connections: count('open'),
  connectionsAccepted: count('since the workers started'),
  answers: answersShape,
  aborted: count('clients that left before the end of their answer'),
  malformed: count('what came in and was no request'),
  bytesSent: count('bytes of bodies'),
  bytesReceived: count('bytes of bodies'),
  logLinesDropped: count('of access logs that nobody read'),
  sites: Type.Array(Type.Object({ site: Type.String(), routes: Type.Array(routeTrafficShape) })),
  servers: Type.Array(serverTrafficShape),
});

/** What went through the gateway since its workers started, summed over them. */
export type Traffic = Static<typeof trafficShape>;
export type RouteTraffic = Static<typeof routeTrafficShape>;

export const certificateShape = Type.Object({
  subject: Type.String(),
  issuer: Type.String(),
  names: Type.Array(Type.String(), { description: 'hosts it is for' }),
  from: Type.String({ format: 'date-time' }),
  until: Type.String({ format: 'date-time' }),
  days: Type.Integer({ description: 'until it is no longer good; negative afterwards' }),
  fingerprint: Type.String({ description: 'SHA-256, hexadecimal' }),
});

export const siteInfoShape = Type.Object(
  {
    hosts: Type.Array(Type.String(), { description: 'empty for any' }),
    listen: Type.Array(Type.String()),
    tls: Type.Unsafe<'none' | 'internal' | 'acme' | 'files'>({ enum: ['none', 'internal', 'acme', 'files'] }),
    certificate: Type.Optional(certificateShape),
    routes: Type.Array(Type.Object({ path: Type.String(), does: Type.String({ description: 'for people' }) })),
  },
  { description: 'What is served under some host names.' },
);
export type SiteInfo = Static<typeof siteInfoShape>;

export const listSites = operation({
  name: 'listSites',
  method: 'GET',
  path: '/v1/sites',
  summary: 'The sites of the gateway with their routes and the certificates they are served with.',
  needs: 'read',
  about: 'each',
  answer: Type.Object({ sites: Type.Array(siteInfoShape) }),
});

export const getTraffic = operation({
  name: 'getTraffic',
  method: 'GET',
  path: '/v1/gateway/traffic',
  summary: 'Requests, statuses, bytes and times by site, route and server, since the workers started; a second old at most.',
  needs: 'read',
  answer: trafficShape,
});
