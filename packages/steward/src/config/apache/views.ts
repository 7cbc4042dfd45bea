/**
 * What Apache does with a path of a server: who answers it, and which sections hold for it, merged in their order
 * (https://httpd.apache.org/docs/2.4/sections.html#merging). Apache takes the first ProxyPass that fits; all paths that
 * directives name cut the space of paths into points within which the same directives hold. Pure.
 */
import { covers, escapeRegex, type Matcher, type Point, pointsOf, type RegexMatcher } from './matchers.ts';
import {
  type Alias,
  allLines,
  inherited,
  mergeSettings,
  newSettings,
  type Pass,
  type Redirect,
  type Section,
  type Server,
  type Settings,
} from './scene.ts';

export type Action =
  | { readonly kind: 'proxy'; readonly pass: Pass; readonly target: NonNullable<Pass['target']> }
  /** `isEarly`: answered before anybody is asked who he is. */
  | { readonly kind: 'redirect'; readonly redirect: Redirect; readonly isEarly: boolean }
  | { readonly kind: 'folder'; readonly alias: Alias }
  | { readonly kind: 'none' };

export interface View {
  readonly point: Point;
  /** The regular expressions that fit, in the order of the file. */
  readonly fitting: readonly RegexMatcher[];
  readonly settings: Settings;
  readonly action: Action;
  /** The <Directory> whose rewrite rules hold, and the path its folder has. */
  readonly rules?: { readonly settings: Settings; readonly front: string };
}

export interface PathMap {
  readonly points: readonly Point[];
  readonly expressions: readonly RegexMatcher[];
  /** What holds in no section. */
  readonly base: Settings;
  view(point: Point, fitting: readonly RegexMatcher[], filesOnly?: boolean): View;
}

const rank = { directory: 0, files: 2, proxy: 0, location: 3 } as const;

/** Sections in the order they are merged: folders by length, then expressions for folders, files, and locations. */
function inMergeOrder(sections: readonly Section[]): readonly Section[] {
  const keyOf = ({ kind, matchers: [first] }: Section): number =>
    kind !== 'directory' ? rank[kind] * 1e6 : first?.kind === 'folder' ? first.folder.length : 1e6;
  return sections
    .map((section) => ({ section, key: keyOf(section) }))
    .toSorted((a, b) => a.key - b.key)
    .map(({ section }) => section);
}

/** The folder of a point below the path of an alias. */
function folderOf({ match, folder = '' }: Alias, point: Point): string {
  const rest = match.kind === 'path' ? point.path.slice(match.path.length) : '';
  return `${folder.replace(/\/+$/, '')}/${rest}`.replace(/\/+/g, '/').replace(/\/+$/, '') || '/';
}

const isWithin = (folder: string, outer: string): boolean => outer === '/' || folder === outer || folder.startsWith(`${outer}/`);

/** The path that `folder` has below an alias; undefined when it lies elsewhere. */
function pathOf({ match, folder: root }: Alias, folder: string): string | undefined {
  if (root === undefined || match.kind !== 'path') return undefined;
  const plain = root.replace(/\/+$/, '');
  if (!isWithin(folder, plain === '' ? '/' : plain)) return undefined;
  return `${match.path.replace(/\/+$/, '')}${folder.slice(plain.length)}` || '/';
}

/** An expression for folders on disk as one for paths below `root`, when it says where it starts. */
function onPath(matcher: RegexMatcher, root: string | undefined): RegexMatcher {
  const { pattern } = matcher;
  if (!pattern.startsWith('^') || root === undefined) return matcher;
  const plain = root.replace(/\/+$/, '');
  const front = [`^${plain}`, `^${escapeRegex(plain)}`].find((text) => pattern.startsWith(text));
  return front === undefined ? matcher : { ...matcher, pattern: `^${pattern.slice(front.length)}` };
}

/** A line for a path, and the one above that takes its requests. */
export interface Hidden {
  readonly line: Pass | Redirect;
  readonly by: Pass | Redirect;
}

/** The earlier line that takes all requests of a path. */
function hiding(line: Pass | Redirect, earlier: readonly (Pass | Redirect)[]): Pass | Redirect | undefined {
  const { match } = line;
  if (match.kind !== 'path') return undefined;
  return earlier.find((other) => other.match.kind === 'path' && covers(other.match.path, { path: match.path, isExact: true }));
}

const handsOn = (passes: readonly Pass[]): readonly Pass[] => passes.filter(({ target }) => target !== undefined);

/** Lines that no request reaches. */
export function hiddenLines(server: Server): readonly Hidden[] {
  const passes = allLines(server, 'passes');
  const redirects = allLines(server, 'redirects');
  const found = (line: Pass | Redirect, earlier: readonly (Pass | Redirect)[]): readonly Hidden[] => {
    const by = hiding(line, earlier);
    return by === undefined ? [] : [{ line, by }];
  };
  return [
    ...passes.flatMap((pass, index) => found(pass, passes.slice(0, index))),
    ...redirects.flatMap((redirect, index) => {
      // What a pass leaves out with ! is still redirected.
      const out = passes.find(({ match, target }) => target === undefined && match.kind === 'path' && isUnder(redirect, match.path));
      const before = out === undefined ? handsOn(passes) : handsOn(passes.slice(0, passes.indexOf(out)));
      return found(redirect, [...before, ...redirects.slice(0, index)]);
    }),
  ];
}

const isUnder = ({ match }: Redirect, path: string): boolean => match.kind === 'path' && covers(path, { path: match.path, isExact: true });

