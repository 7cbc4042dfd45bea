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

export const getTraffic = operation({
  name: 'getTraffic',
  method: 'GET',
  path: '/v1/gateway/traffic',
  summary: 'Requests, statuses, bytes and times by site, route and server, since the workers started; a second old at most.',
  needs: 'read',
  answer: trafficShape,
});
