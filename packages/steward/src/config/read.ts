/**
 * From files on disk to a configuration: the only file of this room that touches the disk. Each file is read by the
 * reader of its format; steward.yaml files may include more.
 */
import { globSync, readFileSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import { extname, isAbsolute, join, relative, resolve as resolvePath } from 'node:path';
import { looksLikeApache, readApache } from './apache/apache.ts';
import type { ConfigCode } from './codes.ts';
import type { Reader, Reading, Surroundings } from './format.ts';
import type { Config, InstanceSpec } from './model.ts';
import { looksLikeNginx, readNginx } from './nginx/nginx.ts';
import { originOf, type Position, type Problem, pointerStep, type Source } from './problem.ts';
import { resolve } from './resolve.ts';
import { readSteward } from './steward-file.ts';
import type { StoredSecrets } from './stored-secret.ts';
import { looksLikeSupervisord, readSupervisord } from './supervisord/supervisord.ts';

/** A file of a configuration: absolute path and text. */
export interface ConfigText {
  readonly path: string;
  readonly text: string;
}

export interface Loaded {
  readonly config: Config;
  readonly problems: readonly Problem[];
  readonly sources: readonly Source[];
  /** Every file of it, with absolute paths. */
  readonly texts: readonly ConfigText[];
  readonly readings: readonly Reading[];
  /** Where a field of a service stands, else the service itself. */
  placeOf(service: string, field: string): Position | undefined;
  /** The copy that may stand in for the instances of a service, at `port` if the service has one; see resolveStandIn. */
  standIn(service: string, port: number): InstanceSpec | undefined;
  /** How many instances of each service the files ask for. */
  readonly written: ReadonlyMap<string, number>;
  /** The same files, as they were read, with other numbers of instances. */
  scaled(counts: ReadonlyMap<string, number>): Loaded;
  /** The same files, as they were read, with other values of stored secrets. */
  withSecrets(stored: StoredSecrets): Loaded;
}

export interface LoadOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly socketFolder: string;
  /** Positions name files relative to this folder. */
  readonly base: string;
  /** Services that were scaled by hand, and to how many instances. */
  readonly counts?: ReadonlyMap<string, number>;
  /** What the store of secrets has. Default: nothing. */
  readonly stored?: StoredSecrets;
  /** Texts to read in place of what files of the configuration hold, by absolute path. */
  readonly texts?: ReadonlyMap<string, string>;
}

/** A configuration larger than this is a mistake in the argument. */
const mostBytes = 16 * 1024 * 1024;

const whyNot: Readonly<Record<string, string>> = { ENOENT: 'there is no such file', EACCES: 'permission denied', EISDIR: 'it is a folder' };

function readText(path: string): { text: string } | { reason: string } {
  try {
    if (statSync(path).size > mostBytes) return { reason: `${path} is larger than 16 MB` };
    return { text: readFileSync(path, 'utf8') };
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    return { reason: `${path}: ${whyNot[code] ?? code}` };
  }
}

/** The names a folder's configuration may have, in the order they are looked for. */
export const fileNames = ['steward.yaml', 'steward.yml', 'supervisord.conf'] as const;

/** The file a path means: a folder means the configuration in it. */
function fileFor(path: string): string {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) return path;
  return (
    fileNames.map((name) => join(path, name)).find((file) => statSync(file, { throwIfNoEntry: false })?.isFile()) ??
    join(path, fileNames[0])
  );
}

/** The reader of a file's format, by its name or else by what it says; undefined when it is none we know. */
function readerFor({ file, text }: Source): Reader | undefined {
  if (['.yaml', '.yml', '.json'].includes(extname(file))) return readSteward;
  if (looksLikeSupervisord(text)) return readSupervisord;
  if (looksLikeApache(text)) return readApache;
  if (looksLikeNginx(text)) return readNginx;
  return /^\s*[A-Za-z]\w*:/m.test(text) ? readSteward : undefined;
}

const error = (code: ConfigCode, message: string, hint: string, at?: Problem['at']): Problem<ConfigCode> => ({
  severity: 'error',
  code,
  message,
  hint,
  ...(at && { at }),
});

class Loader {
  readonly readings: Reading[] = [];
  readonly problems: Problem[] = [];
  readonly seen = new Set<string>();
  /** Env files and files of secrets, as they were when they were first asked for. */
  readonly #texts = new Map<string, ReturnType<typeof readText>>();
  readonly options: LoadOptions;

  constructor(options: LoadOptions) {
    this.options = options;
  }

  textOf(path: string): ReturnType<typeof readText> {
    const text = this.#texts.get(path) ?? readText(path);
    this.#texts.set(path, text);
    return text;
  }

  /** The name a file has in messages: relative to the user's folder when it is below it. */
  nameOf(path: string): string {
    const name = relative(this.options.base, path);
    return name.startsWith('..') || isAbsolute(name) ? path : name;
  }

