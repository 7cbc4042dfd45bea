/** http, server, location, upstream and the `if` that redirects a host: the blocks that sites are made of. */

import type { Directive } from '../parse.ts';
import {
  type Call,
  type Entry,
  given,
  type Level,
  type LocationLevel,
  many,
  newSettings,
  type ServerLevel,
  type UpstreamLevel,
} from '../scene.ts';
import { regexError } from '../values.ts';
import { readReturn } from './answers.ts';

const newLevel = <C extends Level['context']>(context: C, call: Call, parent: Level | undefined) =>
  ({ context, parent, at: call.directive.at, settings: newSettings(), seen: new Map() }) as const;

const bodyOf = (call: Call): readonly Directive[] => call.directive.block ?? [];

function readServer(call: Call): void {
  const server: ServerLevel = { ...newLevel('server', call, call.level), listens: [], names: [], locations: [], hostAnswers: [] };
  call.scene.servers.push(server);
  call.scene.walk(bodyOf(call), server);
}

function readUpstream(call: Call): void {
  const name = call.args[0]?.text ?? '';
  const at = call.args[0]?.at ?? call.directive.at;
  const earlier = call.scene.upstreams.find((upstream) => upstream.name.value.toLowerCase() === name.toLowerCase());
  if (earlier !== undefined) {
    call.scene.error(
      'config/nginx-duplicate',
      `upstream "${name}" stands twice, first on line ${earlier.name.at.line}`,
      at,
      'Give one of them another name.',
    );
  }
  const upstream: UpstreamLevel = { ...newLevel('upstream', call, undefined), name: given(name, { at }), servers: [] };
  call.scene.walk(bodyOf(call), upstream);
  if (upstream.servers.length === 0 && !upstream.seen.has('server')) {
    call.scene.error('config/nginx-value', `upstream "${name}" has no server`, at, 'Add lines such as server 127.0.0.1:8080;');
  }
  if (earlier === undefined && upstream.servers.length > 0) call.scene.upstreams.push(upstream);
}

/** `= /x`, `=/x`, `~* \.png$` and the like, taken apart: the modifier may stand alone or touch the path. */
function splitLocation(call: Call): { modifier: string; text: string; at: Call['directive']['at'] } | undefined {
  const [first, second] = call.args as [Call['args'][number], Call['args'][number]?];
  if (second !== undefined) {
    if (['=', '~', '~*', '^~'].includes(first.text)) return { modifier: first.text, text: second.text, at: second.at };
    call.scene.error(
      'config/nginx-value',
      `location: "${first.text}" is not a modifier`,
      first.at,
      'Use =, ~, ~* or ^~, or the path alone.',
    );
    return undefined;
  }
  const [, modifier = '', text = ''] = /^(=|~\*|~|\^~)?([\s\S]*)$/.exec(first.text) ?? [];
  return { modifier, text, at: first.at };
}

const locationKinds: Readonly<Record<string, LocationLevel['kind']>> = { '=': 'exact', '~': 'regex', '~*': 'regex' };

function isDuplicate(one: LocationLevel, other: LocationLevel): boolean {
  return one.kind !== 'regex' && one.kind === other.kind && one.text === other.text;
}

function readLocation(call: Call<ServerLevel>): void {
  const split = splitLocation(call);
  if (split === undefined) return;
  const { modifier, text, at } = split;
  const { scene, level } = call;
  if (modifier === '' && text.startsWith('@')) {
    scene.warning(
      'config/nginx-not-taken-over',
      `location ${text}: named locations are not taken over yet`,
      at,
      'Write its content into a location with a path.',
    );
    return;
  }
  const kind = locationKinds[modifier] ?? 'prefix';
  if (kind !== 'regex' && !text.startsWith('/')) {
    scene.warning('config/nginx-never-used', `location "${text}" answers nothing: every path starts with /`, at, `Write /${text}.`);
    return;
  }
  const broken = kind === 'regex' ? regexError(text) : undefined;
  if (broken !== undefined) {
    scene.error(
      'config/nginx-value',
      `location: "${text}" is not a regular expression Steward can read: ${broken}`,
      at,
      'Write it as JavaScript reads it too.',
    );
    return;
  }
  const path = given(modifier === '' ? text : `${modifier} ${text}`, { at });
  const location: LocationLevel = { ...newLevel('location', call, level), kind, text, path };
  scene.walk(bodyOf(call), location);
  const earlier = level.locations.find((other) => isDuplicate(other, location));
  if (earlier === undefined) level.locations.push(location);
  else
    scene.error(
      'config/nginx-duplicate',
      `location "${path.value}" stands twice, first on line ${earlier.path.at.line}`,
      at,
      'Put both into one block.',
    );
}

function readNested(call: Call): void {
  const text = call.args.map((word) => word.text).join(' ');
  const hint = 'Move it out, beside the location it stands in, and repeat there what it inherits.';
  call.scene.error(
    'config/nginx-not-taken-over',
    `location ${text}: a location inside a location is not taken over yet`,
    call.directive.at,
    hint,
  );
}

/** certbot's `if ($host = name) { return 301 https://$host$request_uri; }`; any other condition is left out aloud. */
function readIf(call: Call): void {
  const words = call.args.map((word) => word.text).join(' ');
  const [, host] = /^\( ?\$host = "?([^\s"()$]+)"? ?\)$/.exec(words) ?? [];
  const [only, ...more] = bodyOf(call);
  if (host !== undefined && call.level.context === 'server' && only?.name === 'return' && more.length === 0 && only.args.length > 0) {
    const answer = readReturn({ ...call, directive: only, args: only.args });
    if (answer !== undefined) (call.level as ServerLevel).hostAnswers.push({ host: host.toLowerCase(), answer });
    return;
  }
  const hint = 'Steward has no conditions: use a site for a host, a route for a path.';
  call.scene.warning('config/nginx-not-taken-over', `"if ${words}" is not taken over`, call.directive.at, hint);
}

export const blockEntries: readonly Entry[] = [
  {
    name: 'http',
    contexts: ['main'],
    args: [0, 0],
    block: true,
    once: true,
    read: (call) => call.scene.walk(bodyOf(call), { ...call.level, context: 'http', seen: new Map() }),
  },
  { name: 'server', contexts: ['http'], args: [0, 0], block: true, read: readServer },
  { name: 'upstream', contexts: ['http'], args: [1, 1], block: true, read: readUpstream },
  { name: 'location', contexts: ['server'], args: [1, 2], block: true, read: (call) => readLocation(call as Call<ServerLevel>) },
  { name: 'location', contexts: ['location'], args: [1, 2], block: true, read: readNested },
  { name: 'if', contexts: ['server', 'location'], args: [1, many], block: true, read: readIf },
];
