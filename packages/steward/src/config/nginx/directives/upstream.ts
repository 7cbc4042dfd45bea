/** The servers of an upstream block (https://nginx.org/en/docs/http/ngx_http_upstream_module.html#server). */

import type { ServerSource } from '../../sections/site.ts';
import { formatDuration } from '../../units.ts';
import type { Word } from '../parse.ts';
import { type Call, type Context, type Entry, given, many, type UpstreamLevel } from '../scene.ts';
import { parseCount, parseHostPort, parseTime } from '../values.ts';

/** `host:port` with nginx's default port 80, or `unix:/path`; undefined when it is neither. */
export function serverAddress(text: string, port = 80): string | undefined {
  if (text.startsWith('unix:')) return text.startsWith('unix:/') ? text : undefined;
  const parsed = parseHostPort(text);
  return parsed === undefined || /^\d+$/.test(parsed.host) ? undefined : `${parsed.host}:${parsed.port ?? port}`;
}

type Reader = (value: string) => Partial<ServerSource> | undefined;

const number = (key: 'weight' | 'maxFails', least: number, value: string): Partial<ServerSource> | undefined => {
  const count = parseCount(value, 65535);
  return count === undefined || count < least ? undefined : { [key]: count };
};

const parameters: Readonly<Record<string, Reader>> = {
  weight: (value) => number('weight', 1, value),
  max_fails: (value) => number('maxFails', 0, value),
  fail_timeout: (value) => {
    const ms = parseTime(value, 'seconds');
    return ms === undefined ? undefined : { failTimeout: formatDuration(ms) };
  },
};

const later = /^(max_conns=\d+|slow_start=.+|route=.+|service=.+|resolve|drain)$/;

function readParameter(call: Call, word: Word): Partial<ServerSource> {
  if (word.text === 'backup' || word.text === 'down') return { [word.text]: true };
  const [, name = '', value = ''] = /^(\w+)=(.*)$/.exec(word.text) ?? [];
  const found = Object.hasOwn(parameters, name) ? parameters[name]?.(value) : undefined;
  if (found !== undefined) return found;
  if (later.test(word.text)) {
    const hint = 'Leave it out, or keep the limit in the program behind.';
    call.scene.warning('config/nginx-not-taken-over', `server: "${word.text}" is not taken over`, word.at, hint);
  } else {
    const hint = 'Known are weight=2, max_fails=3, fail_timeout=30s, backup and down.';
    call.scene.error('config/nginx-value', `server: "${word.text}" is not a parameter of an upstream's server`, word.at, hint);
  }
  return {};
}

function readUpstreamServer(call: Call<UpstreamLevel>): void {
  const [word, ...words] = call.args as [Word, ...Word[]];
  const to = serverAddress(word.text);
  const options = Object.assign({}, ...words.map((parameter) => readParameter(call, parameter))) as Partial<ServerSource>;
  if (to === undefined) {
    call.scene.error('config/nginx-value', `server: "${word.text}" is not an address`, word.at, 'Write host:port or unix:/path/to.sock.');
    return;
  }
  call.level.servers.push(given(Object.keys(options).length === 0 ? to : { to, ...options }, word));
}

const balancer = (name: string): Entry => ({
  name,
  contexts: ['upstream'],
  args: [0, many],
  read: ({ scene, directive }) =>
    scene.warning(
      'config/nginx-not-taken-over',
      `${name} is not taken over: Steward hands requests round in turn`,
      directive.at,
      'Remove it if turn by turn is fine.',
    ),
});

const needless = (name: string, contexts: readonly Context[] = ['upstream']): Entry => ({
  name,
  contexts,
  args: [0, many],
  read: () => {},
});

export const upstreamEntries: readonly Entry[] = [
  { name: 'server', contexts: ['upstream'], args: [1, many], read: (call) => readUpstreamServer(call as Call<UpstreamLevel>) },
  ...['least_conn', 'ip_hash', 'hash', 'random', 'sticky', 'least_time'].map(balancer),
  ...['zone', 'keepalive', 'keepalive_requests', 'keepalive_time', 'keepalive_timeout'].map((name) => needless(name)),
];
