/** What the directives of an Apache file are gathered into before sites are made of them. */

import type { Draft, Given } from '../draft.ts';
import type { Surroundings } from '../format.ts';
import type { Position, Source } from '../problem.ts';
import type { GatewaySource } from '../sections/site.ts';
import type { ApacheCode } from './codes.ts';
import type { Word } from './lex.ts';
import type { Directive } from './parse.ts';

export interface ProxyTarget {
  readonly scheme: 'http' | 'https';
  /** `host:port` or `unix:/path`. */
  readonly address: string;
  /** The host as the URL has it. */
  readonly host: string;
  /** Path of the URL; '' when it has none. */
  readonly path: string;
}

export interface Pass {
  readonly path: string;
  /** Undefined: `!`, not handed on. */
  readonly target?: ProxyTarget;
  readonly connectTimeoutMs?: number;
  readonly timeoutMs?: number;
  readonly at: Position;
  readonly targetAt: Position;
}

/** ProxyPassReverse: redirects below `from` become redirects below `to`. */
export interface Reverse {
  readonly from: string;
  readonly to: string;
  readonly at: Position;
  /** The path of the <Location> it holds for alone. */
  readonly location?: string;
}

export interface Redirect {
  readonly path: string;
  readonly status: number;
  readonly to?: string;
  readonly at: Position;
}

export interface HeaderLine {
  readonly name: string;
  readonly value: string;
  readonly at: Position;
}

/** What the main server or a virtual host says itself. */
export interface Settings {
  name?: Given<string>;
  aliases: Given<string>[];
  ssl?: Given<boolean>;
  cert?: Given<string>;
  key?: Given<string>;
  chain?: Given<string>;
  /** In the order Apache tries them. */
  passes: Pass[];
  /** ProxyPass of <Location>, which goes before the others; the last one counts. */
  located: Pass[];
  reverses: Reverse[];
  redirects: Redirect[];
  preserveHost?: Given<boolean>;
  addForwarded?: Given<boolean>;
  root?: Given<string>;
  index?: Given<string[]>;
  fallback?: Given<string>;
  answerHeaders: HeaderLine[];
  requestHeaders: HeaderLine[];
  maxBody?: Given<number>;
  timeout?: Given<number>;
  proxyTimeout?: Given<number>;
  /** `.ht*` files are refused. */
  hidden?: Position;
}

export interface ListenAddress {
  /** Undefined: every address. */
  readonly host?: string;
  readonly port: number;
  readonly at: Position;
}

export interface Server {
  readonly settings: Settings;
  /** The main server, whose settings a virtual host inherits. */
  readonly main?: Server;
  readonly at: Position;
  /** Without a port: `<VirtualHost *>`, every port that Apache listens on. */
  readonly addresses: readonly (Omit<ListenAddress, 'port'> & { readonly port?: number })[];
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
  /** Names set by Define. */
  readonly defined: Map<string, string>;
  /** Folder of relative paths in Include and file names: ServerRoot, else the folder of the file. */
  serverRoot?: string;
  walk(block: readonly Directive[], server: Server): void;
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
  readonly server: Server;
  readonly scene: Scene;
}

/** One row of the table of directives. Names are looked up in lower case. */
export interface Entry {
  readonly name: string;
  /** Only outside of virtual hosts. */
  readonly mainOnly?: boolean;
  readonly section?: boolean;
  readonly args: readonly [number, number];
  /** What a `${NAME}` without a value is: an error (default), a note, or nothing. */
  readonly undefinedNames?: 'note' | 'ignore';
  read(call: Call): void;
}

export const many = Number.POSITIVE_INFINITY;

/** The settings of a server that says nothing yet. */
export const newSettings = (): Settings => ({
  aliases: [],
  passes: [],
  located: [],
  reverses: [],
  redirects: [],
  answerHeaders: [],
  requestHeaders: [],
});

/** The first argument of a call whose entry asks for at least one. */
export const firstArg = (call: Call): Word => call.args[0] as Word;

/** A value with the place of the word that gave it. */
export const given = <T>(value: T, word: { readonly at: Position }): Given<T> => ({ value, at: word.at });

/** Reports that an argument cannot be read. */
export function badValue(call: Call, word: Word, wanted: string, hint: string): void {
  call.scene.error('config/apache-value', `${call.directive.name}: "${word.text}" is not ${wanted}`, word.at, hint);
}

/** On or Off as a boolean; anything else is reported. */
export function readFlag(call: Call): Given<boolean> | undefined {
  const word = firstArg(call);
  if (/^(on|off)$/i.test(word.text)) return given(word.text.toLowerCase() === 'on', word);
  badValue(call, word, 'On or Off', 'Write On or Off.');
  return undefined;
}

type Single = { [K in keyof Settings]-?: NonNullable<Settings[K]> extends readonly unknown[] ? never : K }[keyof Settings];

/** What a server says itself, else what the main server says. */
export const inherited = <K extends Single>(server: Server, key: K): Settings[K] => server.settings[key] ?? server.main?.settings[key];
