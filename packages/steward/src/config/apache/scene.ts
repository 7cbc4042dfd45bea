/** What the directives of an Apache file are gathered into before sites are made of them. */

import type { Draft, Given } from '../draft.ts';
import type { Surroundings } from '../format.ts';
import type { Position, Source } from '../problem.ts';
import type { GatewaySource, UpstreamSource, VariableSource } from '../sections/site.ts';
import type { ServerSource } from '../sections/upstream.ts';
import type { ApacheCode } from './codes.ts';
import type { Word } from './lex.ts';
import type { Matcher } from './matchers.ts';
import type { Directive } from './parse.ts';

export interface ProxyTarget {
  readonly scheme: 'http' | 'https';
  /** `host:port`, `unix:/path`, or the name of a balancer. */
  readonly address: string;
  /** The host as the URL has it. */
  readonly host: string;
  /** Path of the URL; '' when it has none. */
  readonly path: string;
  readonly balancer?: boolean;
}

export interface Pass {
  readonly match: Matcher;
  /** Undefined: `!`, not handed on. */
  readonly target?: ProxyTarget;
  readonly connectTimeoutMs?: number;
  readonly timeoutMs?: number;
  /** `nocanon`: the path goes on as it was sent. */
  readonly isRaw?: boolean;
  readonly at: Position;
  readonly targetAt: Position;
}

/** ProxyPassReverse: redirects below `from` become redirects below `to`. */
export interface Reverse {
  readonly from: string;
  readonly to: string;
  readonly at: Position;
}

export interface CookieRule {
  readonly attribute: 'domain' | 'path';
  readonly from: string;
  readonly to: string;
  readonly at: Position;
}

export interface Redirect {
  readonly match: Matcher;
  readonly status: number;
  readonly to?: string;
  /** Of a section, without a path of its own: what follows the path of the section is not put behind the address. */
  readonly isWhole?: boolean;
  readonly at: Position;
}

/** Alias and AliasMatch; without a folder (ScriptAlias) nothing can be served there. */
export interface Alias {
  readonly match: Matcher;
  readonly folder?: string;
  readonly at: Position;
  readonly folderAt: Position;
}

export interface HeaderLine {
  readonly action: 'set' | 'add' | 'append' | 'merge' | 'setifempty' | 'unset';
  readonly name: string;
  readonly value: string;
  /** `Header always`: a list of its own, sent with every answer. */
  readonly always: boolean;
  readonly at: Position;
}

export interface ErrorPage {
  readonly status: number;
  /** Undefined: the plain error. */
  readonly to?: { readonly kind: 'text' | 'place'; readonly text: string };
  readonly at: Position;
}

/** A node of what Require and its containers say. */
export type Permit =
  | { readonly kind: 'any' | 'all' | 'none'; readonly permits: readonly Permit[]; readonly at: Position }
  | { readonly kind: 'everybody'; readonly not: boolean; readonly at: Position }
  | { readonly kind: 'addresses'; readonly who: readonly string[]; readonly not: boolean; readonly at: Position }
  /** No names: any user of the file. */
  | { readonly kind: 'user'; readonly names: readonly string[]; readonly at: Position };

/** Order, Allow and Deny as of Apache 2.2. */
export interface OldRules {
  readonly allowFirst: boolean;
  readonly allow: readonly string[];
  readonly deny: readonly string[];
  readonly at: Position;
}

export type RewriteTest =
  | {
      readonly kind: 'matches';
      readonly left: string;
      readonly pattern: string;
      readonly anyCase: boolean;
      readonly not: boolean;
      readonly or: boolean;
    }
  | { readonly kind: 'equals'; readonly left: string; readonly right: string; readonly not: boolean; readonly or: boolean }
  | {
      readonly kind: 'file';
      readonly path: string;
      readonly is: 'file' | 'folder' | 'any' | 'executable';
      readonly not: boolean;
      readonly or: boolean;
    };

export interface RewriteRule {
  readonly pattern: string;
  readonly not: boolean;
  readonly anyCase: boolean;
  readonly tests: readonly RewriteTest[];
  /** In Steward's variables but for `$1` (the rule's groups) and `%1` (those of its conditions). `-`: the path stays. */
  readonly to: string;
  readonly flags: ReadonlyMap<string, string>;
  readonly at: Position;
}

