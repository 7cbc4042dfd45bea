/** HTTP as bytes: what is sent to nginx and to Steward alike, and what either sends back. */
import { connect } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';

/** Bytes for one connection; `methods` are those of the requests in it, in their order. */
export interface Sent {
  readonly name: string;
  readonly bytes: Buffer;
  readonly methods: readonly string[];
  /** Parts sent one after the other, once an answer to `Expect` has come. */
  readonly after?: Buffer;
  readonly port?: number;
  readonly tls?: ConnectionOptions;
  /** Name of the certificate to show, below {{tls}}. */
  readonly shows?: string;
  /** Sent once the protocol has changed; all of it must come back. */
  readonly echo?: Buffer;
}

export interface Received {
  readonly status: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
  /** Interim statuses before it, such as 100. */
  readonly interim: readonly number[];
}

/** What came back, and how the connection ended: left open, closed, or silent for too long. */
export interface Exchange {
  readonly answers: readonly Received[];
  readonly end: 'open' | 'closed' | 'hung';
}

interface Head {
  readonly status: number;
  readonly headers: [string, string][];
  readonly length: number;
}

function headOf(bytes: Buffer): Head | undefined {
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const [first = '', ...lines] = bytes.subarray(0, end).toString('latin1').split('\r\n');
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  });
  return { status: Number(/^HTTP\/\d\.\d (\d{3})/.exec(first)?.[1] ?? 0), headers, length: end + 4 };
}

const headerOf = (headers: readonly (readonly [string, string])[], name: string): string | undefined =>
  headers.find(([key]) => key === name)?.[1];

/** The body of a chunked answer and where it ends; undefined while more is to come. */
function chunkedBody(bytes: Buffer): { body: Buffer; length: number } | undefined {
  const parts: Buffer[] = [];
  for (let at = 0; ; ) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd < 0) return undefined;
    const size = Number.parseInt(bytes.subarray(at, lineEnd).toString('latin1'), 16);
    const start = lineEnd + 2;
    if (bytes.length < start + size + 2) return undefined;
    if (size === 0) return { body: Buffer.concat(parts), length: start + 2 };
    parts.push(bytes.subarray(start, start + size));
    at = start + size + 2;
  }
}

/** The first whole answer of `bytes` and what it took of them; undefined while more is to come. */
function takeAnswer(bytes: Buffer, method: string, isClosed: boolean): { answer: Received; length: number } | undefined {
  const interim: number[] = [];
  let start = 0;
  let head = headOf(bytes);
  while (head !== undefined && head.status >= 100 && head.status < 200 && head.status !== 101) {
    interim.push(head.status);
    start += head.length;
    head = headOf(bytes.subarray(start));
  }
  if (head === undefined) return undefined;
  const { status, headers } = head;
  start += head.length;
  const rest = bytes.subarray(start);
  const done = (body: Buffer, length: number) => ({ answer: { status, headers, body, interim }, length: start + length });
  if (method === 'HEAD' || status === 204 || status === 304 || status === 101) return done(Buffer.alloc(0), 0);
  if (/chunked/i.test(headerOf(headers, 'transfer-encoding') ?? '')) {
    const found = chunkedBody(rest);
    return found === undefined ? undefined : done(found.body, found.length);
  }
  const length = headerOf(headers, 'content-length');
  if (length !== undefined) return rest.length < Number(length) ? undefined : done(rest.subarray(0, Number(length)), Number(length));
  return isClosed ? done(rest, rest.length) : undefined;
}

const patienceMs = 8000;

/** Sends to a port of 127.0.0.1 and reads until every request has its answer, the connection ends, or 8 s have passed. */
export function exchange(port: number, { bytes, methods, after, tls, echo }: Sent): Promise<Exchange> {
  return new Promise((resolve) => {
    const answers: Received[] = [];
    let rest: Buffer = Buffer.alloc(0);
    let owed = after;
    let echoed = false;
    const socket =
      tls === undefined ? connect(port, '127.0.0.1') : connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false, ...tls });
    const finish = (end: Exchange['end']): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ answers, end });
    };
    const timer = setTimeout(() => finish('hung'), patienceMs);
    const read = (isClosed: boolean): void => {
      for (;;) {
        const found = takeAnswer(rest, methods[answers.length] ?? 'GET', isClosed);
        if (found === undefined) return;
        answers.push(found.answer);
        rest = rest.subarray(found.length);
        if (found.answer.status === 101 && echo !== undefined) socket.write(echo);
      }
    };
    socket.once(tls === undefined ? 'connect' : 'secureConnect', () => socket.write(bytes));
    socket.on('data', (part: Buffer) => {
      rest = Buffer.concat([rest, part]);
      if (owed !== undefined && rest.includes('HTTP/1.1 100')) {
        socket.write(owed);
        owed = undefined;
      }
      if (!echoed) read(false);
      if (echo !== undefined && answers[0]?.status === 101) {
        echoed = true;
        if (rest.length < echo.length) return;
        answers.push({ status: 101, headers: [], body: rest, interim: [] });
      }
      if (answers.length >= methods.length) finish('open');
    });
    socket.on('error', () => {});
    socket.once('close', () => {
      read(true);
      finish('closed');
    });
  });
}
