/** Sections: conditions that are decided while reading, and folders, paths and files with what holds for them. */
import type { Word } from '../lex.ts';
import { escapeRegex, globRegex, isGlob, type Matcher, nameRegex } from '../matchers.ts';
import type { Directive } from '../parse.ts';
import { badValue, type Call, type Entry, firstArg, type Level, many, newSettings, refuse, type SectionKind } from '../scene.ts';
import { filePath } from './host.ts';
import { balancerLevel, isExpression } from './proxy.ts';

const walkInside = (call: Call): void => call.scene.walk(call.directive.block ?? [], call.server, call.level);

/** Steward has what modules offer built in: a section for a module is read, one for its absence is not. */
function readIfModule(call: Call): void {
  if (!firstArg(call).text.startsWith('!')) walkInside(call);
}

function readIfDefine(call: Call): void {
  const name = firstArg(call).text;
  const isSet = call.scene.defined.has(name.replace(/^!/, ''));
  if (isSet !== name.startsWith('!')) walkInside(call);
}

/** The version whose behaviour is followed. */
const version = [2, 4, 60];

function readIfVersion(call: Call): void {
  const [first, second] = call.args as [Word, Word?];
  const [, not, sign = '='] = /^(!?)(>=|<=|[=<>])?$/.exec(second === undefined ? '=' : first.text) ?? [];
  const wanted = (second ?? first).text.split('.').map(Number);
  const difference = wanted.map((part, index) => Math.sign((version[index] ?? 0) - part)).find((part) => part !== 0) ?? 0;
  const holds =
    sign === '='
      ? difference === 0
      : sign.startsWith('>')
        ? difference > 0 || (difference === 0 && sign === '>=')
        : difference < 0 || (difference === 0 && sign === '<=');
  if (holds !== (not === '!')) walkInside(call);
}

function readIfFile(call: Call): void {
  const text = firstArg(call).text;
  const { around, serverRoot, folder } = call.scene;
  const exists = around.open(text.replace(/^!/, ''), serverRoot ?? folder).length > 0;
  if (exists !== text.startsWith('!')) walkInside(call);
}

const shownSection = (call: Call): string => `<${[call.directive.name, ...call.args.map((word) => word.text)].join(' ')}>`;

/** A section whose directives hold where all `matchers` fit. */
function openSection(call: Call, kind: SectionKind, matchers: readonly Matcher[], more: Partial<Level> = {}): void {
  const settings = newSettings();
  const level: Level = { context: kind, settings, matchers, shown: shownSection(call), ...more };
  call.server.sections.push({ kind, matchers, settings, at: call.directive.at });
  call.scene.walk(call.directive.block ?? [], call.server, level);
}

/** The word that says where, and whether it is an expression: `<Location ~ "...">`. */
function placeOf(call: Call): { readonly word: Word; readonly isRegex: boolean } | undefined {
  const [first, second] = call.args as [Word, Word?];
  const isRegex = /match$/i.test(call.directive.name) || first.text === '~';
  const word = first.text === '~' ? second : first;
  if (word === undefined) {
    call.scene.error('config/apache-arguments', `${shownSection(call)} does not say where`, call.directive.at, 'Name a path.');
    return undefined;
  }
  return isRegex && !isExpression(call, word) ? undefined : { word, isRegex };
}

/** `<Directory />` and the like hold for folders; an expression is asked of the path below the folder that is served. */
function readDirectory(call: Call): void {
  const place = placeOf(call);
  if (place === undefined) return;
  const { word, isRegex } = place;
  if (isRegex) openSection(call, 'directory', [{ kind: 'regex', pattern: word.text.replace(/\/?\$$/, '(/|$)') }]);
  else if (isGlob(word.text)) {
    const pattern = globRegex(word.text.replace(/\/$/, ''));
    openSection(call, 'directory', [{ kind: 'regex', pattern: `^${pattern}(/|$)` }]);
  } else openSection(call, 'directory', [{ kind: 'folder', folder: word.text === '/' ? '/' : filePath(call, word).replace(/\/+$/, '') }]);
}

