import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BodyDecoder } from './body.ts';
import { chunked, untilClose } from './head.ts';
import { randomFrom } from './testing-mutations.ts';

interface Read {
  readonly body: string;
  readonly state: 'done' | 'broken' | 'open';
  /** What came behind the body. */
  readonly rest: string;
  readonly trailers: string;
}

/** Reads `parts` as the connection would: nothing more once the body is over. */
function read(parts: readonly Buffer[], length: number, maxTrailerBytes = 1000): Read {
  const decoder = new BodyDecoder(length, maxTrailerBytes);
  let body = '';
  let rest = '';
  const sink = {
    onPart: (part: Buffer) => {
      body += part.toString('latin1');
    },
  };
  for (const part of parts) {
    const next = decoder.done || decoder.broken ? 0 : decoder.take(part, 0, sink);
    if (!decoder.broken) rest += part.toString('latin1', next);
  }
  const { trailers, done, broken } = decoder;
  const fields = trailers?.names.map(({ text }, at) => `${text}=${trailers.values[at]}`).join() ?? '';
  return { body, state: done ? 'done' : broken ? 'broken' : 'open', rest: broken ? '' : rest, trailers: fields };
}

const bytes = (text: string) => Buffer.from(text, 'latin1');
const whole = (text: string, length: number) => read([bytes(text)], length);

const chunkTable: [string, Read['state'], string?, string?][] = [
  ['0\r\n\r\n', 'done', ''],
  ['5\r\nhello\r\n0\r\n\r\n', 'done', 'hello'],
  ['5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET', 'done', 'hello world'],
  ['00005\r\nhello\r\n000\r\n\r\n', 'done', 'hello'],
  ['A\r\n0123456789\r\n0\r\n\r\n', 'done', '0123456789'],
  ['5;a=b;c="d e"\r\nhello\r\n0;x\r\n\r\n', 'done', 'hello'],
  ['5 ; a\r\nhello\r\n0\r\n\r\n', 'done', 'hello'],
  ['5\r\nhello\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n', 'done', 'hello', 'X-Sum=1,Y=2'],
  ['5\r\nhello\r\n0\r\nHost: evil\r\nContent-Length: 9\r\n\r\n', 'done', 'hello', ''],
  ['5\r\nhel', 'open', 'hel'],
  ['5\nhello\r\n0\r\n\r\n', 'broken'],
  ['5\r\nhello\n0\r\n\r\n', 'broken'],
  ['5\r\nhello0\r\n\r\n', 'broken'],
  ['5\r\nhelloXY0\r\n\r\n', 'broken'],
  ['5\r\nhello\r\r\n0\r\n\r\n', 'broken'],
  ['5\r\nhello\r\n0\n\n', 'broken'],
  ['5\r\nhello\r\n0\r\n\n', 'broken'],
  ['0\r\nX: y\n\r\n', 'broken'],
  ['0\r\n X: y\r\n\r\n', 'broken'],
  ['0\r\nX\r\n\r\n', 'broken'],
  ['0x5\r\nhello\r\n', 'broken'],
  ['+5\r\nhello\r\n', 'broken'],
  ['-5\r\nhello\r\n', 'broken'],
  [' 5\r\nhello\r\n', 'broken'],
  ['5 5\r\nhello\r\n', 'broken'],
  ['5\rx\r\nhello\r\n', 'broken'],
  ['5;a\rb\r\nhello\r\n', 'broken'],
  ['5;a\nb\r\nhello\r\n', 'broken'],
  ['5;\x00\r\nhello\r\n', 'broken'],
  ['\r\nhello\r\n', 'broken'],
  ['g\r\n', 'broken'],
  ['FFFFFFFFFFFFFFFF\r\nx', 'broken'],
  ['10000000000000005\r\nhello', 'broken'],
  ['00000000000000000000000000000005\r\nhello', 'broken'],
];

test('chunks are read strictly', () => {
  for (const [text, state, body, trailers] of chunkTable) {
    const result = whole(text, chunked);
    assert.equal(result.state, state, JSON.stringify(text));
    if (body !== undefined) assert.equal(result.body, body, JSON.stringify(text));
    if (trailers !== undefined) assert.equal(result.trailers, trailers, JSON.stringify(text));
  }
});

test('the end is the same wherever the bytes are cut', () => {
  for (const [text] of chunkTable) {
    const expected = whole(text, chunked);
    for (let first = 0; first <= text.length; first++) {
      const cut = [text.slice(0, first), text.slice(first)].filter((part) => part !== '').map(bytes);
      assert.deepEqual(read(cut, chunked), expected, `${JSON.stringify(text)} at ${first}`);
    }
    assert.deepEqual(read([...text].map(bytes), chunked), expected, JSON.stringify(text));
  }
  for (let length = 0; length <= 7; length++)
    for (let first = 1; first < 7; first++) {
      const cut = read([bytes('abcdefg'.slice(0, first)), bytes('abcdefg'.slice(first))], length);
      assert.deepEqual([cut.body, cut.rest, cut.state], ['abcdefg'.slice(0, length), 'abcdefg'.slice(length), 'done']);
    }
});

test('a body without a length ends with its connection, a counted or chunked one does not', () => {
  const open = new BodyDecoder(untilClose, 10);
  open.take(bytes('abc'), 0, { onPart: () => {} });
  assert.deepEqual([open.done, open.end(), open.done], [false, true, true]);
  for (const length of [5, chunked]) assert.equal(new BodyDecoder(length, 10).end(), false);
});

test('endless size lines and trailers are given up early', () => {
  for (const begin of ['5;', '0\r\nX: ', '0\r\n']) {
    const decoder = new BodyDecoder(chunked, 1000);
    let taken = 0;
    const feed = bytes(begin);
    decoder.take(feed, 0, { onPart: () => {} });
    const more = bytes(begin === '0\r\n' ? 'X: y\r\n' : 'aaaaaa');
    while (!decoder.broken && taken < 1_000_000) taken += decoder.take(more, 0, { onPart: () => {} });
    assert.ok(decoder.broken && taken < 2_000, `${begin}: ${taken}`);
  }
});

test('random changes, however the bytes are cut, give one result and never more than came', () => {
  const { mutate, split, below } = randomFrom(11);
  const seeds = chunkTable.map(([text]) => text);
  for (let n = 0; n < 20_000; n++) {
    const text = mutate(seeds[below(seeds.length)] ?? '');
    const expected = whole(text, chunked);
    assert.ok(expected.body.length + expected.rest.length <= text.length);
    assert.deepEqual(read(split(bytes(text)), chunked), expected, JSON.stringify(text));
  }
});
