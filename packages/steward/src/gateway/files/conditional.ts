/** Conditional and partial requests for a file (RFC 9110, parts 13 and 14). Pure. */

export interface FileFacts {
  readonly sizeBytes: number;
  /** Milliseconds since 1970. */
  readonly modifiedMs: number;
  readonly etag: string;
}

/** First and last byte. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** What to send. 206 has one range, or several with no more bytes than the file has, in the order asked for. */
export type FileAnswer =
  | { readonly status: 200 | 304 | 412 | 416 }
  | { readonly status: 206; readonly ranges: readonly [ByteRange, ...ByteRange[]] };

/** The value of a request header by its lowercase name; empty when it is not there. */
export type HeaderReader = (name: string) => string;

/** Which dates of If-Modified-Since get 304: the file's own alone, that one and later ones, or none. */
export type ModifiedRule = 'exact' | 'before' | 'off';

/**
 * More ranges than this get the whole file, as RFC 9110 (14.2) advises: programs that ask for many small ones are rare, and
 * those who do it to hurt cost no more than a plain request.
 */
const maxRanges = 32;

/** A validator that changes with the file's time and size, the same in every worker. `coding` tells compressed forms apart. */
export const etagOf = (sizeBytes: number, modifiedMs: number, coding = ''): string =>
  `"${Math.floor(modifiedMs).toString(16)}-${sizeBytes.toString(16)}${coding === '' ? '' : `-${coding}`}"`;

/** Seconds, the unit of HTTP dates; NaN when there is none. */
const seconds = (date: string): number => (date === '' ? Number.NaN : Math.floor(Date.parse(date) / 1000));

const bare = (tag: string): string => tag.trim().replace(/^W\//, '');

const hasTag = (list: string, etag: string): boolean => list.trim() === '*' || list.split(',').some((tag) => bare(tag) === etag);

const whole: FileAnswer = { status: 200 };

/**
 * What the request's conditions and ranges ask of a file. `hasRanges` false: it is sent whole or not at all, since what is
 * sent is not its own bytes.
 */
export function answerFor(file: FileFacts, header: HeaderReader, rule: ModifiedRule = 'exact', hasRanges = true): FileAnswer {
  const modified = Math.floor(file.modifiedMs / 1000);
  const ifMatch = header('if-match');
  if (ifMatch !== '' && !hasTag(ifMatch, file.etag)) return { status: 412 };
  if (ifMatch === '' && modified > seconds(header('if-unmodified-since'))) return { status: 412 };
  const ifNoneMatch = header('if-none-match');
  if (ifNoneMatch !== '') {
    if (hasTag(ifNoneMatch, file.etag)) return { status: 304 };
  } else if (isUnmodified(modified, seconds(header('if-modified-since')), rule)) return { status: 304 };
  const range = hasRanges ? header('range') : '';
  if (range === '' || !rangeStillHolds(file, header('if-range'))) return whole;
  return rangeAnswer(range, file.sizeBytes);
}

/** By nginx's if_modified_since: an exact date also tells a file that was put back to an older version. */
const isUnmodified = (modified: number, since: number, rule: ModifiedRule): boolean =>
  rule !== 'off' && (modified === since || (rule === 'before' && modified < since));

/** If-Range: an exact match of tag or date, so that a download is never continued with bytes of another version. */
function rangeStillHolds(file: FileFacts, ifRange: string): boolean {
  if (ifRange === '') return true;
  if (ifRange.includes('"')) return ifRange.trim() === file.etag;
  return seconds(ifRange) === Math.floor(file.modifiedMs / 1000);
}

/**
 * Ranges that begin behind the end are left out; with none left, or in a form that is not understood, the answer is 416, as
 * nginx has it. Ranges of more bytes than the file has together, more than 32 of them, those of an empty file and other units
 * than bytes get the whole file: nobody gets more bytes than the file has.
 */
function rangeAnswer(header: string, sizeBytes: number): FileAnswer {
  if (!/^bytes=./i.test(header)) return whole;
  const parts = header.slice(6).split(',', maxRanges + 1);
  if (parts.length > maxRanges) return whole;
  const ranges: ByteRange[] = [];
  let bytes = 0;
  for (const part of parts) {
    const range = readRange(part, sizeBytes);
    if (range === 'broken') return { status: 416 };
    if (range === 'all') return whole;
    if (range === 'outside') continue;
    ranges.push(range);
    bytes += range.end - range.start + 1;
  }
  const [first, ...others] = ranges;
  if (first === undefined) return { status: 416 };
  return bytes > sizeBytes ? whole : { status: 206, ranges: [first, ...others] };
}

/** `all`: of a file without bytes its beginning can be had nevertheless. */
function readRange(text: string, sizeBytes: number): ByteRange | 'outside' | 'broken' | 'all' {
  const [, first = '', last = ''] = /^ *(\d{0,15}) *- *(\d{0,15}) *$/.exec(text) ?? [];
  if (first === '' && last === '') return 'broken';
  const start = first === '' ? sizeBytes - Math.min(Number(last), sizeBytes) : Number(first);
  const end = first === '' || last === '' ? sizeBytes - 1 : Math.min(Number(last), sizeBytes - 1);
  if (start <= end) return { start, end };
  return start === 0 ? 'all' : 'outside';
}
