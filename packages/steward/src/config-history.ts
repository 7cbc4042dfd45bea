/** Configurations that were applied: their texts, when, and by whom. The oldest go. */
import { createHash } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { ConfigText } from './config/read.ts';
import { StewardError } from './errors.ts';
import type { Store } from './store/store.ts';

export interface AppliedConfig {
  readonly version: number;
  readonly atMs: number;
  readonly by: string;
  readonly summary: string;
  readonly etag: string;
  /** The files that were named; the others are included by them. */
  readonly roots: readonly string[];
  readonly paths: readonly string[];
}

export interface ConfigHistory {
  /** Keeps what was applied, unless it is what was applied last. */
  keep(applied: Pick<AppliedConfig, 'by' | 'summary' | 'roots'>, texts: readonly ConfigText[]): void;
  /** Newest first, those before version `before`. */
  list(limit: number, before?: number): AppliedConfig[];
  /** Undefined when there is none, or it is no longer kept. */
  texts(version: number): KeptConfig | undefined;
}

const kept = 200;

export interface KeptConfig {
  readonly applied: AppliedConfig;
  readonly texts: readonly ConfigText[];
}

/** @throws StewardError when there is no version of this number, or it is no longer kept. */
export function keptVersion(history: ConfigHistory, version: number): KeptConfig {
  const found = history.texts(version);
  if (found !== undefined) return found;
  throw new StewardError('api/unknown-version', `there is no version ${version} of the configuration`, {
    status: 404,
    hint: 'listConfigVersions has those that are kept.',
  });
}

interface Row {
  readonly version: number;
  readonly at_ms: number;
  readonly by: string;
  readonly summary: string;
  readonly etag: string;
  readonly roots: string;
  readonly paths: string;
  readonly texts: string;
}

/** Stands for exactly these texts in this order of paths. */
export function etagOf(texts: readonly ConfigText[]): string {
  const hash = createHash('sha256');
  for (const { path, text } of texts.toSorted((a, b) => (a.path < b.path ? -1 : 1))) hash.update(JSON.stringify([path, text]));
  return hash.digest('base64url').slice(0, 22);
}

const pack = (texts: readonly ConfigText[]): string => gzipSync(JSON.stringify(texts)).toString('base64');
const unpack = (packed: string): ConfigText[] => JSON.parse(gunzipSync(Buffer.from(packed, 'base64')).toString()) as ConfigText[];

const fromRow = ({ version, at_ms, by, summary, etag, roots, paths }: Omit<Row, 'texts'>): AppliedConfig => ({
  version,
  atMs: at_ms,
  by,
  summary,
  etag,
  roots: JSON.parse(roots) as string[],
  paths: JSON.parse(paths) as string[],
});

const columns = 'version, at_ms, by, summary, etag, roots, paths';

/** `now` gives epoch milliseconds. */
export function createConfigHistory(store: Store, now: () => number): ConfigHistory {
  const list: ConfigHistory['list'] = (limit, before = Number.MAX_SAFE_INTEGER) =>
    store.all<Row>(`select ${columns} from config_version where version < ? order by version desc limit ?`, before, limit).map(fromRow);
  return {
    keep({ by, summary, roots }, texts) {
      const [last] = list(1);
      const etag = etagOf(texts);
      if (last?.etag === etag && JSON.stringify(last.roots) === JSON.stringify(roots)) return;
      const version = (last?.version ?? 0) + 1;
      const paths = texts.map(({ path }) => path);
      store.run(
        `insert into config_version (${columns}, texts) values (?, ?, ?, ?, ?, ?, ?, ?)`,
        version,
        now(),
        by,
        summary,
        etag,
        JSON.stringify(roots),
        JSON.stringify(paths),
        pack(texts),
      );
      store.run('delete from config_version where version <= ?', version - kept);
    },
    list,
    texts(version) {
      const [row] = store.all<Row>('select * from config_version where version = ?', version);
      return row && { applied: fromRow(row), texts: unpack(row.texts) };
    },
  };
}
