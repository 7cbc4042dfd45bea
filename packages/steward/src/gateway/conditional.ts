/** Conditional and partial requests for a file (RFC 9110, parts 13 and 14). Pure. */

export interface FileFacts {
  readonly sizeBytes: number;
  /** Milliseconds since 1970. */
  readonly modifiedMs: number;
  readonly etag: string;
}

/** The request headers that matter, by lowercase name. */
export type ConditionHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** What to send: `start` and `end` are the first and the last byte. */
export type FileAnswer =
  | { readonly status: 200 | 304 | 412 | 416 }
  | { readonly status: 206; readonly start: number; readonly end: number };

/** A validator that changes with the file's time and size, the same in every worker. */
export const etagOf = (sizeBytes: number, modifiedMs: number): string =>
  `"${Math.floor(modifiedMs).toString(16)}-${sizeBytes.toString(16)}"`;

const one = (value: string | string[] | undefined): string | undefined => (typeof value === 'string' ? value : undefined);

/** Seconds, the unit of HTTP dates; NaN when there is none. */
const seconds = (date: string | undefined): number => (date === undefined ? Number.NaN : Math.floor(Date.parse(date) / 1000));

const bare = (tag: string): string => tag.trim().replace(/^W\//, '');

const hasTag = (list: string, etag: string): boolean => list.trim() === '*' || list.split(',').some((tag) => bare(tag) === etag);

/** What the request's conditions and range ask of a file. */
export function answerFor(file: FileFacts, headers: ConditionHeaders): FileAnswer {
  const modified = Math.floor(file.modifiedMs / 1000);
  const ifMatch = one(headers['if-match']);
  if (ifMatch !== undefined && !hasTag(ifMatch, file.etag)) return { status: 412 };
  if (ifMatch === undefined && modified > seconds(one(headers['if-unmodified-since']))) return { status: 412 };
  const ifNoneMatch = one(headers['if-none-match']);
  if (ifNoneMatch !== undefined) {
    if (hasTag(ifNoneMatch, file.etag)) return { status: 304 };
  } else if (modified <= seconds(one(headers['if-modified-since']))) return { status: 304 };
  const range = one(headers.range);
  if (range === undefined || !rangeStillHolds(file, one(headers['if-range']))) return { status: 200 };
  return rangeAnswer(range, file.sizeBytes);
}

/** If-Range: an exact match of tag or date, so that a download is never continued with bytes of another version. */
function rangeStillHolds(file: FileFacts, ifRange: string | undefined): boolean {
  if (ifRange === undefined) return true;
  if (ifRange.includes('"')) return ifRange.trim() === file.etag;
  return seconds(ifRange) === Math.floor(file.modifiedMs / 1000);
}

/** One range is served; several, or a form that is not understood, get the whole file, as the standard allows. */
function rangeAnswer(range: string, sizeBytes: number): FileAnswer {
  const parts = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/i.exec(range);
  const [, first = '', last = ''] = parts ?? [];
  if (parts === null || (first === '' && last === '')) return { status: 200 };
  if (first === '') {
    const length = Math.min(Number(last), sizeBytes);
    return length === 0 ? { status: 416 } : { status: 206, start: sizeBytes - length, end: sizeBytes - 1 };
  }
  const start = Number(first);
  const end = last === '' ? sizeBytes - 1 : Math.min(Number(last), sizeBytes - 1);
  if (last !== '' && Number(last) < start) return { status: 200 };
  return start >= sizeBytes ? { status: 416 } : { status: 206, start, end };
}
