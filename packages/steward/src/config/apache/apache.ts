/**
 * Reads Apache files as they are: a whole apache2.conf or a file of sites-enabled.
 *
 *   lex.ts        text to lines and words, with their places
 *   parse.ts      lines to a tree of directives and sections
 *   walk.ts       looks each directive up in the table (table.ts, directives/*.ts), opens includes
 *   scene.ts      what the directives are gathered into: servers with their settings
 *   listeners.ts  which virtual host answers on which address
 *   matchers.ts   which paths a directive holds for
 *   views.ts      what Apache does with a path: the first line that fits, all sections that hold
 *   routes.ts     that as routes; with access.ts, headers.ts, rewrite-steps.ts
 *
 * Pure: other files come through Surroundings.open. Never throws, whatever the text.
 */
import { dirname, resolve } from 'node:path';
import { createDraft, type Given } from '../draft.ts';
import type { Reader } from '../format.ts';
import type { FileSource } from '../sections/file.ts';
import type { SiteSource } from '../sections/site.ts';
import type { ServerSource, UpstreamSource } from '../sections/upstream.ts';
import type { ApacheCode } from './codes.ts';
import { type Placement, placeServers, speaksTls } from './listeners.ts';
import { parse } from './parse.ts';
import { routesOf } from './routes.ts';
import { given, inherited, levelOf, newServer, type Scene, type Server } from './scene.ts';
import { entryOf } from './table.ts';
import { logText } from './values.ts';
import { createWalk, createWordsOf } from './walk.ts';

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
    main: newServer(at, []),
    hosts: [],
    listens: [],
    balancers: new Map(),
    variables: {},
    logFormats: new Map(),
    defined: new Map(),
    conditions: { tests: [] },
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

type ListenSource = NonNullable<SiteSource['listen']>[number];

