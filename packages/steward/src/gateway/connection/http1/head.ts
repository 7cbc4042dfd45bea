/**
 * Reads the head of an HTTP/1.x message: its first line and its headers (RFC 9112). Strict where a loose reading lets two
 * programs disagree on where a message ends, because that is how requests are smuggled: CRLF alone ends a line, no line is
 * folded, no space stands before a colon, a length is said once, and never together with chunks. Pure.
 */
import { Headers, headerName, mayTrail, mayUpgrade, saysConnection } from '../headers.ts';

/** How the end of a body is known: a number of bytes, or one of these. */
export const chunked = -1;
export const untilClose = -2;

export interface RequestHead {
  readonly method: string;
  readonly target: string;
  /** Of HTTP/1.x. */
  readonly minor: number;
  readonly headers: Headers;
  /** Bytes of the body, or `chunked`. */
  readonly bodyLength: number;
  readonly keepAlive: boolean;
  /** The client waits for 100 (Continue) before it sends its body. */
  readonly expectsContinue: boolean;
  /** The protocol in the Upgrade header, if it may be changed to, Connection says so too and there is no body in between. */
  readonly upgrade: string | undefined;
}

/** Why a head cannot be taken, and the status that says so. */
export interface HeadFault {
  readonly status: number;
  readonly why: string;
}

export const isFault = (head: object): head is HeadFault => 'why' in head;

const fault = (status: number, why: string): HeadFault => ({ status, why });

const illegalCharacter = fault(400, 'a character that no head may hold');

/** A control character, or a CR or LF that is not part of a CRLF. */
const illegal = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|[^\r]\n/;

