import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { closeSync, existsSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { SyslogSpec } from '../config/syslog.ts';
import { openDatagrams, receiveDatagram } from '../kernel/kernel.ts';
import type { Output, Trouble } from './output.ts';
import { framed, syslogMessage } from './syslog-message.ts';
import { afterwards, ended, newFolder, startOutput, until, upTo, write } from './testing.ts';

interface Sending {
  readonly output: Output;
  readonly folder: string;
  readonly troubles: Trouble[];
}

const specOf = (to: string, format: SyslogSpec['format'] = 'rfc5424'): SyslogSpec => ({ to, facility: 'local0', tag: 'web', format });

function sendTo(t: TestContext, folder: string, spec: SyslogSpec, maxBytes = 0, keep = 0): Sending {
  const troubles: Trouble[] = [];
  const output = startOutput(t, folder, { onTrouble: (_id, trouble) => troubles.push(trouble) });
  output.open({ id: 'web', file: join(folder, 'web.log'), maxBytes, keep, syslog: spec });
  return { output, folder, troubles };
}

test('a message has its severity, time, host, tag, process and text', () => {
  const heading = { facility: 'local0', tag: 'web', host: 'box' } as const;
  const timeMs = Date.UTC(2026, 10, 1, 8, 5, 0, 7);
  const line = { text: 'it broke', timeMs, pid: 12, level: 'error' } as const;
  assert.equal(
    syslogMessage(line, { ...heading, format: 'rfc5424' }).toString(),
    '<131>1 2026-11-01T08:05:00.007Z box web 12 - - it broke',
  );
  assert.match(syslogMessage(line, { ...heading, format: 'rfc3164' }).toString(), /^<131>Nov {2}1 \d\d:05:00 box web\[12\]: it broke$/);
  const plain = { text: `ä${'ö'.repeat(9000)}`, timeMs: 0, pid: 0, level: undefined };
  const long = syslogMessage(plain, { ...heading, tag: 'a b', format: 'rfc5424' });
  assert.ok(long.length <= 8000 && long.toString().startsWith('<134>1 - box a_b - - - äö') && !long.toString().includes('\ufffd'));
  assert.equal(framed(Buffer.from('abc'), 'rfc5424').toString(), '3 abc');
  assert.equal(framed(Buffer.from('abc'), 'rfc3164').toString(), 'abc\n');
});

test('lines go to a receiver by UDP, with their levels', async (t) => {
  const socket = createSocket('udp4');
  const heard: string[] = [];
  socket.on('message', (message) => heard.push(message.toString()));
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  afterwards(t, () => socket.close());
  const { output } = sendTo(t, newFolder(t), specOf(`udp://127.0.0.1:${socket.address().port}`));
  output.begin('web', 'aa11');
  const child = write(output, 'web', 'echo hello; echo "ERROR: no"');
  output.started('web', { run: 'aa11', pid: child.pid as number });
  await until('two messages', () => heard.length === 2);
  assert.match(heard[0] ?? '', new RegExp(`^<134>1 \\d{4}-\\S+Z ${hostname()} web (\\d+|-) - - hello$`));
  assert.match(heard[1] ?? '', / ERROR: no$/);
  assert.ok(heard[1]?.startsWith('<131>1 '));
});

/** The messages in a stream of octet-counted frames. */
function messagesIn(text: string): string[] {
  const found: string[] = [];
  for (let at = 0; at < text.length; ) {
    const blank = text.indexOf(' ', at);
    const length = Number(text.slice(at, blank));
    if (blank === -1 || blank + 1 + length > text.length) break;
    found.push(text.slice(blank + 1, blank + 1 + length));
    at = blank + 1 + length;
  }
  return found;
}

interface Receiver {
  readonly port: number;
  text(): string;
  stop(): Promise<void>;
}

function receive(t: TestContext, port = 0): Promise<Receiver> {
  const sockets = new Set<Socket>();
  let text = '';
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('data', (chunk) => (text += chunk));
    socket.on('error', () => {});
  });
  const stop = (): Promise<void> =>
    new Promise((resolve) => {
      for (const socket of sockets) socket.destroy();
      server.close(() => resolve());
    });
  afterwards(t, stop);
  return new Promise((resolve) =>
    server.listen(port, '127.0.0.1', () => resolve({ port: (server.address() as AddressInfo).port, text: () => text, stop })),
  );
}

