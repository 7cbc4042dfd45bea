/**
 * What the directives of a file are gathered into before a site is made of it. nginx inherits after it has read
 * everything, so a directive may stand below the location that inherits it; gathering first gives the same result.
 */

import type { Draft, Given } from '../draft.ts';
import type { Surroundings } from '../format.ts';
import type { Position, Source } from '../problem.ts';
import type { GatewaySource, ServerSource } from '../sections/site.ts';
import type { NginxCode } from './codes.ts';
import type { Directive, Word } from './parse.ts';

export type Context = 'main' | 'http' | 'server' | 'location' | 'upstream';

export interface HeaderLine {
  readonly name: string;
  readonly value: string;
  readonly at: Position;
}

export interface ProxyTarget {
  readonly scheme: 'http' | 'https';
  /** As written behind the scheme: a name, `host:port`, `unix:/path`. */
  readonly address: string;
  /** What replaces the matched prefix; undefined keeps the path. */
  readonly path?: string;
  /** The whole argument. */
  readonly url: string;
}

export type LocationRewrite = 'off' | 'default' | { readonly from: string; readonly to: string };

/** What a `return` or a redirecting `rewrite` answers. */
export interface Answer {
  readonly status: number;
  readonly redirect?: string;
  readonly text?: string;
}

export interface AccessRule {
  readonly verb: 'allow' | 'deny';
  readonly who: string;
  readonly at: Position;
}

/** What one level says itself; `inherited` in inherit.ts adds what the levels around it say. */
export interface Settings {
  files?: Given<{ readonly folder: string; readonly mapping: 'root' | 'alias' }>;
  index?: Given<string[]>;
  tryFiles?: Given<readonly Word[]>;
  maxBody?: Given<number>;
  proxyPass?: Given<ProxyTarget>;
  /** A handler that Steward has not, such as fastcgi_pass. */
  foreign?: Given<string>;
  answer?: Given<Answer>;
  internal?: Position;
  requestHeaders: HeaderLine[];
  answerHeaders: HeaderLine[];
  rewrites: Given<LocationRewrite>[];
  access: AccessRule[];
  buffering?: Given<boolean>;
  connectTimeout?: Given<number>;
  readTimeout?: Given<number>;
  tls?: Given<boolean>;
  cert?: Given<string>;
  key?: Given<string>;
  rejectHandshake?: Given<boolean>;
}

export interface Level {
  readonly context: Context;
  readonly parent?: Level;
  readonly at: Position;
  readonly settings: Settings;
  /** Directives that stood here, to find what stands twice. */
  readonly seen: Map<string, Position>;
}

export interface ListenAddress {
  /** undefined: every address. */
  readonly host?: string;
  readonly port: number;
  readonly ssl: boolean;
  readonly isDefault: boolean;
  readonly at: Position;
}

export interface LocationLevel extends Level {
  readonly kind: 'prefix' | 'exact' | 'regex';
  /** The path or the regular expression. */
  readonly text: string;
  /** As steward.yaml writes it: `/x`, `= /x`, `^~ /x`, `~ x`, `~* x`. */
  readonly path: Given<string>;
}

export interface ServerLevel extends Level {
  readonly listens: ListenAddress[];
  readonly names: Given<string>[];
  readonly locations: LocationLevel[];
  /** Redirects for single hosts: `if ($host = name) { return ...; }`. */
  readonly hostAnswers: { readonly host: string; readonly answer: Given<Answer> }[];
}

export interface UpstreamLevel extends Level {
  readonly name: Given<string>;
  readonly servers: Given<string | ServerSource>[];
}

/** Everything a directive may read or write. */
export interface Scene {
  readonly draft: Draft<NginxCode>;
  readonly around: Surroundings;
  /** Folder that relative paths refer to. */
  readonly folder: string;
  readonly sources: Source[];
  readonly gateway: GatewaySource;
  readonly servers: ServerLevel[];
  readonly upstreams: UpstreamLevel[];
  /** Reads the directives of a block into `level`. */
  walk(block: readonly Directive[], level: Level): void;
  error(code: NginxCode, message: string, at: Position, hint?: string): void;
  warning(code: NginxCode, message: string, at: Position, hint?: string): void;
  /** Told once for each `topic`, which `shown` names to people: what Steward does instead. */
  instead(topic: string, at: Position, hint: string, shown?: string): void;
}

export interface Call<L extends Level = Level> {
  readonly directive: Directive;
  /** Its arguments; at least as many as the entry asks for. */
  readonly args: readonly Word[];
  readonly level: L;
  readonly scene: Scene;
}

/** One row of the table of directives. */
export interface Entry {
  readonly name: string;
  readonly contexts: readonly Context[];
  /** Fewest and most arguments. */
  readonly args: readonly [number, number];
  readonly block?: boolean;
  /** nginx refuses a second one on the same level; a text is the name it shares with others. */
  readonly once?: boolean | string;
  read(call: Call): void;
}

export const many = Number.POSITIVE_INFINITY;

/** The settings of a level that says nothing yet. */
export const newSettings = (): Settings => ({ requestHeaders: [], answerHeaders: [], rewrites: [], access: [] });

/** The first argument of a call whose entry asks for at least one. */
export const firstArg = (call: Call): Word => call.args[0] as Word;

/** A value with the place of the word that gave it. */
export const given = <T>(value: T, word: { readonly at: Position }): Given<T> => ({ value, at: word.at });

/** Reports that an argument cannot be read. */
export function badValue(call: Call, word: Word, wanted: string, hint: string): void {
  call.scene.error('config/nginx-value', `${call.directive.name}: "${word.text}" is not ${wanted}`, word.at, hint);
}

/** `on` or `off` as a boolean; anything else is reported. */
export function readFlag(call: Call): Given<boolean> | undefined {
  const word = firstArg(call);
  if (/^(on|off)$/i.test(word.text)) return given(word.text.toLowerCase() === 'on', word);
  badValue(call, word, 'on or off', 'Write on or off.');
  return undefined;
}
