/** What becomes of nginx's own processes: user, workers, the connections of clients, logs. */

import { formatSize } from '../../units.ts';
import { isText, readCount, readFlag, readSize, readTime } from '../arguments.ts';
import type { Word } from '../parse.ts';
import { anywhere, badValue, type Call, type Context, type Entry, firstArg, given, many, notTaken, type SharedTime } from '../scene.ts';
import { parseBytes, parseCount, parseTime } from '../values.ts';

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

/** The gateway has one such time for all sites: the largest of them, chosen once all are read. */
function addTime(call: Call, key: SharedTime): void {
  const word = firstArg(call);
  const ms = readTime(call, word);
  if (ms !== undefined) call.scene.times[key].push({ ms, word, directive: call.directive.name });
}

/** nginx's limit of all headers together is that of one times their number, and the first buffer. */
function readHeaderBuffers(call: Call): void {
  const [number, each] = call.args as [Word, Word];
  const count = readCount(call, number, 1, 1024);
  const bytes = readSize(call, each);
  if (count === undefined || bytes === undefined) return;
  const { gateway, draft } = call.scene;
  const known = Number(parseBytes(String(gateway.maxHeaders ?? '').replace(/B$/, '')) ?? 0);
  if (count * bytes > known) draft.set(gateway, 'maxHeaders', given(formatSize(count * bytes), each));
}

function readHttp2(call: Call): void {
  const flag = readFlag(call);
  if (flag !== undefined && call.scene.gateway.http2 !== true) call.scene.draft.set(call.scene.gateway, 'http2', flag);
}

/** Sets file, format and condition of an access_log; `buffer`, `gzip` and `flush` only tune nginx. */
function readAccessLog(call: Call): void {
  const [target, ...words] = call.args as [Word, ...Word[]];
  const { scene, level } = call;
  const { logs } = level.settings;
  if (target.text === 'off') {
    if (words.length > 0) badValue(call, words[0] as Word, 'allowed behind off', 'Write access_log off;');
    logs.push({ off: target.at });
    return;
  }
  if (/^(syslog:|memory:)/.test(target.text)) {
    notTaken(call, `access_log "${target.text}"`, target.at, 'Write it to a file, or read `steward logs gateway`.');
    return;
  }
  if (!isText(call, target)) return;
  const file = /^\/dev\/(stdout|stderr)$/.test(target.text) ? undefined : target.text;
  const [format] = words.filter((word) => !/^(if|buffer|gzip|flush)(=|$)/.test(word.text));
  const condition = words.find((word) => word.text.startsWith('if='));
  const tuning = words.find((word) => /^(buffer|gzip|flush)(=|$)/.test(word.text));
  if (tuning !== undefined) scene.instead('access_log buffer', tuning.at, 'Steward writes log lines in groups by itself.', tuning.text);
  if (format !== undefined && format !== words[0]) badValue(call, format, 'a parameter', 'Write the format right behind the path.');
  logs.push({
    ...(file === undefined ? {} : { file }),
    ...(format === undefined ? {} : { format: given(format.text, format) }),
    ...(condition === undefined ? {} : { when: condition.text.slice(3) }),
    at: target.at,
  });
}

/** https://nginx.org/en/docs/http/ngx_http_log_module.html#log_format */
function readLogFormat(call: Call): void {
  const [name, ...words] = call.args as [Word, ...Word[]];
  const { scene } = call;
  const [, escaping] = /^escape=(.*)$/.exec(words[0]?.text ?? '') ?? [];
  if (escaping !== undefined && escaping !== 'default' && escaping !== 'json' && escaping !== 'none') {
    badValue(call, words[0] as Word, 'a way to escape', 'Write escape=default, escape=json or escape=none.');
    return;
  }
  const parts = escaping === undefined ? words : words.slice(1);
  const [first] = parts;
  if (scene.formats.has(name.text) || name.text === 'combined')
    scene.error('config/nginx-duplicate', `log_format "${name.text}" stands twice`, name.at, 'Give it another name.');
  else if (first !== undefined && parts.every((word) => isText(call, word)))
    scene.formats.set(name.text, {
      text: given(parts.map((word) => word.text).join(''), first),
      escape: (escaping ?? 'default') as 'default',
    });
}

const logPlaces: readonly Context[] = [...anywhere, 'if', 'limit_except'];

export const gatewayEntries: readonly Entry[] = [
  { name: 'user', contexts: ['main'], args: [1, 2], once: true, read: readUser },
  { name: 'worker_processes', contexts: ['main'], args: [1, 1], once: true, read: readWorkers },
  { name: 'client_header_timeout', contexts: ['http', 'server'], args: [1, 1], once: true, read: (call) => addTime(call, 'headerTimeout') },
  { name: 'client_body_timeout', contexts: anywhere, args: [1, 1], once: true, read: (call) => addTime(call, 'stallTimeout') },
  { name: 'send_timeout', contexts: anywhere, args: [1, 1], once: true, read: (call) => addTime(call, 'stallTimeout') },
  {
    name: 'keepalive_timeout',
    contexts: anywhere,
    args: [1, 2],
    once: true,
    read: (call) => {
      addTime(call, 'idleTimeout');
      const second = call.args[1];
      if (second !== undefined && parseTime(second.text) === undefined) readTime(call, second);
    },
  },
  { name: 'large_client_header_buffers', contexts: ['http', 'server'], args: [2, 2], once: true, read: readHeaderBuffers },
  { name: 'client_header_buffer_size', contexts: ['http', 'server'], args: [1, 1], once: true, read: (call) => void readSize(call) },
  { name: 'http2', contexts: ['http', 'server'], args: [1, 1], once: true, read: readHttp2 },
  { name: 'access_log', contexts: logPlaces, args: [1, many], read: readAccessLog },
  { name: 'log_format', contexts: ['http'], args: [2, many], read: readLogFormat },
];