function readLocation(call: Call): void {
  const place = placeOf(call);
  if (place === undefined) return;
  const { word, isRegex } = place;
  if (isRegex) openSection(call, 'location', [{ kind: 'regex', pattern: word.text }]);
  else if (!word.text.startsWith('/')) badValue(call, word, 'a path', 'It starts with /.');
  else if (isGlob(word.text)) openSection(call, 'location', [{ kind: 'regex', pattern: `^${globRegex(word.text)}$` }]);
  else openSection(call, 'location', [{ kind: 'path', path: word.text }]);
}

function readFiles(call: Call): void {
  const place = placeOf(call);
  if (place === undefined) return;
  const { word, isRegex } = place;
  const pattern = isRegex ? word.text : `^${isGlob(word.text) ? globRegex(word.text) : escapeRegex(word.text)}$`;
  openSection(call, 'files', [...call.level.matchers, { kind: 'regex', pattern: nameRegex(pattern) }]);
}

/** `*` is every address that requests are handed on to; `<Proxy />` is none of them. */
function readProxySection(call: Call): void {
  const place = placeOf(call);
  if (place === undefined) return;
  const { word, isRegex } = place;
  const url = word.text === '*' ? '' : word.text;
  const matchers: readonly Matcher[] = isRegex ? [{ kind: 'target', url: `~${word.text}` }] : [{ kind: 'target', url }];
  const level = balancerLevel(call, { context: 'proxy', settings: newSettings(), matchers, shown: shownSection(call) });
  openSection(call, 'proxy', matchers, level.balancer === undefined ? {} : { balancer: level.balancer });
}

/** Words that let fewer people in than everybody. */
const guards = /^(require(all|any|none)?|allow|deny|auth\w*|sslverifyclient|sslrequire\w*)$/i;

const closes = (block: readonly Directive[], call: Call): Directive | undefined => {
  for (const directive of block) {
    const words = call.scene
      .wordsOf(directive)
      .words.map((word) => word.text)
      .join(' ');
    if (directive.block !== undefined) {
      const inner = closes(directive.block, call);
      if (inner !== undefined) return inner;
    } else if (guards.test(directive.name) && !/^(all granted|from all)$/i.test(words)) return directive;
    else if (/^rewriterule$/i.test(directive.name) && /\[(?:[^\]]*,)?(F|forbidden|G|gone)\b/.test(words)) return directive;
  }
  return undefined;
};

/** A section that Steward cannot decide. */
function leaveSectionOut(call: Call): void {
  const closing = closes(call.directive.block ?? [], call);
  if (closing !== undefined) refuse({ ...call, directive: closing }, `${closing.name} in ${shownSection(call)}`);
  const hint = 'Write what it does as a site, a route or steps in steward.yaml.';
  call.scene.warning('config/apache-not-taken-over', `${shownSection(call)} is not taken over`, call.directive.at, hint);
}

export const sectionEntries: readonly Entry[] = [
  { name: 'IfModule', section: true, args: [1, 1], read: readIfModule },
  { name: 'IfDefine', section: true, args: [1, 1], read: readIfDefine },
  { name: 'IfVersion', section: true, args: [1, 2], read: readIfVersion },
  { name: 'IfFile', section: true, args: [1, 1], read: readIfFile },
  { name: 'Proxy', section: true, args: [1, 3], read: readProxySection },
  { name: 'ProxyMatch', section: true, args: [1, 2], read: readProxySection },
  { name: 'Directory', section: true, args: [1, 2], read: readDirectory },
  { name: 'DirectoryMatch', section: true, args: [1, 2], read: readDirectory },
  { name: 'Location', section: true, args: [1, 2], read: readLocation },
  { name: 'LocationMatch', section: true, args: [1, 2], read: readLocation },
  { name: 'Files', section: true, args: [1, 2], read: readFiles },
  { name: 'FilesMatch', section: true, args: [1, 2], read: readFiles },
  ...['If', 'ElseIf', 'Else', 'IfDirective', 'IfSection', 'Macro', 'AuthnProviderAlias', 'AuthzProviderAlias', 'MDomainSet'].map(
    (name): Entry => ({ name, section: true, args: [0, many], undefinedNames: 'ignore', read: leaveSectionOut }),
  ),
];
