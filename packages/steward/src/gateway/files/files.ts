/**
 * Static files: which file a request is for, and the answer with it.
 *
 *   path ── place (folder + mapping) ──► file · folder · nothing ── index, fallback ──► precompressed form ──► conditions,
 *   ranges ──► bytes from memory (open-files.ts), or from the disk piece by piece (send-file.ts)
 *
 * Methods, folders and index files as nginx's static and index modules have it:
 * https://nginx.org/en/docs/http/ngx_http_core_module.html#root, https://nginx.org/en/docs/http/ngx_http_index_module.html,
 * https://nginx.org/en/docs/http/ngx_http_gzip_static_module.html. Two things are stricter: hidden files (`.git`, `.env`, not
 * `.well-known`) are not served, and links do not lead out of the folder.
 */
import path from 'node:path';
import type { FilesAction } from '../../config/site-model.ts';
import type { Reply } from '../carrier.ts';
import { compileTemplate, constantOf, expand, plainScope, type Scope, type Template, type VariableSource } from '../rules/variables.ts';
import { encodePath } from '../target.ts';
import { preferredCoding } from './compress.ts';
import { answerFor, type ByteRange, type FileAnswer, type ModifiedRule } from './conditional.ts';
import { mediaType, type TypeRules } from './media-types.ts';
import {
  type Coding,
  type Found,
  type FoundFile,
  findCompressed,
  findFile,
  fixedHeaders,
  lookAt,
  realPathOf,
  release,
} from './open-files.ts';
import { type Piece, sendPieces } from './send-file.ts';

export { type Found, release } from './open-files.ts';

/** What answering with a file needs of an exchange. */
export type FileExchange = VariableSource &
  Pick<
    Reply,
    'method' | 'header' | 'begin' | 'begun' | 'respond' | 'respondPage' | 'write' | 'end' | 'breakOff' | 'onDrain' | 'onAbandon' | 'closed'
  > & {
    /** What an error page is sent with. */
    readonly statusInstead?: number | undefined;
  };

/** A folder with files, or a file, and how a path leads there. */
export interface FilesPlace {
  readonly mapping: FilesAction['mapping'];
  readonly folder: Template;
  /** The folder when it is the same for all requests. */
  readonly fixed: string | undefined;
  /** For `whole` with variables: the folder in front of the first, which no value leads out of. */
  readonly inside: string | undefined;
}

export interface CompiledFiles extends TypeRules {
  readonly kind: 'files';
  readonly place: FilesPlace;
  readonly index: readonly Template[];
  readonly fallback: string | undefined;
  readonly precompressed: readonly Coding[];
  readonly modifiedRule: ModifiedRule | undefined;
}

/** What serving may ask of the rest of the gateway. */
export interface FileParts {
  /**
   * The path of an index file that is there: true when another route answers it (nginx's internal redirect: `index.php` may be
   * another location's), and has been handed the exchange. Else the path is the request's from here on.
   */
  readonly reroute?: (path: string) => boolean;
  /** Whether an answer with these headers will be compressed on its way: then it has no ranges. */
  readonly encodes?: (headers: readonly string[]) => boolean;
}

const withoutSlash = (folder: string): string => (folder.length > 1 && folder.endsWith('/') ? folder.slice(0, -1) : folder);

/** A place ready for requests. */
export function compilePlace({ folder, mapping }: Pick<FilesAction, 'folder' | 'mapping'>, scope: Scope = plainScope): FilesPlace {
  const template = compileTemplate(folder, scope);
  const constant = constantOf(template);
  const [first = ''] = template;
  const ahead = typeof first === 'string' ? first : '';
  return {
    mapping,
    folder: template,
    fixed: constant === undefined || mapping === 'whole' ? constant : withoutSlash(constant),
    inside: mapping === 'whole' && constant === undefined ? withoutSlash(ahead.slice(0, ahead.lastIndexOf('/') + 1) || '/') : undefined,
  };
}

/** A files action ready for requests. */
export function compileFiles(action: FilesAction, scope: Scope = plainScope): CompiledFiles {
  const { index, fallback, precompressed, defaultType, builtInTypes, charset, ifModifiedSince } = action;
  const types = Object.fromEntries(Object.entries(action.types).map(([extension, type]) => [extension.toLowerCase(), type]));
  return {
    kind: 'files',
    place: compilePlace(action, scope),
    index: index.map((text) => compileTemplate(text, scope)),
    fallback: fallback === undefined ? undefined : path.posix.join('/', fallback),
    precompressed,
    types,
    defaultType,
    ...(builtInTypes !== undefined && { builtInTypes }),
    ...(charset !== undefined && { charset }),
    modifiedRule: ifModifiedSince,
  };
}