  surroundings(): Surroundings {
    return {
      env: this.options.env,
      hostname: hostname(),
      open: (pattern, folder) => this.open(pattern, folder).flatMap(({ source }) => source ?? []),
    };
  }

  open(pattern: string, folder: string): { path: string; source: Source | undefined }[] {
    const found = globSync(pattern, { cwd: folder }).map((path) => resolvePath(folder, path));
    return found.toSorted().map((path) => {
      const given = this.options.texts?.get(path);
      const read = given === undefined ? readText(path) : { text: given };
      return { path, source: 'text' in read ? { file: path, text: read.text } : undefined };
    });
  }

  load(path: string, at?: Problem['at']): void {
    const file = fileFor(resolvePath(this.options.base, path));
    if (this.seen.has(file)) return;
    this.seen.add(file);
    const given = this.options.texts?.get(file);
    const read = given === undefined ? readText(file) : { text: given };
    if ('reason' in read)
      return void this.problems.push(
        error(
          'config/no-file',
          `cannot read ${this.nameOf(file)}: ${read.reason.replace(/^.*: /, '')}`,
          'Name a steward.yaml, a supervisord, nginx or Apache file, or a folder with a steward.yaml.',
          at,
        ),
      );
    const source = { file, text: read.text };
    const reader = readerFor(source);
    if (reader === undefined)
      return void this.problems.push(
        error(
          'config/unknown-format',
          `${this.nameOf(file)} is not in a format Steward reads`,
          'Give a steward.yaml, or a supervisord, nginx or Apache file.',
          { file: source.file, line: 1, column: 1, length: 1 },
        ),
      );
    const reading = reader(source, this.surroundings());
    this.readings.push(reading);
    if (reader === readSteward) this.includes(reading);
  }

  includes(reading: Reading): void {
    (reading.config.include ?? []).forEach((pattern, index) => {
      const at = reading.origins.get(`/include/${index}`);
      const files = globSync(pattern, { cwd: reading.folder })
        .map((path) => resolvePath(reading.folder, path))
        .toSorted();
      if (files.length === 0 && !/[*?[]/.test(pattern))
        this.problems.push(error('config/no-file', `include: there is no file "${pattern}"`, 'Write a path relative to this file.', at));
      for (const file of files) this.load(file, at);
    });
  }
}

/** Positions with the names a person gave: relative to the folder they stand in. Inside this room paths are absolute. */
function named(loader: Loader, problems: readonly Problem[]): Problem[] {
  return problems.map((problem) =>
    problem.at === undefined ? problem : { ...problem, at: { ...problem.at, file: loader.nameOf(problem.at.file) } },
  );
}

/** Reads files of any mix of formats. Never throws for what a file says; every problem of every file is in the answer. */
export function loadConfig(files: readonly string[], options: LoadOptions): Loaded {
  const loader = new Loader(options);
  for (const file of files) loader.load(file);
  return loadedOf(loader, options);
}

function loadedOf(loader: Loader, options: LoadOptions): Loaded {
  const { config, problems, standIn } = resolve(loader.readings, {
    env: options.env,
    hostname: hostname(),
    socketFolder: options.socketFolder,
    readText: (path) => loader.textOf(path),
    ...(options.stored && { stored: options.stored }),
    ...(options.counts && { counts: options.counts }),
  });
  return {
    config,
    problems: named(loader, [...loader.problems, ...problems]),
    sources: loader.readings.flatMap(({ sources }) => sources).map(({ file, text }) => ({ file: loader.nameOf(file), text })),
    texts: loader.readings.flatMap(({ sources }) => sources).map(({ file, text }) => ({ path: file, text })),
    placeOf: (service, field) => placeOf(loader, service, field),
    readings: loader.readings,
    standIn,
    written: writtenCounts(loader.readings),
    scaled: (counts) => loadedOf(loader, { ...options, counts }),
    withSecrets: (stored) => loadedOf(loader, { ...options, stored }),
  };
}

const writtenCounts = (readings: readonly Reading[]): Map<string, number> =>
  new Map(
    readings.flatMap(({ config }) =>
      Object.entries(config.services ?? {}).map(([name, source]) => [name, source.instances ?? config.defaults?.instances ?? 1] as const),
    ),
  );

function placeOf(loader: Loader, service: string, field: string): Position | undefined {
  const reading = loader.readings.find(({ config }) => config.services?.[service] !== undefined);
  const at = reading && originOf(reading.origins, `/services${pointerStep(service)}/${field}`);
  return at && { ...at, file: loader.nameOf(at.file) };
}

/** Whether a folder has a configuration of its own, and which file it is. */
export function findConfig(folder: string): string | undefined {
  const file = fileFor(folder);
  return statSync(file, { throwIfNoEntry: false })?.isFile() ? file : undefined;
}
