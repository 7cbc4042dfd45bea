/** The gateway's counters as a page: in the form of nginx's stub_status, or all of them as JSON. Of the worker that answers. */
import type { Counting } from './counting.ts';
import type { Exchange } from './exchange.ts';
import type { Upstreams } from './upstream/upstreams.ts';

export function statusPage(
  exchange: Exchange,
  form: 'stub' | 'json',
  counting: Counting,
  upstreams: ReturnType<Upstreams['counts']>,
): void {
  if (exchange.method !== 'GET' && exchange.method !== 'HEAD') return exchange.respondPage(405, ['Allow', 'GET, HEAD']);
  if (form === 'json')
    return exchange.respond(200, ['Content-Type', 'application/json'], `${JSON.stringify(counting.counts(upstreams, 0))}\n`);
  const { connections, connectionsAccepted, requests, active } = counting;
  const text =
    `Active connections: ${connections} \nserver accepts handled requests\n ${connectionsAccepted} ${connectionsAccepted} ${requests} \n` +
    `Reading: 0 Writing: ${active} Waiting: ${Math.max(0, connections - active)} \n`;
  exchange.respond(200, ['Content-Type', 'text/plain'], text);
}