const hiddenOrStrange = /\/\.|^\.|[\\\0]/;

/** Whether no file is served for a path: a part of it is hidden (but for `/.well-known` in front), or it has a backslash or NUL. */
function isRefused(text: string): boolean {
  if (!hiddenOrStrange.test(text)) return false;
  if (text.includes('\\') || text.includes('\0')) return true;
  return text.split('/').some((segment, at) => segment.startsWith('.') && !(at === 1 && segment === '.well-known'));
}

const climbs = /(?:^|\/)\.\.(?:\/|$)|\0/;

/** The folder of a place for a request, without final slash; undefined when a variable's value would lead elsewhere. */
function folderOf(place: FilesPlace, source: VariableSource): string | undefined {
  if (place.fixed !== undefined) return place.fixed;
  const text = expand(place.folder, source);
  if (!text.startsWith('/') || climbs.test(text)) return undefined;
  return place.mapping === 'whole' ? text : withoutSlash(text);
}

/** Where a path leads. */
interface Location {
  /** What the real place must be inside of; undefined: anywhere. */
  readonly folder: string | undefined;
  readonly file: string;
}

const below = (folder: string, relative: string): string => (folder === '/' && relative !== '' ? relative : folder + relative);

/** Where `text` (a decoded path) leads by `place`; undefined for a path that no file is served for. */
function locate(place: FilesPlace, source: VariableSource, prefix: string, text: string): Location | undefined {
  const folder = folderOf(place, source);
  if (folder === undefined) return undefined;
  if (place.mapping === 'whole') {
    if (place.inside !== undefined && isRefused(text)) return undefined;
    return { folder: place.inside, file: folder };
  }
  const relative = relativePath(place, text, prefix);
  return relative === undefined ? undefined : { folder, file: below(folder, relative) };
}

/** The path below the folder, or undefined for one that no file is served for: hidden, or with a backslash. */
export function relativePath({ mapping }: Pick<FilesAction, 'mapping'>, text: string, prefix: string): string | undefined {
  if (isRefused(text)) return undefined;
  return mapping === 'append' ? text : withoutPrefix(text, prefix);
}

/** `/b` of `/a/b` for the prefix `/a` or `/a/`; undefined when the path only begins with the same letters. */
function withoutPrefix(text: string, prefix: string): string | undefined {
  // A path that a step or `try` made need not begin with the prefix: it is then taken whole, as nginx does.
  if (!text.startsWith(prefix)) return climbs.test(text) ? undefined : text;
  const rest = text.slice(prefix.length);
  if (prefix !== '' && !prefix.endsWith('/') && rest !== '' && !rest.startsWith('/')) return undefined;
  if (climbs.test(rest)) return undefined;
  // The prefix itself is the folder, or a file: `location /one { alias /srv/one.txt; }`.
  return rest === '' && !prefix.endsWith('/') ? '' : `/${rest.replace(/^\/+/, '')}`;
}

/** $document_root: the folder of a place for this request. */
export const documentRootOf = (place: FilesPlace, source: VariableSource): string => folderOf(place, source) ?? '';

/** $realpath_root: the same with its links resolved. */
export const realpathRootOf = (place: FilesPlace, source: VariableSource): string => realPathOf(documentRootOf(place, source));

/** $request_filename: what the request's path leads to, whether or not it is there. */
export const requestFilenameOf = (place: FilesPlace, source: VariableSource, prefix: string): string =>
  locate(place, source, prefix, source.path.text)?.file ?? '';

/**
 * What a path of `try` leads to, for a decoded path that begins with a slash: the `file` or, `asFolder`, the `folder` that it is
 * looked at as, else why there is none. It is sent by `serveFile` once the path is the request's.
 */
export function lookFor(
  place: FilesPlace,
  source: VariableSource,
  prefix: string,
  text: string,
  asFolder: boolean,
): 'file' | 'folder' | 'missing' | 'forbidden' | 'busy' {
  const location = locate(place, source, prefix, text);
  if (location === undefined) return 'missing';
  const kind = lookAt(asFolder ? withoutSlash(location.file) : location.file, location.folder, performance.now());
  return (kind === 'file' && asFolder) || (kind === 'folder' && !asFolder) ? 'missing' : kind;
}

