import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { freePort, proxyTo, route, site, startGateway, startUpstream } from '../testing.ts';
import { SharedReads } from './shared-reads.ts';

test('an accepted socket is taken over: this Node still lets us', async (t) => {
  const server = net.createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const client = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1');
  const [accepted] = (await once(server, 'connection')) as [net.Socket];
  const reads = new SharedReads();
  const socket = reads.takeOver(accepted);
  assert.ok(socket !== undefined);
  assert.equal(socket.remotePort, client.localPort);
  const heard: string[] = [];
  reads.reader = {
    keepsBytes: false,
    onBytes: (bytes, shared) => heard.push(`${bytes.toString()} ${shared}`),
  };
  client.write('one');
  while (heard.length < 1) await new Promise(setImmediate);
  reads.letGo();
  const later = once(socket, 'data');
  client.write('two');
  assert.deepEqual(heard, ['one true']);
  assert.equal(String((await later)[0]), 'two', 'as from any stream');
  socket.end('three');
  assert.equal(String((await once(client, 'data'))[0]), 'three');
  client.end();
  await once(socket, 'end');
  assert.equal(await new Promise((resolve) => server.getConnections((_, count) => resolve(count))), 0, 'the server does not wait for it');
});

test('what many send in pieces at once is never mixed up', async (t) => {
  const upstream = await startUpstream(t, 0, (request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part) => parts.push(part)).on('end', () => response.end(Buffer.concat(parts)));
  });
  const port = await freePort();
  await startGateway(t, [site(port, [route('/', proxyTo([upstream.address]))])]);
  const ask = async (n: number): Promise<void> => {
    const socket = net.connect(port, '127.0.0.1').setNoDelay(true);
    let heard = '';
    socket.setEncoding('latin1').on('data', (text) => {
      heard += text;
    });
    const body = `${n}:${String.fromCharCode(97 + (n % 26)).repeat(500 + n * 37)}`;
    const text = `POST /${n} HTTP/1.1\r\nHost: a\r\nX-Number: ${n}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    // The second request begins in the middle of a piece of the first.
    const both = text + text.replace(`${n}:`, `${n};`);
    const step = 7 + (n % 5) * 90;
    for (let at = 0; at < both.length; at += step) {
      socket.write(both.slice(at, at + step), 'latin1');
      await new Promise((resolve) => setTimeout(resolve, n % 3));
    }
    while (!heard.includes(body.replace(':', ';')) && !socket.closed) await new Promise((resolve) => setTimeout(resolve, 5));
    socket.destroy();
    assert.ok(heard.includes(body) && heard.includes(body.replace(':', ';')), `${n}: ${heard.slice(0, 200)}`);
  };
  await Promise.all(Array.from({ length: 60 }, (_, n) => ask(n)));
});
