/**
 * Reads nginx files as they are: a whole nginx.conf, or a site file as it stands in sites-enabled.
 *
 *   lex.ts      text to words, braces and semicolons, with their places
 *   parse.ts    words to a tree of directives
 *   walk.ts     looks each directive up in the table (table.ts, directives/*.ts), opens includes
 *   scene.ts    what the directives are gathered into: levels with their settings
 *   sites.ts    levels to sites and routes (routes.ts, steps.ts, shared.ts), with nginx's inheritance and defaults
 *   globals.ts  maps to variables, zones to limits, times of connections
 *
 * Pure: other files come through Surroundings.open. Never throws, whatever the text.
 */
import { dirname, resolve } from 'node:path';
import { createDraft } from '../draft.ts';
import type { Reader } from '../format.ts';
import type { Position } from '../problem.ts';
import type { FileSource } from '../sections/file.ts';
import type { NginxCode } from './codes.ts';
import { buildGateway, buildLimits, buildVariables } from './globals.ts';
import { type Directive, parse } from './parse.ts';
import type { Context, Level, Scene } from './scene.ts';
import { newSettings } from './settings.ts';
import { buildSites, buildUpstreams } from './sites.ts';
import { entriesOf } from './table.ts';
import { createWalk } from './walk.ts';

/** `http` for a site file, whose directives stand inside http elsewhere; `main` for a whole nginx.conf. */
export function topContext(directives: readonly Directive[]): Context & ('main' | 'http') {
  if (directives.some(({ name }) => name === 'http' || name === 'events')) return 'main';
  const onlyInside = ({ name }: Directive): boolean =>
    entriesOf(name).length > 0 && !entriesOf(name).some(({ contexts }) => contexts.includes('main'));
  return directives.some(onlyInside) ? 'http' : 'main';
}

function createScene(file: string, folder: string, isWhole: boolean, around: Scene['around']): Scene {
  const draft = createDraft<NginxCode>();
  const scene: Scene = {
    draft,
    around,
    folder,
    isWhole,
    sources: [],
    gateway: {},
    times: { headerTimeout: [], stallTimeout: [], idleTimeout: [] },
    servers: [],
    upstreams: [],
    maps: [],
    formats: new Map(),
    zones: new Map(),
    defined: new Set(),
    foreign: new Map(),
    used: new Set(),
    walk: createWalk(file, () => scene),
    error: (code, message, at, hint) => draft.report('error', code, message, at, hint),
    warning: (code, message, at, hint) => draft.report('warning', code, message, at, hint),
    instead: (topic, at, hint, shown = topic) => draft.noteOnce(topic, 'config/nginx-instead', `${shown} has no effect here`, at, hint),
  };
  return scene;
}

/** `owner` when it says anything. */
const orNothing = <T extends object, K extends string>(key: K, owner: T): Partial<Record<K, T>> =>
  Object.keys(owner).length > 0 ? ({ [key]: owner } as Record<K, T>) : {};

function assemble(scene: Scene): FileSource {
  const upstreams = buildUpstreams(scene);
  const sites = buildSites(scene);
  const variables = buildVariables(scene);
  const limits = buildLimits(scene);
  return {
    ...orNothing('gateway', buildGateway(scene)),
    ...orNothing('variables', variables),
    ...orNothing('limits', limits),
    ...orNothing('upstreams', upstreams),
    ...(sites.length > 0 ? { sites } : {}),
  };
}

/** What an nginx file amounts to in steward.yaml's shape, with every problem of it and of the files it includes. Never throws. */
export const readNginx: Reader = (source, around) => {
  const folder = dirname(resolve(source.file));
  const { directives, errors } = parse(source.file, source.text);
  const context = topContext(directives);
  const scene = createScene(source.file, folder, context === 'main', around);
  scene.sources.push(source);
  for (const { message, at, hint } of errors) scene.error('config/nginx-syntax', message, at, hint);
  const start: Position = { file: source.file, line: 1, column: 1, length: 1 };
  const top: Level = { context, at: start, settings: newSettings(), seen: new Map() };
  scene.walk(directives, top);
  const config = assemble(scene);
  return { config, origins: scene.draft.origins(config), problems: scene.draft.problems, sources: scene.sources, folder };
};

const telling = new Set(['http', 'server', 'upstream', 'events', 'location', 'map', 'stream', 'geo']);

/** Whether a text is most likely an nginx file: it has one of nginx's blocks, or starts with one of its directives. Never throws. */
export function looksLikeNginx(text: string): boolean {
  if (/^\s*<[A-Za-z/]/m.test(text) || /^\s*\[[^\]\n]+\]\s*$/m.test(text)) return false;
  const { directives } = parse('', text);
  const [first] = directives;
  if (directives.some(({ name, block }) => block !== undefined && telling.has(name))) return true;
  return (
    first !== undefined && first.args.length > 0 && /[;{]/.test(text) && (first.name === 'include' || entriesOf(first.name).length > 0)
  );
}