/** Answers `exchange` with a file of `action`, or the page that says why not. Never throws. */
export function serveFile(exchange: FileExchange, action: CompiledFiles, prefix: string, parts: FileParts = {}): void {
  try {
    answer(exchange, action, prefix, parts);
  } catch {
    if (exchange.begun) exchange.breakOff();
    else exchange.respondPage(500);
  }
}

/** What a request found; `rerouted`: somebody else answers it, `folder`: it lacks its final slash, `no-index`: the folder is there. */
type Outcome = Found | 'rerouted' | 'no-index';

function answer(exchange: FileExchange, action: CompiledFiles, prefix: string, parts: FileParts): void {
  const { method } = exchange;
  if (method !== 'GET' && method !== 'HEAD' && method !== 'POST') return refuseMethod(exchange);
  const now = performance.now();
  const { text } = exchange.path;
  const location = locate(action.place, exchange, prefix, text);
  if (location === undefined) return void exchange.respondPage(404);
  let found: Outcome = text.endsWith('/')
    ? findIndex(exchange, action, location, parts, now)
    : findFile(location.file, location.folder, now);
  if ((found === 'missing' || found === 'no-index') && action.fallback !== undefined)
    found = findFile(below(location.folder ?? '', action.fallback), location.folder, now);
  if (typeof found !== 'string') return send(exchange, action, found, location.folder, now, parts);
  if (found === 'folder') redirectToFolder(exchange);
  else if (found === 'forbidden' || found === 'no-index') exchange.respondPage(403);
  else if (found === 'busy') exchange.respondPage(503, ['Retry-After', '1']);
  else if (found === 'missing') exchange.respondPage(404);
}

const refuseMethod = (exchange: FileExchange): void => exchange.respondPage(405, ['Allow', 'GET, HEAD']);

function redirectToFolder(exchange: FileExchange): void {
  const query = exchange.args === '' ? '' : `?${exchange.args}`;
  exchange.respond(301, ['Location', `${encodePath(exchange.path.bytes)}/${query}`]);
}

/** The first index file of a folder that is there. */
function findIndex(exchange: FileExchange, action: CompiledFiles, { folder, file }: Location, parts: FileParts, now: number): Outcome {
  const { text } = exchange.path;
  const at = file.endsWith('/') ? file : `${file}/`;
  for (const template of action.index) {
    const index = expand(template, exchange);
    // An absolute one is a path of the site, sent there unseen (nginx allows it as the last).
    const absolute = index.startsWith('/');
    if (absolute && parts.reroute?.(index)) return 'rerouted';
    if (climbs.test(index)) continue;
    const found = findFile(absolute ? below(folder ?? '', index) : at + index, folder, now);
    if (found === 'missing' || found === 'folder') continue;
    if (typeof found === 'string' || absolute || !parts.reroute?.(text + index)) return found;
    release(found);
    return 'rerouted';
  }
  const kind = lookAt(at === '/' ? at : at.slice(0, -1), folder, now);
  return kind === 'folder' ? 'no-index' : kind === 'file' ? 'missing' : kind;
}

/** Sends a file, or what its conditions ask for instead; takes over its descriptor. */
function send(
  exchange: FileExchange,
  action: CompiledFiles,
  plain: FoundFile,
  folder: string | undefined,
  now: number,
  parts: FileParts,
): void {
  let file = plain;
  let passedOn = false;
  try {
    if (exchange.method === 'POST') return refuseMethod(exchange);
    let coding: Coding | undefined;
    if (action.precompressed.length > 0) {
      const compressed = findPreferred(exchange.header('accept-encoding'), action, plain, folder, now);
      if (compressed !== undefined) {
        release(plain);
        ({ file, coding } = compressed);
      }
    }
    passedOn = sendFound(exchange, action, file, plain.path, coding, parts);
  } finally {
    if (!passedOn) release(file);
  }
}

function findPreferred(
  accepted: string,
  { precompressed }: CompiledFiles,
  plain: FoundFile,
  folder: string | undefined,
  now: number,
): { file: FoundFile; coding: Coding } | undefined {
  if (accepted === '') return undefined;
  const codings = [...precompressed];
  for (let coding = preferredCoding(codings, accepted); coding !== undefined; coding = preferredCoding(codings, accepted)) {
    const file = findCompressed(plain, coding, folder, now);
    if (file !== undefined) return { file, coding };
    codings.splice(codings.indexOf(coding), 1);
  }
  return undefined;
}

