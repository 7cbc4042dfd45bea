/**
 * What the directives of a file are gathered into before a site is made of it. nginx inherits after it has read
 * everything, so a directive may stand below the location that inherits it; gathering first gives the same result.
 */

import type { Draft, Given } from '../draft.ts';
import type { Surroundings } from '../format.ts';
import type { Position, Source } from '../problem.ts';
import type { GatewaySource, LimitSource, ServerSource, UpstreamSource } from '../sections/site.ts';
import type { NginxCode } from './codes.ts';
import type { Directive, Word } from './parse.ts';
import type { Context, Level } from './settings.ts';

export type { Context, Level } from './settings.ts';

export interface ListenAddress {
  /** undefined: every address. */
  readonly host?: string;
  readonly port: number;
  readonly ssl: boolean;
  readonly isDefault: boolean;
  readonly proxyProtocol: boolean;
  readonly at: Position;
}

export interface LocationLevel extends Level {
  readonly kind: 'prefix' | 'exact' | 'regex' | 'named';
  /** The path, the regular expression as JavaScript reads it, or the name behind @. */
  readonly text: string;
  /** As steward.yaml writes it: `/x`, `= /x`, `^~ /x`, `~ x`, `~* x`, `@x`. */
  readonly path: Given<string>;
  readonly locations: LocationLevel[];
}

export interface ServerLevel extends Level {
  readonly listens: ListenAddress[];
  readonly names: Given<string>[];
  readonly locations: LocationLevel[];
}

export interface UpstreamLevel extends Level {
  readonly name: Given<string>;
  readonly servers: Given<string | ServerSource>[];
  /** Keys of `hash`; the last one counts. */
  readonly hashKeys: Given<string>[];
  /** All but its servers. */
  readonly rules: Partial<UpstreamSource>;
}

/** A `map` as written; its texts may hold variables that are defined further down. */
export interface MapBlock {
  readonly name: string;
  readonly from: Given<string>;
  readonly hostnames: boolean;
  readonly cases: readonly { readonly when: string; readonly to: Given<string>; readonly at: Position }[];
  readonly byDefault?: Given<string>;
  readonly at: Position;
}

export interface LogFormat {
  readonly text: Given<string>;
  readonly escape: 'default' | 'json' | 'none';
}

/** A zone of limit_req_zone (with a rate) or limit_conn_zone. */
export interface LimitZone extends LimitSource {
  readonly by: string;
  readonly at: Position;
}

/** Times that Steward has once for all sites. */
export type SharedTime = 'headerTimeout' | 'stallTimeout' | 'idleTimeout';

/** Everything a directive may read or write. */
export interface Scene {
  readonly draft: Draft<NginxCode>;
  readonly around: Surroundings;
  /** Folder that relative paths refer to. */
  readonly folder: string;
  /** A whole nginx.conf was read, so that nothing is defined elsewhere. */
  readonly isWhole: boolean;
  readonly sources: Source[];
  readonly gateway: GatewaySource;
  readonly times: Record<SharedTime, { readonly ms: number; readonly word: Word; readonly directive: string }[]>;
  readonly servers: ServerLevel[];
  readonly upstreams: UpstreamLevel[];
  readonly maps: MapBlock[];
  readonly formats: Map<string, LogFormat>;
  readonly zones: Map<string, LimitZone>;
  /** Variables that `set`, `map`, regular expressions and auth_request_set give values to. */
  readonly defined: Set<string>;
  /** Variables of directives that are not taken over, with the name of the directive. */
  readonly foreign: Map<string, string>;
  /** Variables that texts of sites use. */
  readonly used: Set<string>;
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
export const anywhere: readonly Context[] = ['http', 'server', 'location'];

/** The first argument of a call whose entry asks for at least one. */
export const firstArg = (call: Call): Word => call.args[0] as Word;

/** A value with the place of the word that gave it. */
export const given = <T>(value: T, word: { readonly at: Position }): Given<T> => ({ value, at: word.at });

/** Reports that an argument cannot be read. */
export function badValue(call: Call, word: Word, wanted: string, hint: string): void {
  call.scene.error('config/nginx-value', `${call.directive.name}: "${word.text}" is not ${wanted}`, word.at, hint);
}

/** Reports something that is left out; `as` an error when that would open what nginx closes. */
export function notTaken(call: Call, what: string, at: Position, hint: string | undefined, as: 'error' | 'warning' = 'warning'): void {
  call.scene[as]('config/nginx-not-taken-over', `${what} is not taken over`, at, hint);
}
