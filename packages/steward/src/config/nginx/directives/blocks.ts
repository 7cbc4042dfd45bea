/** http, server, location, upstream, limit_except: the blocks that sites are made of. */

import { takeRegex } from '../arguments.ts';
import type { Directive, Word } from '../parse.ts';
import { type Call, type Entry, given, type Level, type LocationLevel, many, type ServerLevel, type UpstreamLevel } from '../scene.ts';
import { newSettings } from '../settings.ts';

/** A level with nothing in it yet. */
export const newLevel = <C extends Level['context']>(context: C, call: Call, parent: Level | undefined) =>
  ({ context, parent, at: call.directive.at, settings: newSettings(), seen: new Map() }) as const;

export const bodyOf = (call: Call): readonly Directive[] => call.directive.block ?? [];

function readServer(call: Call): void {
  const server: ServerLevel = { ...newLevel('server', call, call.level), listens: [], names: [], locations: [] };
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
  const upstream: UpstreamLevel = {
    ...newLevel('upstream', call, undefined),
    name: given(name, { at }),
    servers: [],
    hashKeys: [],
    rules: {},
  };
  call.scene.walk(bodyOf(call), upstream);
  if (upstream.servers.length === 0 && !upstream.seen.has('server')) {
    call.scene.error('config/nginx-value', `upstream "${name}" has no server`, at, 'Add lines such as server 127.0.0.1:8080;');
  }
  if (earlier === undefined && upstream.servers.length > 0) call.scene.upstreams.push(upstream);
}

interface LocationWords {
  readonly modifier: string;
  readonly text: string;
  readonly at: Word['at'];
}

/** `= /x`, `=/x`, `~* \.png$` and the like, taken apart: the modifier may stand alone or touch the path. */
function splitLocation(call: Call): LocationWords | undefined {
  const [first, second] = call.args as [Word, Word?];
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

const isDuplicate = (one: LocationLevel, other: LocationLevel): boolean =>
  one.kind !== 'regex' && one.kind === other.kind && one.text === other.text;

/** Why nginx does not allow a location of this kind inside `outer`, or undefined. */
function nestingMistake(kind: LocationLevel['kind'], text: string, outer: LocationLevel): string | undefined {
  if (outer.kind === 'exact') return `it stands inside "${outer.path.value}", which is one exact path`;
  if (outer.kind === 'named') return `it stands inside the named location "${outer.path.value}"`;
  if (kind === 'named') return 'a named location can only stand in server';
  return kind !== 'regex' && !text.startsWith(outer.text) ? `it is outside "${outer.path.value}", in which it stands` : undefined;
}

type Kind = { readonly kind: LocationLevel['kind']; readonly text: string; readonly shown: string };

/** What a location matches, or undefined when it cannot be read. */
function kindOf(call: Call, { modifier, text, at }: LocationWords): Kind | undefined {
  const { scene } = call;
  if (modifier === '' && text.startsWith('@')) return { kind: 'named', text: text.slice(1), shown: text };
  if (modifier === '~' || modifier === '~*') {
    const mistake = takeRegex(scene, text);
    if (mistake === undefined) return { kind: 'regex', text, shown: `${modifier} ${text}` };
    const message = `location: "${text}" is not a regular expression Steward can read: ${mistake}`;
    scene.error('config/nginx-value', message, at, 'Write it as JavaScript reads it too.');
    return undefined;
  }
  if (text.startsWith('/')) return { kind: modifier === '=' ? 'exact' : 'prefix', text, shown: `${modifier} ${text}`.trim() };
  scene.warning('config/nginx-never-used', `location "${text}" answers nothing: every path starts with /`, at, `Write /${text}.`);
  return undefined;
}

function readLocation(call: Call<ServerLevel | LocationLevel>): void {
  const split = splitLocation(call);
  const kind = split && kindOf(call, split);
  if (split === undefined || kind === undefined) return;
  const { scene, level } = call;
  const { at } = split;
  const mistake = 'kind' in level ? nestingMistake(kind.kind, kind.text, level) : undefined;
  if (mistake !== undefined) {
    scene.error('config/nginx-value', `location "${kind.shown}" cannot be: ${mistake}`, at, 'Move it out, into the server.');
    return;
  }
  const location: LocationLevel = {
    ...newLevel('location', call, level),
    kind: kind.kind,
    text: kind.text,
    path: given(kind.shown, { at }),
    locations: [],
  };
  scene.walk(bodyOf(call), location);
  const earlier = level.locations.find((other) => isDuplicate(other, location));
  if (earlier === undefined) level.locations.push(location);
  else {
    const message = `location "${location.path.value}" stands twice, first on line ${earlier.path.at.line}`;
    scene.error('config/nginx-duplicate', message, at, 'Put both into one block.');
  }
}

const methods = /^(GET|HEAD|POST|PUT|DELETE|MKCOL|COPY|MOVE|OPTIONS|PROPFIND|PROPPATCH|LOCK|UNLOCK|PATCH)$/i;

function readExcept(call: Call): void {
  const wrong = call.args.find((word) => !methods.test(word.text));
  if (wrong !== undefined) {
    call.scene.error('config/nginx-value', `limit_except: "${wrong.text}" is not a method`, wrong.at, 'Write methods such as GET POST.');
    return;
  }
  const level = newLevel('limit_except', call, call.level);
  call.scene.walk(bodyOf(call), level);
  const given = call.args.map((word) => word.text.toUpperCase());
  call.level.settings.except = { methods: given, level, at: call.directive.at };
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
  {
    name: 'location',
    contexts: ['server', 'location'],
    args: [1, 2],
    block: true,
    read: (call) => readLocation(call as Call<ServerLevel | LocationLevel>),
  },
  { name: 'limit_except', contexts: ['location'], args: [1, many], block: true, once: true, read: readExcept },
];