const bodies = (text: string): string[] => messagesIn(text).map((message) => message.slice(message.lastIndexOf(' ') + 1));

test('lines go to a receiver by TCP, all of them in order; those of an outage follow when it is over', async (t) => {
  const first = await receive(t);
  const folder = newFolder(t);
  const { output, troubles } = sendTo(t, folder, specOf(`tcp://127.0.0.1:${first.port}`));
  await ended(write(output, 'web', 'seq 1 20000'));
  await until('20,000 lines', () => bodies(first.text()).length === 20_000);
  assert.deepEqual(bodies(first.text()), upTo(20_000));
  await first.stop();
  await ended(write(output, 'web', 'seq 20001 20500; sleep 0.3; seq 20501 21000'));
  await until('the trouble to be told', () => troubles.length > 0);
  const second = await receive(t, first.port);
  await until('the rest', () => bodies(second.text()).at(-1) === '21000');
  // What was written into the connection as it broke may be lost: TCP does not tell.
  assert.deepEqual(bodies(second.text()).slice(-500), upTo(21_000).slice(-500));
  assert.deepEqual(
    troubles.map((trouble) => 'syslog' in trouble && trouble.syslog),
    ['down', 'up'],
  );
});

test('lines go to a unix datagram socket, and what is sent goes on where it ended when the daemon is another one', async (t) => {
  const folder = newFolder(t);
  const path = join(folder, 'log');
  const fd = openDatagrams(path);
  assert.ok(fd >= 0);
  afterwards(t, () => closeSync(fd));
  const heard: string[] = [];
  const take = (): boolean => {
    for (let text = receiveDatagram(fd); text !== undefined; text = receiveDatagram(fd)) heard.push(text);
    return true;
  };
  const first = sendTo(t, folder, specOf(`unix:${path}`, 'rfc3164'));
  await ended(write(first.output, 'web', 'seq 1 500'));
  await until('500 lines', () => take() && heard.length === 500);
  assert.match(heard[0] ?? '', new RegExp(`^<134>\\w{3} [ \\d]\\d \\d\\d:\\d\\d:\\d\\d ${hostname()} web: 1$`));
  const child = write(first.output, 'web', 'read x < /dev/null; sleep 1; echo 501');
  await first.output.stop('leave');
  await ended(child);
  assert.ok(existsSync(join(folder, 'io/syslog/web')));
  const second = sendTo(t, folder, specOf(`unix:${path}`, 'rfc3164'));
  await ended(write(second.output, 'web', 'echo 502'));
  await until('the other two', () => take() && heard.length >= 502);
  assert.deepEqual(
    heard.map((text) => text.slice(text.lastIndexOf(' ') + 1)),
    upTo(502),
  );
});

test('a receiver that is away costs no memory: what falls too far behind is skipped, counted and told', async (t) => {
  const folder = newFolder(t);
  const { output, troubles } = sendTo(t, folder, specOf(`unix:${join(folder, 'nobody')}`));
  await ended(write(output, 'web', 'head -c 70000000 /dev/zero | tr "\\0" x | fold -w 999'));
  await output.settle();
  await until('the skip to be told', () => troubles.some((trouble) => 'syslog' in trouble && trouble.syslog === 'skipped'));
  const skipped = troubles.find((trouble) => 'syslog' in trouble && trouble.syslog === 'skipped');
  assert.ok(skipped !== undefined && 'skippedBytes' in skipped && (skipped.skippedBytes ?? 0) > 60_000_000, JSON.stringify(troubles));
  assert.ok(troubles.length < 10, JSON.stringify(troubles));
});