/** What may stand in a server and in its sections. Undefined: not said. */
export interface Settings {
  permits?: Given<readonly Permit[]>;
  old?: OldRules;
  satisfy?: Given<'all' | 'any'>;
  authType?: Given<string>;
  realm?: Given<string>;
  users?: Given<string>;
  answerHeaders: HeaderLine[];
  requestHeaders: HeaderLine[];
  errorPages: ErrorPage[];
  index?: Given<string[]>;
  /** Undefined within: disabled. */
  fallback?: Given<string | undefined>;
  maxBody?: Given<number>;
  expiresActive?: Given<boolean>;
  expiresDefault?: Given<string>;
  expiresByType: { readonly type: string; readonly expires: string; readonly at: Position }[];
  compressTypes: Given<string>[];
  compressLevel?: Given<number>;
  /** `foreign`: nothing that Steward could run. */
  handler?: Given<'none' | 'status' | 'foreign'>;
  /** ProxyPass of a section, `SetHandler proxy:` too. */
  pass?: Pass;
  redirect?: Redirect;
  preserveHost?: Given<boolean>;
  addForwarded?: Given<boolean>;
  interceptErrors?: Given<boolean>;
  reverses: Reverse[];
  cookieRules: CookieRule[];
  rewriteEngine?: Given<boolean>;
  rewriteBase?: Given<string>;
  rewrites: RewriteRule[];
  types: { readonly extension: string; readonly type: string; readonly at: Position }[];
  defaultType?: Given<string>;
  verifyUpstream?: Given<boolean>;
  upstreamCa?: Given<string>;
  /** Rules of <LimitExcept> (and <Limit>): for other methods than these. */
  except?: { readonly methods: readonly string[]; readonly settings: Settings; readonly at: Position };
}

/** `files` goes after `directory`, both only for files; `proxy` only for what is handed on; `location` goes last. */
export type SectionKind = 'directory' | 'files' | 'proxy' | 'location';

export interface Section {
  readonly kind: SectionKind;
  /** All of them must fit. */
  readonly matchers: readonly Matcher[];
  readonly settings: Settings;
  readonly at: Position;
}

/** What only a server says. */
export interface ServerSettings {
  name?: Given<string>;
  aliases: Given<string>[];
  ssl?: Given<boolean>;
  cert?: Given<string>;
  key?: Given<string>;
  chain?: Given<string>;
  clientCa?: Given<string>;
  clientMode?: Given<'none' | 'optional' | 'require'>;
  tlsLeast?: Given<'TLSv1.2' | 'TLSv1.3'>;
  /** In the order Apache asks them. */
  passes: Pass[];
  redirects: Redirect[];
  folders: Alias[];
  root?: Given<string>;
  timeout?: Given<number>;
  proxyTimeout?: Given<number>;
  logs: { readonly file?: string; readonly format: string; readonly at: Position }[];
  trustHeader?: Given<string>;
  trusted: Given<string>[];
  proxyProtocol?: Given<boolean>;
}

export interface ListenAddress {
  /** Undefined: every address. */
  readonly host?: string;
  readonly port: number;
  readonly tls?: boolean;
  readonly at: Position;
}

export interface Server {
  readonly own: ServerSettings;
  readonly settings: Settings;
  readonly sections: Section[];
  /** The main server, whose settings a virtual host inherits. */
  readonly main?: Server;
  readonly at: Position;
  /** Without a port: `<VirtualHost *>`, every port that Apache listens on. */
  readonly addresses: readonly (Omit<ListenAddress, 'port'> & { readonly port?: number })[];
}

export interface Member {
  readonly server: ServerSource;
  readonly scheme: 'http' | 'https';
  readonly path: string;
  readonly weight: number;
  readonly host: string;
  readonly at: Position;
}

export interface Balancer {
  readonly name: string;
  readonly members: Member[];
  readonly rules: Pick<UpstreamSource, 'balance' | 'sticky'>;
  at: Position;
}

/** Where a directive stands. */
export interface Level {
  readonly context: 'server' | 'limit' | SectionKind;
  readonly settings: Settings;
  readonly matchers: readonly Matcher[];
  /** As written, `<Location /x>`. */
  readonly shown: string;
  /** The balancer of `<Proxy balancer://name>`. */
  readonly balancer?: Balancer;
  /** Where Require puts what it says: within <RequireAll> and the like. */
  readonly permits?: Permit[];
}

export interface Scene {
  readonly draft: Draft<ApacheCode>;
  readonly around: Surroundings;
  readonly folder: string;
  readonly sources: Source[];
  readonly gateway: GatewaySource;
  readonly main: Server;
  readonly hosts: Server[];
  readonly listens: ListenAddress[];
  readonly balancers: Map<string, Balancer>;
  /** Variables that texts of sites use, by name. */
  readonly variables: Record<string, VariableSource>;
  readonly logFormats: Map<string, string>;
  /** Names set by Define. */
  readonly defined: Map<string, string>;
  /** RewriteCond lines that wait for their rule, and whether one of them could not be read. */
  conditions: { readonly tests: RewriteTest[]; unread?: Position };
  /** Folder of relative paths in Include and file names: ServerRoot, else the folder of the file. */
  serverRoot?: string;
  walk(block: readonly Directive[], server: Server, level: Level): void;
  /** The words of a directive's arguments with `${NAME}` replaced. */
  wordsOf(directive: Directive): { readonly words: readonly Word[]; readonly undefined: readonly Word[] };
  error(code: ApacheCode, message: string, at: Position, hint?: string): void;
  warning(code: ApacheCode, message: string, at: Position, hint?: string): void;
  note(topic: string, code: ApacheCode, message: string, at: Position, hint?: string): void;
  /** Told once for each topic: what Steward does instead. */
  instead(topic: string, at: Position, hint: string, shown?: string): void;
}

