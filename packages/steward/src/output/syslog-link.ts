/** A way to a syslog receiver: UDP, TCP or a unix socket of either kind. It says when it is broken; who uses it makes a new one. */
import { createSocket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { closeSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { parseSyslogTarget, type SyslogFormat } from '../config/syslog.ts';
import { connectDatagrams, EPROTOTYPE, sendDatagram } from '../kernel/datagram-client.ts';
import { EAGAIN } from '../kernel/kernel.ts';
import { framed } from './syslog-message.ts';
import { systemError } from './system-error.ts';

export interface Link {
  /** Resolves when there is room for the next. Rejects when the way is broken: whether this one came is not known then. */
  send(message: Buffer): Promise<void>;
  close(): void;
}

const connectMs = 5000;
/** A receiver that takes nothing for so long is given up. */
const stalledMs = 30_000;
const fullMs = 5;

async function linkByUdp(host: string, port: number): Promise<Link> {
  const { address, family } = await lookup(host);
  const socket = createSocket(family === 6 ? 'udp6' : 'udp4').unref();
  socket.on('error', () => {}); // each send has its own
  return {
    send: (message) =>
      new Promise((resolve, reject) => socket.send(message, port, address, (error) => (error === null ? resolve() : reject(error)))),
    close: () => socket.close(),
  };
}

function connected(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => socket.destroy(new Error(`no connection within ${connectMs / 1000} s`)), connectMs);
    socket.once('connect', () => {
      clearTimeout(timer);
      resolve();
    });
    socket.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
  });
}

async function linkByStream(socket: Socket, format: SyslogFormat): Promise<Link> {
  await connected(socket);
  let broken: Error | undefined;
  socket.unref();
  socket.on('error', (error) => {
    broken = error;
  });
  socket.on('close', () => {
    broken ??= new Error('the receiver closed the connection');
  });
  socket.resume(); // it says nothing, but its end is heard
  const drained = (): Promise<void> =>
    new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        socket.off('drain', done);
        socket.off('close', done);
        resolve();
      };
      const timer = setTimeout(() => socket.destroy(new Error(`the receiver took nothing for ${stalledMs / 1000} s`)), stalledMs);
      socket.on('drain', done);
      socket.on('close', done);
    });
  return {
    async send(message) {
      if (broken === undefined && !socket.write(framed(message, format))) await drained();
      if (broken !== undefined) throw broken;
    },
    close: () => {
      socket.end(); // what was written still goes
      setTimeout(() => socket.destroy(), connectMs).unref();
    },
  };
}

function linkByDatagrams(fd: number, path: string): Link {
  return {
    async send(message) {
      for (let waitedMs = 0; ; waitedMs += fullMs) {
        const sent = sendDatagram(fd, message);
        if (sent === 0) return;
        if (sent !== -EAGAIN || waitedMs > stalledMs) throw systemError(sent, `cannot send to ${path}`);
        await wait(fullMs);
      }
    },
    close: () => closeSync(fd),
  };
}

async function linkByUnix(path: string, format: SyslogFormat): Promise<Link> {
  const fd = connectDatagrams(path);
  if (fd === -EPROTOTYPE) return linkByStream(createConnection({ path }), format);
  if (fd < 0) throw systemError(fd, `cannot connect to ${path}`);
  return linkByDatagrams(fd, path);
}

/** Rejects when the receiver cannot be reached; by UDP nobody can tell. */
export async function openLink(to: string, format: SyslogFormat): Promise<Link> {
  const target = parseSyslogTarget(to);
  if (target === undefined) throw new Error(`${to} is no place for syslog`);
  if (target.kind === 'unix') return linkByUnix(target.path, format);
  if (target.kind === 'udp') return linkByUdp(target.host, target.port);
  return linkByStream(createConnection({ host: target.host, port: target.port }), format);
}
