/** What a service or a site may ask while it is resolved, and where it tells what is wrong. */
import type { ConfigCode } from './codes.ts';
import type { AddedHeader, Text, UpstreamSpec, ZoneSpec } from './model.ts';
import type { Problem } from './problem.ts';
import type { FileSource } from './sections/file.ts';
import type { ServiceSource } from './sections/service.ts';
import type { StoredSecret } from './stored-secret.ts';

export type Tell = (pointer: string, code: ConfigCode, message: string, hint: string, severity?: Problem['severity']) => void;

/** One file being resolved: what its services and sites may ask, and where they tell what is wrong. */
export interface Scope {
  readonly folder: string;
  readonly hostname: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly socketFolder: string;
  readonly defaults: Partial<ServiceSource>;
  readonly logs: NonNullable<FileSource['logs']>;
  /** Environment of all services of the file: from its env files, as they stand there. */
  readonly fileEnv: Readonly<Record<string, string>>;
  /** The same from its `env`, as templates. */
  readonly envTemplates: Readonly<Record<string, string | number | boolean>>;
  /** A secret that the file declares, else a stored one. */
  secret(name: string): { readonly declared: string } | StoredSecret | undefined;
  envFile(path: string, pointer: string): Record<string, string>;
  /** Services whose number of instances is another than their file says. */
  readonly counts: ReadonlyMap<string, number>;
  services(): string[];
  hasEndpoint(service: string): boolean;
  upstreams(): string[];
  upstream(name: string): UpstreamSpec | undefined;
  /** Names of `limits:`. */
  limits(): string[];
  limit(name: string): ZoneSpec | undefined;
  /** The name of a new zone that no file gives a name to. */
  addZone(zone: ZoneSpec): string;
  /** Whether sites that name no log are logged. */
  readonly accessLog: boolean;
  /** Tells of variables in `text` that do not exist; gives the text back. */
  text(pointer: string, text: string): Text;
  readonly tell: Tell;
}

/** One site being resolved. */
export interface SiteScope extends Scope {
  /** Names of its named routes, with their `@`. */
  readonly namedRoutes: readonly string[];
  /** Headers on every answer, whatever a route says of its own. */
  readonly standingHeaders: readonly AddedHeader[];
}