function setList(site: Partial<SiteSource>, key: 'hosts' | 'listen', values: readonly Given<ListenSource>[], scene: Scene): void {
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

function setClientCertificates(site: Partial<SiteSource>, server: Server, scene: Scene): void {
  const mode = inherited(server, 'clientMode');
  if (mode === undefined || mode.value === 'none') return;
  const ca = inherited(server, 'clientCa');
  if (ca === undefined) {
    const hint = 'Name the file of the authorities with SSLCACertificateFile.';
    scene.error('config/apache-certificate', 'SSLVerifyClient has no SSLCACertificateFile', mode.at, hint);
    return;
  }
  const found = { ca: ca.value, mode: mode.value };
  scene.draft.place(found, 'ca', ca.at);
  scene.draft.set(site, 'clientCertificates', given(found, mode));
}

/** Without a list of proxies Apache believes everybody who sends the header. */
function setTrust(site: Partial<SiteSource>, server: Server, scene: Scene): void {
  const header = inherited(server, 'trustHeader');
  if (header === undefined) return;
  const trusted = server.own.trusted.length > 0 ? server.own.trusted : (server.main?.own.trusted ?? []);
  const from = trusted.length > 0 ? trusted.map(({ value }) => value) : ['0.0.0.0/0', '::/0'];
  if (trusted.length === 0)
    scene.warning(
      'config/apache-value',
      'RemoteIPHeader without RemoteIPTrustedProxy believes every client what its address is',
      header.at,
      'Name the proxies in front: RemoteIPTrustedProxy 10.0.0.1.',
    );
  scene.draft.set(site, 'trust', given({ from, header: header.value, recursive: true }, header));
}

type Log = Exclude<NonNullable<SiteSource['log']>, false | unknown[]>;

/** Logs of the server, else those of the main server. They are rotated by logrotate. */
function setLogs(site: Partial<SiteSource>, server: Server, scene: Scene): void {
  const lines = server.own.logs.length > 0 ? server.own.logs : (server.main?.own.logs ?? []);
  const logs = lines.map(({ file, format, at }): Log => {
    const { text, unknown, changed } = logText(format);
    if (unknown.length > 0)
      scene.warning('config/apache-not-taken-over', `the log has - for ${unknown.join(' ')}`, at, 'Steward has no such value.');
    if (changed.length > 0) scene.instead('log times', at, 'Steward writes the time in seconds, with milliseconds.', changed.join(' '));
    const combined =
      /^\$remote_addr - \$remote_user \[\$time_local\] "\$request" \$status \$\{apache_bytes\} "\$\{http_referer\}" "\$\{http_user_agent\}"$/;
    // `%b` is - where nothing was sent.
    if (text.includes('${apache_bytes}'))
      scene.variables.apache_bytes = { from: '$body_bytes_sent', cases: { '0': '-' }, default: '$body_bytes_sent' };
    const log: Log = { ...(file === undefined ? {} : { file }), format: combined.test(text) ? 'combined' : text, maxSize: 0 };
    scene.draft.place(log, undefined, at);
    return log;
  });
  const [only] = logs;
  if (only !== undefined) site.log = logs.length === 1 ? only : logs;
}

function listenSource(listen: Placement['listens'][number], proxyProtocol: boolean): Given<ListenSource> {
  const to = listen.host === undefined ? listen.port : `${listen.host}:${listen.port}`;
  return given(proxyProtocol ? { to, proxyProtocol } : to, listen);
}

function buildSite(placement: Placement, scene: Scene): SiteSource {
  const { server, hosts, listens } = placement;
  const site: Partial<SiteSource> = {};
  scene.draft.place(site, undefined, server.at);
  if (hosts.length > 0) setList(site, 'hosts', hosts, scene);
  const proxied = inherited(server, 'proxyProtocol')?.value === true;
  setList(
    site,
    'listen',
    listens.map((listen) => listenSource(listen, proxied)),
    scene,
  );
  if (speaksTls(server)) {
    setTls(site, placement, scene);
    scene.draft.set(site, 'tlsLeast', inherited(server, 'tlsLeast'));
    setClientCertificates(site, server, scene);
  }
  const { name } = server.own;
  if (name !== undefined && name.value !== hosts[0]?.value) scene.draft.set(site, 'serverName', name);
  setTrust(site, server, scene);
  setLogs(site, server, scene);
  const { routes, steps } = routesOf(server, site, scene);
  const empty = routes.every(({ status, upstream, root, files, steps: own }) => status === 404 && !upstream && !root && !files && !own);
  if (empty && steps.length === 0) {
    scene.warning(
      'config/apache-value',
      'this server names neither a folder nor a program; all its requests get 404',
      server.at,
      'Give it ProxyPass or DocumentRoot.',
    );
  }
  return Object.assign(site, steps.length > 0 ? { steps } : {}, { routes: empty && steps.length === 0 ? [] : routes });
}

/** Weights are whole numbers: load factors such as 1.5 are counted in tenths. */
function buildUpstreams(scene: Scene): Record<string, UpstreamSource> {
  const upstreams: Record<string, UpstreamSource> = {};
  for (const { name, members, rules, at } of scene.balancers.values()) {
    if (members.length === 0) {
      scene.error(
        'config/apache-value',
        `balancer://${name} has no BalancerMember`,
        at,
        `Add <Proxy balancer://${name}> with BalancerMember lines.`,
      );
      continue;
    }
    const tenths = members.some(({ weight }) => !Number.isInteger(weight)) ? 10 : 1;
    const differs = members.find(({ path, scheme }) => path !== members[0]?.path || scheme !== members[0].scheme);
    if (differs !== undefined)
      scene.warning(
        'config/apache-value',
        'the members of a balancer have different paths or schemes; those of the first are used',
        differs.at,
        'Give all members the same path and scheme.',
      );
    const servers = members.map(({ server, weight, at: stands }): ServerSource => {
      const rated = { ...server, ...(weight === 1 && tenths === 1 ? {} : { weight: Math.max(1, Math.round(weight * tenths)) }) };
      scene.draft.place(rated, undefined, stands);
      return rated;
    });
    upstreams[name] = { servers, ...rules };
    scene.draft.place(upstreams[name], undefined, at);
  }
  return upstreams;
}

/** What an Apache file amounts to in steward.yaml's shape, with every problem of it and of the files it includes. Never throws. */
export const readApache: Reader = (source, around) => {
  const scene = createScene(source.file, around);
  scene.sources.push(source);
  const { directives, errors } = parse(source.file, source.text);
  for (const { message, at, hint } of errors) scene.error('config/apache-syntax', message, at, hint);
  scene.walk(directives, scene.main, levelOf(scene.main));
  const sites = placeServers(scene).map((placement) => buildSite(placement, scene));
  const upstreams = buildUpstreams(scene);
  const config: FileSource = {
    ...(Object.keys(upstreams).length > 0 ? { upstreams } : {}),
    ...(Object.keys(scene.variables).length > 0 ? { variables: scene.variables } : {}),
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
