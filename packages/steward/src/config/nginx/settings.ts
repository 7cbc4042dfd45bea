/** What one level says itself; inherit.ts adds what the levels around it say. */
import type { Given } from '../draft.ts';
import type { ProxiedReason } from '../model.ts';
import type { Position } from '../problem.ts';
import type { Word } from './parse.ts';

/** `server-if` and `if` are the `if` of a server and of a location, which allow different directives. */
export type Context = 'main' | 'http' | 'server' | 'location' | 'upstream' | 'server-if' | 'if' | 'limit_except';

export interface Level {
  readonly context: Context;
  readonly parent?: Level;
  readonly at: Position;
  readonly settings: Settings;
  /** Directives that stood here, to find what stands twice. */
  readonly seen: Map<string, Position>;
}

export interface HeaderLine {
  readonly name: string;
  readonly value: string;
  readonly always: boolean;
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
  /** The whole argument has variables and is worked out for each request. */
  readonly isText: boolean;
}

export interface TextRewrite {
  readonly from: string;
  readonly to: string;
}

/** What a `return` answers. */
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

export interface TestLine {
  readonly left: string;
  readonly comparison?: 'equals' | 'notEquals' | 'matches' | 'matchesAnyCase' | 'notMatches' | 'notMatchesAnyCase';
  /** A text, or a regular expression as JavaScript reads it. */
  readonly right?: string;
  readonly file?: { readonly is: 'file' | 'folder' | 'any' | 'executable'; readonly not: boolean };
  readonly at: Position;
}

/** One instruction of the rewrite module. */
export type StepLine =
  | { readonly kind: 'set'; readonly name: string; readonly value: string; readonly at: Position }
  | {
      readonly kind: 'rewrite';
      readonly pattern: string;
      readonly to: string;
      readonly flag: 'next' | 'last' | 'break' | 'redirect' | 'permanent';
      readonly at: Position;
    }
  | { readonly kind: 'return'; readonly answer: Answer; readonly at: Position }
  | { readonly kind: 'break'; readonly at: Position }
  | { readonly kind: 'if'; readonly test: TestLine; readonly level: Level; readonly at: Position };

export interface ErrorPageLine {
  readonly statuses: readonly number[];
  readonly to: string;
  readonly status?: number | 'target';
  readonly at: Position;
}

export interface RateLine {
  readonly zone: string;
  readonly burst: number;
  readonly undelayed: number | 'all';
  readonly at: Position;
}

export interface ConnectionsLine {
  readonly zone: string;
  readonly most: number;
  readonly at: Position;
}

export interface LogLine {
  /** Undefined: the gateway's own log. */
  readonly file?: string;
  readonly format?: Given<string>;
  readonly when?: string;
  readonly at: Position;
}

export interface CookieRule {
  readonly attribute: 'domain' | 'path';
  readonly from: string;
  readonly to: string;
  readonly at: Position;
}

export interface ExceptBlock {
  readonly methods: readonly string[];
  readonly level: Level;
  readonly at: Position;
}

/** Settings of which the nearest level that has one counts. */
export interface Single {
  files: Given<{ readonly folder: string; readonly mapping: 'root' | 'alias' }>;
  index: Given<string[]>;
  types: Given<Readonly<Record<string, string>>>;
  defaultType: Given<string>;
  precompressed: Given<boolean>;
  expires: Given<string>;
  maxBody: Given<number>;
  compress: Given<boolean>;
  compressTypes: Given<readonly string[]>;
  compressLeast: Given<number>;
  compressLevel: Given<number>;
  /** Undefined inside: any. */
  compressProxied: Given<readonly ProxiedReason[] | undefined>;
  compressOld: Given<boolean>;
  /** False: none. */
  charset: Given<string | false>;
  ifModifiedSince: Given<'exact' | 'before' | 'off'>;
  satisfy: Given<'all' | 'any'>;
  /** `off` is undefined inside. */
  realm: Given<string | undefined>;
  users: Given<string>;
  authRequest: Given<string | undefined>;
  rateStatus: Given<number>;
  rateDryRun: Given<boolean>;
  connectionsStatus: Given<number>;
  connectionsDryRun: Given<boolean>;
  trustHeader: Given<string>;
  trustRecursive: Given<boolean>;
  buffering: Given<boolean>;
  connectTimeout: Given<number>;
  readTimeout: Given<number>;
  sendTimeout: Given<number>;
  interceptErrors: Given<boolean>;
  method: Given<string>;
  passHeaders: Given<boolean>;
  passBody: Given<boolean>;
  /** No causes: off. */
  retryOn: Given<readonly (string | number)[]>;
  retryTries: Given<number>;
  retryTimeout: Given<number>;
  verify: Given<boolean>;
  verifyCa: Given<string>;
  verifyName: Given<string>;
  tls: Given<boolean>;
  cert: Given<string>;
  key: Given<string>;
  clientCa: Given<string>;
  clientMode: Given<'off' | 'require' | 'optional'>;
  tlsLeast: Given<'TLSv1.2' | 'TLSv1.3'>;
  rejectHandshake: Given<boolean>;
}

/** Settings of which a level inherits all or none: one of its own, and none of the others. */
export interface Several {
  requestHeaders: HeaderLine[];
  answerHeaders: HeaderLine[];
  redirects: Given<TextRewrite | 'off' | 'default'>[];
  cookieDomains: (CookieRule | { readonly off: Position })[];
  cookiePaths: (CookieRule | { readonly off: Position })[];
  hiddenHeaders: Given<string>[];
  shownHeaders: Given<string>[];
  access: AccessRule[];
  errorPages: ErrorPageLine[];
  rates: RateLine[];
  connections: ConnectionsLine[];
  logs: (LogLine | { readonly off: Position })[];
  trusted: Given<string>[];
  authSets: { readonly name: string; readonly value: string; readonly at: Position }[];
}

/** What holds for its own level alone. */
export interface Own {
  tryFiles?: Given<readonly Word[]>;
  proxyPass?: Given<ProxyTarget>;
  /** A handler that Steward has not, such as fastcgi_pass. */
  foreign?: Given<string>;
  counters?: Given<'stub'>;
  internal?: Position;
  except?: ExceptBlock;
  steps: StepLine[];
  /** Something other than the rewrite module's directives stands here. */
  isMore?: boolean;
}

export type Settings = Partial<Single> & Several & Own;

/** The settings of a level that says nothing yet. */
export const newSettings = (): Settings => ({
  requestHeaders: [],
  answerHeaders: [],
  redirects: [],
  cookieDomains: [],
  cookiePaths: [],
  hiddenHeaders: [],
  shownHeaders: [],
  access: [],
  errorPages: [],
  rates: [],
  connections: [],
  logs: [],
  trusted: [],
  authSets: [],
  steps: [],
});