/** Everything `server` says about paths. */
export function mapOf(server: Server): PathMap {
  const { main } = server;
  const base = main === undefined ? server.settings : mergeSettings(main.settings, server.settings);
  const root = inherited(server, 'root');
  const isOnDisk = (section: Section): boolean => section.kind === 'directory' || (section.kind === 'files' && section.matchers.length > 1);
  const sections = inMergeOrder([...(main?.sections ?? []), ...server.sections]).map((section): Section => {
    if (!isOnDisk(section)) return section;
    const [first, ...more] = section.matchers;
    return first?.kind === 'regex' ? { ...section, matchers: [onPath(first, root?.value), ...more] } : section;
  });
  const hidden = new Set<Pass | Redirect>(hiddenLines(server).map(({ line }) => line));
  const passes = allLines(server, 'passes').filter((line) => !hidden.has(line));
  const redirects = allLines(server, 'redirects').filter((line) => !hidden.has(line));
  const aliases = allLines(server, 'folders');
  const served: readonly Alias[] =
    root === undefined ? aliases : [...aliases, { match: { kind: 'path', path: '/' }, folder: root.value, at: root.at, folderAt: root.at }];

  const matchers: readonly Matcher[] = [...passes, ...redirects, ...aliases]
    .map(({ match }) => match)
    .concat(sections.flatMap((section) => section.matchers));
  const paths = matchers.flatMap((matcher) => {
    if (matcher.kind === 'path') return [matcher.path];
    return matcher.kind === 'folder' ? served.flatMap((alias) => pathOf(alias, matcher.folder) ?? []) : [];
  });
  const points = new Map<string, Point>(['/', ...paths].flatMap(pointsOf).map((point) => [point.path, point]));
  const keyOf = ({ pattern, anyCase = false }: RegexMatcher): string => `${anyCase} ${pattern}`;
  const expressions = [...new Map(matchers.flatMap((one) => (one.kind === 'regex' ? [[keyOf(one), one] as const] : []))).values()];

  const fits = (matcher: Matcher, point: Point, fitting: readonly RegexMatcher[], action: Action): boolean => {
    switch (matcher.kind) {
      case 'path':
        return covers(matcher.path, point);
      case 'regex':
        return fitting.some((one) => keyOf(one) === keyOf(matcher));
      case 'folder':
        return action.kind === 'folder' && action.alias.match.kind === 'path' && isWithin(folderOf(action.alias, point), matcher.folder);
      case 'target':
        return action.kind === 'proxy' && `${action.target.scheme}://${action.target.host}${action.target.path}`.startsWith(matcher.url);
    }
  };
  const none: Action = { kind: 'none' };

  const mapped = (point: Point, fitting: readonly RegexMatcher[], filesOnly: boolean): Action => {
    const holds = ({ match }: { readonly match: Matcher }): boolean => fits(match, point, fitting, none);
    const folder = served.find(holds);
    const files: Action = folder === undefined ? none : { kind: 'folder', alias: folder };
    if (filesOnly) return files;
    const located = sections.findLast(
      ({ kind, matchers: all, settings }) =>
        kind === 'location' && isReal(settings.pass) && all.every((one) => fits(one, point, fitting, none)),
    );
    const pass = located?.settings.pass ?? passes.find(holds);
    if (pass?.target !== undefined) return { kind: 'proxy', pass, target: pass.target };
    const redirect = redirects.find(holds);
    return redirect === undefined ? files : { kind: 'redirect', redirect, isEarly: true };
  };

  const view: PathMap['view'] = (point, fitting, filesOnly = false) => {
    const action = mapped(point, fitting, filesOnly);
    const isFile = action.kind === 'folder' || action.kind === 'none';
    const holding = sections.filter(({ kind, matchers: all }) => {
      if (kind === 'proxy' ? action.kind !== 'proxy' : kind !== 'location' && !isFile) return false;
      return all.every((one) => fits(one, point, fitting, action));
    });
    const settings = holding.reduce((under, section) => mergeSettings(under, section.settings), {
      ...base,
      rewrites: newSettings().rewrites,
    });
    const ruling = holding.findLast(
      (section) => section.kind === 'directory' && (section.settings.rewrites.length > 0 || section.settings.rewriteEngine !== undefined),
    );
    const isOn =
      (holding.findLast((section) => section.settings.rewriteEngine !== undefined)?.settings ?? base).rewriteEngine?.value === true;
    const isLocated = holding.some((section) => section.kind === 'location' && section.settings.redirect === settings.redirect);
    const [first] = ruling?.matchers ?? [];
    const front = first?.kind === 'folder' && action.kind === 'folder' ? pathOf(action.alias, first.folder) : undefined;
    const rules = ruling !== undefined && isOn ? { settings: ruling.settings, front: `${front ?? '/'}/`.replace(/\/+/g, '/') } : undefined;
    return { point, fitting, settings, action: finalAction(action, settings, isLocated), ...(rules && { rules }) };
  };
  return { points: [...points.values()], expressions, base, view };
}

/** ProxyPass, and not `SetHandler proxy:`. */
const isReal = (pass: Pass | undefined): boolean => pass !== undefined && !(pass.match.kind === 'path' && pass.match.path === '');

/** What sections make of it: a redirect of their own (that of a <Location> before anybody is asked), a handler that hands on. */
function finalAction(action: Action, { redirect, pass }: Settings, isLocated: boolean): Action {
  if (redirect !== undefined && (isLocated || action.kind !== 'redirect'))
    return { kind: 'redirect', redirect, isEarly: isLocated && action.kind !== 'proxy' };
  if (pass?.target !== undefined && !isReal(pass) && action.kind === 'folder') return { kind: 'proxy', pass, target: pass.target };
  return action;
}
