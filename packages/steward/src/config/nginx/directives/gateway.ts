/** What becomes of nginx's own processes: user, workers, the connections of clients, logs. */

import type { Given } from '../../draft.ts';
import type { GatewaySource } from '../../sections/site.ts';
import { formatDuration } from '../../units.ts';
import { badValue, type Call, type Context, type Entry, firstArg, given, many } from '../scene.ts';
import { parseCount, parseTime } from '../values.ts';

const anywhere: readonly Context[] = ['http', 'server', 'location'];

function readUser(call: Call): void {
  const word = firstArg(call);
  call.scene.draft.set(call.scene.gateway, 'user', given(word.text, word));
}

function readWorkers(call: Call): void {
  const word = firstArg(call);
  if (word.text === 'auto') return;
  const count = parseCount(word.text);
  if (count === undefined || count < 1) badValue(call, word, 'a number of workers', 'Write a number or auto.');
  else call.scene.draft.set(call.scene.gateway, 'workers', given(Math.min(count, 256), word));
}

/** The gateway has one such time for all sites: a second, different one is reported. */
function setTime(call: Call, key: keyof GatewaySource & ('headerTimeout' | 'stallTimeout' | 'idleTimeout')): void {
  const word = firstArg(call);
  const { scene, directive } = call;
  const ms = parseTime(word.text);
  if (ms === undefined) {
    badValue(call, word, 'a time', 'Write a number with ms, s, m, h or d, such as 30s.');
    return;
  }
  const time: Given<string> = given(formatDuration(ms), word);
  if (scene.gateway[key] === undefined) scene.draft.set(scene.gateway, key, time);
  else if (scene.gateway[key] !== time.value) {
    const hint = `Steward has one for all sites and keeps ${scene.gateway[key]}.`;
    scene.warning('config/nginx-not-taken-over', `${directive.name} "${word.text}" differs from the one above`, word.at, hint);
  }
}

const logHint = 'Steward writes one line for each request to its own log: `steward logs gateway`.';

function readAccessLog(call: Call): void {
  const { scene, level, directive } = call;
  if (firstArg(call).text !== 'off') scene.instead('access_log', directive.at, logHint);
  else if (level.context === 'http') scene.draft.set(scene.gateway, 'accessLog', given(false, firstArg(call)));
  else scene.instead('access_log off', directive.at, 'Steward logs the requests of all sites or of none: gateway.accessLog.');
}

export const gatewayEntries: readonly Entry[] = [
  { name: 'user', contexts: ['main'], args: [1, 2], once: true, read: readUser },
  { name: 'worker_processes', contexts: ['main'], args: [1, 1], once: true, read: readWorkers },
  { name: 'client_header_timeout', contexts: ['http', 'server'], args: [1, 1], once: true, read: (call) => setTime(call, 'headerTimeout') },
  { name: 'client_body_timeout', contexts: anywhere, args: [1, 1], once: true, read: (call) => setTime(call, 'stallTimeout') },
  { name: 'keepalive_timeout', contexts: anywhere, args: [1, 2], once: true, read: (call) => setTime(call, 'idleTimeout') },
  { name: 'access_log', contexts: anywhere, args: [1, many], read: readAccessLog },
  {
    name: 'log_format',
    contexts: ['http'],
    args: [2, many],
    read: ({ scene, directive }) => scene.instead('access_log', directive.at, logHint),
  },
];
