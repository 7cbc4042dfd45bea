import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import type { BodyReader, Carrier, RequestFacts } from '../../carrier.ts';
import { Exchange } from '../../exchange.ts';
import { Deadlines } from '../deadlines.ts';
import { ClientConnection, type Receiver } from './client-connection.ts';
import { randomFrom } from './testing-mutations.ts';

/** The connection's side of a socket, without a network. */
class Wire extends Duplex {
  sent = '';
  timeout = 0;

  override _read(): void {}

  override _write(part: Buffer, _encoding: string, done: () => void): void {
    this.sent += part.toString('latin1');
    done();
  }

  setTimeout(): this {
    return this;
  }

  resetAndDestroy(): this {
    return this.destroy();
  }
}

/** Answers each request with what it was, body included; 404 for what it does not like is none of its business. */
class Echo implements Receiver {
  readonly seen: string[] = [];
  readonly refused: number[] = [];
  readonly #keeper = { onClose: () => {}, onError: () => false };

  begin(carrier: Carrier, request: RequestFacts): Exchange {
    return new Exchange(carrier, request, this.#keeper as ConstructorParameters<typeof Exchange>[2], performance.now());
  }

  route(exchange: Exchange): void {
    const { request } = exchange;
    let body = '';
    const finish = (): void => {
      this.seen.push(`${request.method} ${request.url} ${request.headers.names.map(({ text }) => text).join()} ${body}`);
      exchange.respond(200, [], body);
    };
    const reader: BodyReader = {
      onBodyPart: (part) => {
        body += part.toString('latin1');
      },
      onBodyEnd: finish,
      onBodyFault: (status) => {
        this.refused.push(status);
        if (status !== 0) exchange.respond(status, []);
      },
    };
    exchange.carrier.readBody(reader);
  }

  opened(): void {}

  closed(): void {}

  malformed(_carrier: Carrier, { status }: { status: number }): void {
    this.refused.push(status);
  }
}

const limits = { headerTimeoutMs: 60_000, stallTimeoutMs: 60_000, idleTimeoutMs: 60_000, maxHeaderBytes: 1_000 };

interface Outcome {
  readonly seen: readonly string[];
  readonly refused: readonly number[];
  readonly sent: string;
  readonly deadlines: number;
}

async function talk(parts: readonly Buffer[]): Promise<Outcome> {
  const deadlines = new Deadlines();
  const wire = new Wire({ allowHalfOpen: true });
  const receiver = new Echo();
  const port = { name: 'p', number: 80, tls: false, limits, deadlines, closing: false };
  const peer = { address: '127.0.0.1', port: 1, localAddress: '127.0.0.1', connection: 1, requests: 0, proxied: undefined, tls: undefined };
  new ClientConnection(wire as unknown as Socket, port, peer, receiver);
  for (const part of parts) wire.push(part);
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
  wire.push(null);
  await new Promise((resolve) => setImmediate(resolve));
  wire.destroy();
  await new Promise((resolve) => setImmediate(resolve));
  return {
    seen: receiver.seen,
    refused: receiver.refused.filter((status) => status !== 0),
    sent: wire.sent.replaceAll(/Date: [^\r]*\r\n/g, ''),
    deadlines: deadlines.size,
  };
}

const head = (line: string, more = '') => `${line} HTTP/1.1\r\nHost: a\r\n${more}\r\n`;

const conversations = [
  head('GET /'),
  `${head('GET /1')}${head('GET /2')}\r\n\r\n${head('GET /3', 'Connection: close\r\n')}${head('GET /never')}`,
  `${head('POST /1', 'Content-Length: 5\r\n')}hello${head('POST /2', 'Transfer-Encoding: chunked\r\n')}5;x\r\nhello\r\n0\r\nX: y\r\n\r\n${head('GET /3')}`,
  `${head('POST /', 'Transfer-Encoding: chunked\r\n')}5\r\nhelloXX${head('GET /never')}`,
  `${head('GET /1')}GET / HTTP/1.1\r\nHost : a\r\n\r\n${head('GET /never')}`,
  `\r\n\r\n${head('HEAD /')}`,
  'GET / HTTP/1.1\nHost: a\n\n',
  `GET /${'x'.repeat(2_000)} HTTP/1.1\r\nHost: a\r\n\r\n`,
  head('GET /', `X: ${'x'.repeat(2_000)}\r\n`),
  head('GET /', 'Content-Length: 1\r\nTransfer-Encoding: chunked\r\n'),
];

test('a conversation is the same wherever its bytes are cut', async () => {
  for (const text of conversations) {
    const bytes = Buffer.from(text, 'latin1');
    const expected = await talk([bytes]);
    assert.ok(!expected.sent.includes('never') && !expected.seen.some((one) => one.includes('never')));
    const step = Math.max(1, Math.floor(bytes.length / 250));
    for (let at = 1; at < bytes.length; at += step)
      assert.deepEqual(await talk([bytes.subarray(0, at), bytes.subarray(at)]), expected, `${text.slice(0, 80)} at ${at}`);
    assert.deepEqual(await talk([...text].map((byte) => Buffer.from(byte, 'latin1'))), expected, text.slice(0, 80));
  }
});

test('random changes of conversations are read the same in pieces, never throw, and leave no deadline behind', async () => {
  const { mutate, split, below } = randomFrom(3);
  for (let n = 0; n < 1_500; n++) {
    const bytes = Buffer.from(mutate(conversations[below(conversations.length)] ?? ''), 'latin1');
    const whole = await talk([bytes]);
    const pieces = await talk(split(bytes));
    // A first line that is no HTTP may be refused before the rest of it is there to be refused for something else.
    const kept = ({ seen, refused, deadlines }: Outcome) => ({ seen, refused: refused.length, deadlines });
    assert.deepEqual(kept(pieces), kept(whole), JSON.stringify(bytes.toString('latin1')));
    assert.equal(whole.deadlines, 0);
  }
});