/** True when the file's descriptor has been taken over. */
function sendFound(
  exchange: FileExchange,
  action: CompiledFiles,
  file: FoundFile,
  name: string,
  coding: Coding | undefined,
  parts: FileParts,
): boolean {
  const { etag, list } = fixedHeaders(file, action, coding ?? '', () => mediaType(name, action));
  const { sizeBytes, modifiedMs } = file;
  const vary = action.precompressed.length > 0 ? ['Vary', 'Accept-Encoding'] : [];
  const { statusInstead = 200 } = exchange;
  // An error page is what the error is: it has neither an age nor parts.
  if (statusInstead !== 200) return sendWhole(exchange, file, [...list.slice(0, 2), ...list.slice(6), ...vary]);
  const hasRanges =
    coding === undefined && (exchange.header('range') === '' || parts.encodes?.([...list, 'Content-Length', String(sizeBytes)]) !== true);
  const result = answerFor({ sizeBytes, modifiedMs, etag }, (header) => exchange.header(header), action.modifiedRule, hasRanges);
  if (result.status === 200) return sendWhole(exchange, file, [...list, ...(hasRanges ? acceptsRanges : []), ...vary]);
  if (result.status === 206) return sendRanges(exchange, file, result.ranges, [...list, ...vary]);
  refuse(exchange, result.status, sizeBytes, [...list.slice(2), ...vary]);
  return false;
}

const acceptsRanges = ['Accept-Ranges', 'bytes'];

function refuse(exchange: FileExchange, status: Exclude<FileAnswer['status'], 200 | 206>, sizeBytes: number, headers: string[]): void {
  if (status === 304) exchange.respond(304, headers);
  else exchange.respondPage(status, status === 416 ? ['Content-Range', `bytes */${sizeBytes}`] : []);
}

function sendWhole(exchange: FileExchange, file: FoundFile, headers: string[]): boolean {
  if (file.bytes === undefined) return sendFromDisk(exchange, file, 200, headers, [{ start: 0, length: file.sizeBytes }]);
  exchange.respond(200, headers, file.bytes);
  return false;
}

const rangeText = ({ start, end }: ByteRange, sizeBytes: number): string => `bytes ${start}-${end}/${sizeBytes}`;

const partOf = ({ start, end }: ByteRange): { start: number; length: number } => ({ start, length: end - start + 1 });

function sendRanges(exchange: FileExchange, file: FoundFile, ranges: readonly [ByteRange, ...ByteRange[]], headers: string[]): boolean {
  const [first, ...others] = ranges;
  let pieces: Piece[] = [partOf(first)];
  if (others.length === 0) headers.push('Content-Range', rangeText(first, file.sizeBytes));
  else {
    const boundary = nextBoundary();
    const type = headers[1] ?? '';
    headers[1] = `multipart/byteranges; boundary=${boundary}`;
    pieces = [];
    for (const range of ranges) {
      const head = `\r\n--${boundary}\r\nContent-Type: ${type}\r\nContent-Range: ${rangeText(range, file.sizeBytes)}\r\n\r\n`;
      pieces.push(Buffer.from(head, 'latin1'), partOf(range));
    }
    pieces.push(Buffer.from(`\r\n--${boundary}--\r\n`, 'latin1'));
  }
  const { bytes } = file;
  if (bytes === undefined) return sendFromDisk(exchange, file, 206, headers, pieces);
  const parts = pieces.map((piece) => (Buffer.isBuffer(piece) ? piece : bytes.subarray(piece.start, piece.start + piece.length)));
  exchange.respond(206, headers, parts.length === 1 ? parts[0] : Buffer.concat(parts));
  return false;
}

let boundaries = 0;

/** 20 digits, different for each answer, as in nginx. That a file holds it is as good as impossible, and harmless: lengths count. */
const nextBoundary = (): string => `${process.pid}${Date.now()}${++boundaries}`.slice(-20).padStart(20, '0');

function sendFromDisk(exchange: FileExchange, file: FoundFile, status: number, headers: string[], pieces: readonly Piece[]): boolean {
  headers.push('Content-Length', String(pieces.reduce((sum, { length }) => sum + length, 0)));
  exchange.begin(status, headers);
  if (exchange.method !== 'HEAD') {
    sendPieces(exchange, file.fd, pieces);
    return true;
  }
  exchange.end();
  return false;
}
