/** Sections: conditions that are decided while reading, and folders, paths and files with their access rules. */
import type { Position } from '../../problem.ts';
import type { Word } from '../lex.ts';
import type { Directive } from '../parse.ts';
import { type Call, type Entry, firstArg, many, type Pass, type Settings } from '../scene.ts';
import { addPass, addReverse } from './proxy.ts';

const walkInside = (call: Call): void => call.scene.walk(call.directive.block ?? [], call.server);

/** Steward has what modules offer built in: a section for a module is read, one for its absence is not. */
function readIfModule(call: Call): void {
  if (!firstArg(call).text.startsWith('!')) walkInside(call);
}

function readIfDefine(call: Call): void {
  const name = firstArg(call).text;
  const isSet = call.scene.defined.has(name.replace(/^!/, ''));
  if (isSet !== name.startsWith('!')) walkInside(call);
}

/** Words of access rules that let everybody in. */
const open: Readonly<Record<string, RegExp>> = {
  order: /^/,
  allow: /^from all$/i,
  satisfy: /^/,
  require: /^all granted$/i,
};

/** Words of directives that let fewer people in than everybody. */
const guards = /^(require|allow|deny|auth\w*|sslverifyclient|sslrequire\w*|valid-user)$/i;

/** Directives of a folder that mean nothing here. */
const silent = /^(options|allowoverride|allowoverridelist|setoutputfilter|addtype|addhandler|sethandler|indexoptions|indexignore)$/i;

/** `Require all denied` or `Deny from all`: nobody gets in. */
const closesAll = (name: string, text: string): boolean =>
  (/^require$/i.test(name) && /^all denied$/i.test(text)) || (/^deny$/i.test(name) && /^from all$/i.test(text));

interface Rule {
  readonly name: string;
  readonly text: string;
  readonly at: Position;
}

/** The directives of a section and of those inside it. */
function rulesOf(block: readonly Directive[], call: Call): readonly Rule[] {
  return block.flatMap((directive) => {
    const text = call.scene
      .wordsOf(directive)
      .words.map((word) => word.text)
      .join(' ');
    return directive.block === undefined ? [{ name: directive.name, text, at: directive.at }] : rulesOf(directive.block, call);
  });
}

function tellRule(rule: Rule, call: Call, shown: string): void {
  const { scene } = call;
  const name = rule.name.toLowerCase();
  if (Object.hasOwn(open, name) && open[name]?.test(rule.text)) return;
  if (guards.test(name)) {
    const message = `${rule.name} ${rule.text} in ${shown} is not taken over: without it the site would be open to everybody`;
    scene.error('config/apache-not-taken-over', message, rule.at, 'Let the program decide, or keep Apache in front of this part.');
  } else if (name === 'allowoverride' && !/^none$/i.test(rule.text)) {
    scene.warning(
      'config/apache-not-taken-over',
      `AllowOverride ${rule.text}: Steward reads no .htaccess`,
      rule.at,
      'Move what stands in .htaccess files into steward.yaml.',
    );
  } else if (!silent.test(name)) {
    scene.warning(
      'config/apache-not-taken-over',
      `${rule.name} in ${shown} is not taken over`,
      rule.at,
      'Check what the site needs of it.',
    );
  }
}

const shownSection = (call: Call): string => `<${[call.directive.name, ...call.args.map((word) => word.text)].join(' ')}>`;

function readAccess(call: Call): void {
  for (const rule of rulesOf(call.directive.block ?? [], call)) tellRule(rule, call, shownSection(call));
}

/** `<Directory />` that is closed only keeps Apache from serving the whole disk, which Steward never does. */
function readDirectory(call: Call): void {
  const isRoot = call.args.length === 1 && firstArg(call).text === '/';
  for (const rule of rulesOf(call.directive.block ?? [], call)) {
    if (!isRoot || !closesAll(rule.name, rule.text)) tellRule(rule, call, shownSection(call));
  }
}

/** The usual lock on .htaccess and .htpasswd becomes a route; other files are told. */
function readFiles(call: Call): void {
  const pattern = call.args.at(-1)?.text ?? '';
  const hides = /^\^?\\?\.ht\*?$/.test(pattern) || pattern === '^\\.ht';
  for (const rule of rulesOf(call.directive.block ?? [], call)) {
    if (hides && closesAll(rule.name, rule.text)) call.server.settings.hidden = call.directive.at;
    else tellRule(rule, call, shownSection(call));
  }
}

function readProxySection(call: Call): void {
  if (/^balancer:/i.test(firstArg(call).text)) {
    const hint = 'Name the servers under upstreams: in steward.yaml.';
    call.scene.error('config/apache-not-taken-over', `${shownSection(call)} is not taken over`, call.directive.at, hint);
  } else readAccess(call);
}

function readLocated(directive: Directive, words: readonly Word[], call: Call, path: Word): boolean {
  const inside: Call = { ...call, directive, args: words };
  const list: Pass[] = (call.server.settings as Settings).located;
  if (words.length === 0) return false;
  if (/^proxypass$/i.test(directive.name)) addPass(inside, path, words, list);
  else if (/^proxypassreverse$/i.test(directive.name)) addReverse(inside, path.text, words[0] as Word, path.text);
  else return false;
  return true;
}

/** ProxyPass and ProxyPassReverse of a path take their path from the section. */
function readLocation(call: Call): void {
  const path = firstArg(call);
  const others = (call.directive.block ?? []).filter((directive) => {
    return call.args.length > 1 || !readLocated(directive, call.scene.wordsOf(directive).words, call, path);
  });
  for (const rule of rulesOf(others, call)) tellRule(rule, call, shownSection(call));
}

export const sectionEntries: readonly Entry[] = [
  { name: 'IfModule', section: true, args: [1, 1], read: readIfModule },
  { name: 'IfDefine', section: true, args: [1, 1], read: readIfDefine },
  { name: 'Proxy', section: true, args: [1, 2], read: readProxySection },
  { name: 'Directory', section: true, args: [1, 2], read: readDirectory },
  { name: 'Location', section: true, args: [1, 2], read: readLocation },
  { name: 'Files', section: true, args: [1, 2], read: readFiles },
  { name: 'FilesMatch', section: true, args: [1, 2], read: readFiles },
  ...['ProxyMatch', 'DirectoryMatch', 'LocationMatch', 'Limit', 'LimitExcept', 'If', 'ElseIf', 'IfVersion', 'IfFile', 'IfDirective'].map(
    (name): Entry => ({
      name,
      section: true,
      args: [1, many],
      read: (call) => {
        const hint = 'Write what it does as a site or a route.';
        call.scene.warning('config/apache-not-taken-over', `${shownSection(call)} is not taken over`, call.directive.at, hint);
        readAccess(call);
      },
    }),
  ),
];