const digits = /^\d{1,15}$/;
const methodForm = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}$/;
const knownMethods = new Set(['GET', 'POST', 'HEAD', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']);
/** Not a space, nothing below it, no fragment. */
const targetForm = /^[!"$-~\x80-\xff]+$/;

/** Whether `text` can be the method of a request (RFC 9110, 9.1), at a length that any is. */
export const isMethod = (text: string): boolean => knownMethods.has(text) || methodForm.test(text);

/** Whether `text` can be the target of a request: no blank, no control character, no fragment. */
export const isTarget = (text: string): boolean => targetForm.test(text);

/** More headers than any browser or program sends. */
export const maxHeaderLines = 200;

/** What the fields of a head say of the connection and of the body. */
class Notes {
  hosts = 0;
  lengths = 0;
  length = 0;
  codings = 0;
  coding = '';
  connection = '';
  expect = '';
  upgrade = '';
}

const isBlank = (code: number): boolean => code === 32 || code === 9;

/** `text` between two places without the blanks around it. */
function trimmed(text: string, from: number, to: number): string {
  let start = from;
  let end = to;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

/** Notes one field; a reason when it alone makes the head unusable. */
function note(notes: Notes, kind: string, lower: string, value: string): string | undefined {
  if (kind === 'host') notes.hosts++;
  else if (kind === 'length') {
    if (notes.lengths++ > 0) return 'two Content-Length headers';
    if (!digits.test(value)) return 'a Content-Length that is no number';
    notes.length = Number(value);
  } else if (kind === 'coding') {
    notes.codings++;
    notes.coding = value;
  } else if (kind === 'connection') notes.connection = notes.connection === '' ? value : `${notes.connection},${value}`;
  else if (kind === 'hop') {
    if (lower === 'expect') notes.expect = value;
    else if (lower === 'upgrade') notes.upgrade = notes.upgrade === '' ? value : `${notes.upgrade},${value}`;
  }
  return undefined;
}

/** The fields of a head: `text` is what stands behind its first line, with the CRLF that ends that line. */
interface Fields {
  readonly text: string;
  readonly headers: Headers;
  readonly notes: Notes;
  readonly wrong: HeadFault | undefined;
}

/** Longer ones are not kept: they would cost each idle connection more than reading them costs a busy one. */
const maxKeptText = 2048;

/**
 * The fields that were read last on a connection. Who asks or answers again mostly says the same behind the first line, and
 * what is the same is not read again; nor does anybody who made something of these fields make it again, since they are the
 * same object.
 */
export class LastFields {
  #last: Fields | undefined;

  read(text: string): Fields {
    if (this.#last?.text === text) return this.#last;
    const headers = new Headers();
    const notes = new Notes();
    const wrong = illegal.test(text) ? illegalCharacter : text === '' ? undefined : readFields(text, 2, headers, notes);
    const fields = { text, headers, notes, wrong };
    this.#last = text.length > maxKeptText ? undefined : fields;
    return fields;
  }
}

/** Reads `text` from `at`, which holds whole lines, into `headers`. */
function readFields(text: string, at: number, headers: Headers, notes: Notes): HeadFault | undefined {
  for (let start = at; start < text.length; ) {
    const stop = text.indexOf('\r\n', start);
    const end = stop < 0 ? text.length : stop;
    const colon = text.indexOf(':', start);
    if (colon < 0 || colon > end) return fault(400, 'a header line without a colon');
    const name = headerName(text.slice(start, colon));
    if (name === undefined) return fault(400, 'a header name that is none');
    if (headers.names.length >= maxHeaderLines) return fault(431, `more than ${maxHeaderLines} headers`);
    const value = trimmed(text, colon + 1, end);
    headers.add(name, value);
    if (name.kind !== 'pass') {
      const why = note(notes, name.kind, name.lower, value);
      if (why !== undefined) return fault(400, why);
    }
    start = end + 2;
  }
  return undefined;
}

/**
 * Trailer fields after a chunked body, without those that have no business there; undefined when they cannot be read. `text`
 * holds whole lines.
 */
export function readTrailers(text: string): Headers | undefined {
  const headers = new Headers();
  if (illegal.test(text) || readFields(text, 0, headers, new Notes()) !== undefined) return undefined;
  const kept = new Headers();
  headers.names.forEach((name, at) => {
    if (mayTrail(name)) kept.add(name, headers.values[at] ?? '');
  });
  return kept;
}

/** Reads a request's head: everything before the empty line, without its last CRLF. `last` is its connection's. */
export function readRequestHead(text: string, last: LastFields): RequestHead | HeadFault {
  const lineEnd = text.indexOf('\r\n');
  const line = lineEnd < 0 ? text : text.slice(0, lineEnd);
  if (illegal.test(line)) return illegalCharacter;
  const { headers, notes, wrong } = last.read(lineEnd < 0 ? '' : text.slice(lineEnd));
  if (wrong === illegalCharacter) return wrong;
  const first = line.indexOf(' ');
  const second = line.indexOf(' ', first + 1);
  if (first < 0 || second < 0) return fault(400, 'a request line that is none');
  const method = line.slice(0, first);
  const target = line.slice(first + 1, second);
  const version = line.slice(second + 1);
  if (!isMethod(method)) return fault(400, 'a method that is none');
  if (!isTarget(target)) return fault(400, 'a request target that is none');
  if (version !== 'HTTP/1.1' && version !== 'HTTP/1.0')
    return /^HTTP\/(?:[2-9]|1\.[2-9])/.test(version) ? fault(505, 'another version of HTTP') : fault(400, 'no version of HTTP');
  return wrong ?? requestOf(method, target, version === 'HTTP/1.1' ? 1 : 0, headers, notes);
}

function requestOf(method: string, target: string, minor: number, headers: Headers, notes: Notes): RequestHead | HeadFault {
  if (notes.hosts !== 1 && (minor === 1 || notes.hosts > 1)) return fault(400, notes.hosts > 1 ? 'two Host headers' : 'no Host header');
  if (notes.codings > 0) {
    if (notes.lengths > 0) return fault(400, 'Content-Length together with Transfer-Encoding');
    if (minor === 0) return fault(400, 'Transfer-Encoding in HTTP/1.0');
    if (notes.codings > 1) return fault(400, 'two Transfer-Encoding headers');
    if (notes.coding.toLowerCase() !== 'chunked') return fault(501, 'a transfer coding other than chunked');
  }
  const { connection, expect } = notes;
  // What came behind a body would be read by two programs in two protocols.
  const bodiless = notes.codings === 0 && notes.length === 0;
  return {
    method,
    target,
    minor,
    headers,
    bodyLength: notes.codings > 0 ? chunked : notes.length,
    keepAlive: minor === 1 ? !saysConnection(connection, 'close') : saysConnection(connection, 'keep-alive'),
    // Other expectations are nobody's: 417 is allowed, not asked for (RFC 9110, 10.1.1).
    expectsContinue: minor === 1 && expect.toLowerCase() === '100-continue',
    upgrade: bodiless && minor === 1 && mayUpgrade(notes.upgrade) && saysConnection(connection, 'upgrade') ? notes.upgrade : undefined,
  };
}

export interface ResponseHead {
  readonly status: number;
  readonly message: string;
  readonly minor: number;
  readonly headers: Headers;
  /** Bytes of the body, `chunked`, or `untilClose`; a response to HEAD and some statuses have none whatever this says. */
  readonly bodyLength: number;
  readonly keepAlive: boolean;
  readonly upgrade: string | undefined;
}

const statusLine = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: (.*))?$/;

/** Reads a response's head: everything before the empty line, without its last CRLF. A text says what is wrong with it. */
export function readResponseHead(text: string, last: LastFields): ResponseHead | string {
  const lineEnd = text.indexOf('\r\n');
  const first = lineEnd < 0 ? text : text.slice(0, lineEnd);
  const { headers, notes, wrong } = last.read(lineEnd < 0 ? '' : text.slice(lineEnd));
  if (wrong === illegalCharacter || illegal.test(first)) return 'its head holds a character that no head may hold';
  const line = statusLine.exec(first);
  if (line === null) return 'it begins with no status line';
  if (wrong !== undefined) return `it has ${wrong.why}`;
  if (notes.codings > 0 && (notes.codings > 1 || notes.coding.toLowerCase() !== 'chunked'))
    return 'it has a transfer coding other than chunked';
  if (notes.codings > 0 && notes.lengths > 0) return 'it has Content-Length together with Transfer-Encoding';
  const minor = line[1] === '1' ? 1 : 0;
  const { connection } = notes;
  return {
    status: Number(line[2]),
    message: line[3] ?? '',
    minor,
    headers,
    bodyLength: notes.codings > 0 ? chunked : notes.lengths > 0 ? notes.length : untilClose,
    // Chunks are not known to HTTP/1.0: where such a message ends is anybody's guess (RFC 9112, 6.1).
    keepAlive: minor === 1 ? !saysConnection(connection, 'close') : notes.codings === 0 && saysConnection(connection, 'keep-alive'),
    upgrade: notes.upgrade === '' ? undefined : notes.upgrade,
  };
}