export interface Call {
  readonly directive: Directive;
  readonly args: readonly Word[];
  /** `${NAME}` without a value in the arguments. */
  readonly missing: readonly Word[];
  readonly server: Server;
  readonly level: Level;
  readonly scene: Scene;
}

/** One row of the table of directives. Names are looked up in lower case. */
export interface Entry {
  readonly name: string;
  /** Where it may stand: outside of virtual hosts, in any server, or (default) in sections too. */
  readonly in?: 'main' | 'server';
  readonly section?: boolean;
  readonly args: readonly [number, number];
  /** What a `${NAME}` without a value is: an error (default), a note, or nothing. */
  readonly undefinedNames?: 'note' | 'ignore';
  read(call: Call): void;
}

export const many = Number.POSITIVE_INFINITY;

/** The settings of a section that says nothing yet. */
export const newSettings = (): Settings => ({
  answerHeaders: [],
  requestHeaders: [],
  errorPages: [],
  expiresByType: [],
  compressTypes: [],
  reverses: [],
  cookieRules: [],
  rewrites: [],
  types: [],
});

/** A server that says nothing yet. */
export const newServer = (at: Position, addresses: Server['addresses'], main?: Server): Server => ({
  own: { aliases: [], passes: [], redirects: [], folders: [], logs: [], trusted: [] },
  settings: newSettings(),
  sections: [],
  at,
  addresses,
  ...(main === undefined ? {} : { main }),
});

/** The level of directives that stand in no section. */
export const levelOf = (server: Server): Level => ({ context: 'server', settings: server.settings, matchers: [], shown: '' });

/** The first argument of a call whose entry asks for at least one. */
export const firstArg = (call: Call): Word => call.args[0] as Word;

/** A value with the place of the word that gave it. */
export const given = <T>(value: T, word: { readonly at: Position }): Given<T> => ({ value, at: word.at });

/** Reports that an argument cannot be read. */
export function badValue(call: Call, word: Word, wanted: string, hint: string): void {
  call.scene.error('config/apache-value', `${call.directive.name}: "${word.text}" is not ${wanted}`, word.at, hint);
}

/** Reports that a directive is not taken over. */
export function leaveOut(call: Call, hint: string, what = call.directive.name, severity: 'warning' | 'error' = 'warning'): void {
  call.scene[severity]('config/apache-not-taken-over', `${what} is not taken over`, call.directive.at, hint);
}

/** Reports what would be open to everybody if it were left out. */
export function refuse(call: Call, what: string, hint = 'Let the program decide, or keep Apache in front of this part.'): void {
  const message = `${what} is not taken over: without it the site would be open to everybody`;
  call.scene.error('config/apache-not-taken-over', message, call.directive.at, hint);
}

/** On or Off as a boolean; anything else is reported. */
export function readFlag(call: Call): Given<boolean> | undefined {
  const word = firstArg(call);
  if (/^(on|off)$/i.test(word.text)) return given(word.text.toLowerCase() === 'on', word);
  badValue(call, word, 'On or Off', 'Write On or Off.');
  return undefined;
}

type SingleOf<T> = { [K in keyof T]-?: NonNullable<T[K]> extends readonly unknown[] ? never : K }[keyof T];

/** What a server says itself, else what the main server says. */
export const inherited = <K extends SingleOf<ServerSettings>>(server: Server, key: K): ServerSettings[K] =>
  server.own[key] ?? server.main?.own[key];

type Lists = 'passes' | 'redirects' | 'folders';

/** The server's own lines; the main server's come after them. */
export const allLines = <K extends Lists>(server: Server, key: K): readonly ServerSettings[K][number][] => [
  ...server.own[key],
  ...(server.main?.own[key] ?? []),
];

const lists = [
  'answerHeaders',
  'requestHeaders',
  'errorPages',
  'expiresByType',
  'compressTypes',
  'reverses',
  'cookieRules',
  'types',
] as const satisfies readonly (keyof Settings)[];

/** What holds when `over` stands on top of `under`: lists follow each other, all else is replaced. Rewrite rules are not merged. */
export function mergeSettings(under: Settings, over: Settings): Settings {
  const said = Object.fromEntries(Object.entries(over).filter(([, value]) => value !== undefined));
  const merged = Object.fromEntries(lists.map((key) => [key, [...under[key], ...over[key]]]));
  const rewrites = over.rewrites.length > 0 || over.rewriteEngine !== undefined ? over.rewrites : under.rewrites;
  return { ...under, ...said, ...merged, rewrites };
}
