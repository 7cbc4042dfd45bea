/**
 * Reads Apache files as they are: a whole apache2.conf or a file of sites-enabled.
 *
 *   lex.ts        text to lines and words, with their places
 *   parse.ts      lines to a tree of directives and sections
 *   walk.ts       looks each directive up in the table (table.ts, directives/*.ts), opens includes
 *   scene.ts      what the directives are gathered into: servers with their settings
 *   listeners.ts  which virtual host answers on which address
 *   routes.ts     ProxyPass, Redirect and DocumentRoot as routes
 *
 * Pure: other files come through Surroundings.open. Never throws, whatever the text.
 */
import { dirname, resolve } from 'node:path';
import { createDraft, type Given } from '../draft.ts';
import type { Reader } from '../format.ts';
import type { FileSource } from '../sections/file.ts';
import type { SiteSource } from '../sections/site.ts';
import { formatSize } from '../units.ts';
import type { ApacheCode } from './codes.ts';
import { type Placement, placeServers, speaksTls } from './listeners.ts';
import { parse } from './parse.ts';
import { routesOf } from './routes.ts';
import { given, inherited, newSettings, type Scene } from './scene.ts';
import { entryOf } from './table.ts';
import { createWalk, createWordsOf } from './walk.ts';

/** The limit of Apache 2.4.53 and later; older ones have none. */
const apacheMaxBody = 1024 ** 3;

function createScene(file: string, around: Scene['around']): Scene {
  const draft = createDraft<ApacheCode>();
  const at = { file, line: 1, column: 1, length: 1 };
  const sceneOf = (): Scene => scene;
  const scene: Scene = {
    draft,
    around,
    folder: dirname(resolve(file)),
    sources: [],
    gateway: {},
    main: { settings: newSettings(), at, addresses: [] },
    hosts: [],
    listens: [],
    defined: new Map(),
    walk: createWalk(file, sceneOf),
    wordsOf: createWordsOf(sceneOf),
    error: (code, message, where, hint) => draft.report('error', code, message, where, hint),
    warning: (code, message, where, hint) => draft.report('warning', code, message, where, hint),
    note: (topic, code, message, where, hint) => draft.noteOnce(topic, code, message, where, hint),
    instead: (topic, where, hint, shown = topic) =>
      draft.noteOnce(topic, 'config/apache-instead', `${shown} has no effect here`, where, hint),
  };
  return scene;
}

function setList(site: Partial<SiteSource>, key: 'hosts' | 'listen', values: readonly Given<string | number>[], scene: Scene): void {
  const list = values.map(({ value }) => value);
  Object.assign(site, { [key]: list });
  values.forEach(({ at }, index) => {
    scene.draft.place(list, index, at);
  });
}

/** Two files, three files with the chain apart, or one file that holds certificate and key. */
function setTls(site: Partial<SiteSource>, { server }: Placement, scene: Scene): void {
  const cert = inherited(server, 'cert');
  if (cert === undefined) {
    const at = inherited(server, 'ssl')?.at ?? server.at;
    scene.error(
      'config/apache-certificate',
      'SSLEngine On has no SSLCertificateFile',
      at,
      'Name the files: SSLCertificateFile and SSLCertificateKeyFile.',
    );
    return;
  }
  const tls: { cert: string; key: string; chain?: string } = { cert: '', key: '' };
  scene.draft.set(tls, 'cert', cert);
  scene.draft.set(tls, 'key', inherited(server, 'key') ?? cert);
  scene.draft.set(tls, 'chain', inherited(server, 'chain'));
  site.tls = tls;
}

function buildSite(placement: Placement, scene: Scene): SiteSource {
  const { server, hosts, listens } = placement;
  const site: Partial<SiteSource> = {};
  scene.draft.place(site, undefined, server.at);
  if (hosts.length > 0) setList(site, 'hosts', hosts, scene);
  const addresses = listens.map((listen) => given(listen.host === undefined ? listen.port : `${listen.host}:${listen.port}`, listen));
  setList(site, 'listen', addresses, scene);
  if (speaksTls(server)) setTls(site, placement, scene);
  const maxBody = inherited(server, 'maxBody');
  if (maxBody === undefined) site.maxBody = formatSize(apacheMaxBody);
  else scene.draft.set(site, 'maxBody', given(formatSize(maxBody.value), maxBody));
  const { name } = server.settings;
  if (name !== undefined && name.value !== hosts[0]?.value) scene.draft.set(site, 'serverName', name);
  const routes = routesOf(server, scene);
  if (routes.length === 0) {
    scene.warning(
      'config/apache-value',
      'this server names neither a folder nor a program; all its requests get 404',
      server.at,
      'Give it ProxyPass or DocumentRoot.',
    );
  }
  return Object.assign(site, { routes });
}

/** What an Apache file amounts to in steward.yaml's shape, with every problem of it and of the files it includes. Never throws. */
export const readApache: Reader = (source, around) => {
  const scene = createScene(source.file, around);
  scene.sources.push(source);
  const { directives, errors } = parse(source.file, source.text);
  for (const { message, at, hint } of errors) scene.error('config/apache-syntax', message, at, hint);
  scene.walk(directives, scene.main);
  const sites = placeServers(scene).map((placement) => buildSite(placement, scene));
  const config: FileSource = {
    ...(Object.keys(scene.gateway).length > 0 ? { gateway: scene.gateway } : {}),
    ...(sites.length > 0 ? { sites } : {}),
  };
  return { config, origins: scene.draft.origins(config), problems: scene.draft.problems, sources: scene.sources, folder: scene.folder };
};

/** Whether a text is most likely an Apache file: it has one of Apache's sections, or starts with one of its directives. Never throws. */
export function looksLikeApache(text: string): boolean {
  if (/^\s*<[?!]/.test(text)) return false;
  const { directives } = parse('', text);
  if (directives.some(({ name, block }) => block !== undefined && entryOf(name)?.section === true)) return true;
  const [first] = directives;
  const isKnown =
    first !== undefined && first.block === undefined && (entryOf(first.name) !== undefined || /^Include(Optional)?$/.test(first.name));
  return isKnown && /^[A-Z]/.test(first.name) && first.to > first.from && !/[;{]\s*$/.test(first.line.text);
}
