/**
 * The daemon's side of the sockets that the keeper holds: asks for them, and receives their descriptors.
 *
 *   borrow ── {lend} ──▶ keeper opens or has it ── descriptor ──▶ fds, then {lent} ──▶ the promise resolves
 *
 * What was borrowed is handed to the next keeper at its birth, so neither death alone loses a socket.
 */
import { randomUUID } from 'node:crypto';
import { closeSync, rmSync } from 'node:fs';
import { constants as os } from 'node:os';
import { EAGAIN, openDatagrams } from '../kernel/kernel.ts';
import { receiveDescriptor } from '../kernel/listening.ts';
import type { HeldSocket, KeeperCommand } from './keeper-protocol.ts';
import { systemError } from './system-error.ts';

/** A keeper that is being started takes a tenth of a second; one that does not answer by now is asked anew by the next try. */
const answerMs = 5000;

interface Asked {
  readonly request: string;
  readonly command: KeeperCommand;
  readonly promise: Promise<number>;
  settle(fd: number | undefined, errno: number): void;
}

export interface Lender {
  borrow(socket: HeldSocket, from: readonly number[]): Promise<number>;
  borrowed(name: string): number | undefined;
  onLent(answer: { readonly request: string; readonly name: string; readonly errno: number }): void;
  /** Closes what is not named, and waits for it no longer. */
  hold(names: readonly string[]): void;
  /** What a new keeper inherits. */
  sockets(): { readonly socket: HeldSocket; readonly fd: number }[];
  /** Says to a new keeper what the one before may not have heard. */
  askAgain(): void;
  isInUse(): boolean;
  /** Closes everything here; the keeper holds on. */
  close(): void;
}

/** `mailbox` is the path of the socket by which descriptors come; made at the first need. */
export function createLender(mailbox: string, say: (command: KeeperCommand) => void): Lender {
  const open = new Map<string, { socket: HeldSocket; fd: number }>();
  const asked = new Map<string, Asked>();
  let inbox: number | undefined;

  function openInbox(): void {
    if (inbox !== undefined) return;
    rmSync(mailbox, { force: true });
    const fd = openDatagrams(mailbox);
    if (fd < 0) throw systemError(fd, `cannot receive at ${mailbox}`);
    inbox = fd;
  }

  function ask(socket: HeldSocket, from: readonly number[]): Promise<number> {
    openInbox();
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const request = randomUUID();
    const command = { lend: { request, socket, from, to: mailbox } };
    const timer = setTimeout(() => settle(undefined, os.errno.ETIMEDOUT), answerMs);
    function settle(fd: number | undefined, errno: number): void {
      clearTimeout(timer);
      asked.delete(socket.name);
      if (fd === undefined) return reject(systemError(-errno, `cannot listen on ${socket.name}`));
      open.set(socket.name, { socket, fd });
      resolve(fd);
    }
    asked.set(socket.name, { request, command, promise, settle });
    say(command);
    return promise;
  }

  /** Takes what came; a descriptor nobody waits for any more is closed. */
  function takeMail(): Map<string, number> {
    const mail = new Map<string, number>();
    for (
      let next = inbox === undefined ? undefined : receiveDescriptor(inbox);
      next !== undefined;
      next = receiveDescriptor(inbox as number)
    ) {
      if (mail.has(next.text) || !asked.has(next.text)) closeSync(next.fd);
      else mail.set(next.text, next.fd);
    }
    return mail;
  }

  function close(name: string): void {
    const one = open.get(name);
    open.delete(name);
    if (one !== undefined) closeSync(one.fd);
  }

  return {
    async borrow(socket, from) {
      const present = open.get(socket.name);
      if (present !== undefined) return present.fd;
      return asked.get(socket.name)?.promise ?? ask(socket, from);
    },
    borrowed: (name) => open.get(name)?.fd,
    onLent({ request, name, errno }) {
      for (const [sent, fd] of takeMail()) asked.get(sent)?.settle(fd, 0);
      const one = asked.get(name);
      if (one?.request !== request) return; // it answers a daemon before this one, or a question that was given up
      if (errno === 0) return; // its descriptor was lost on the way: `answerMs` tells
      // Ten datagrams fit into a mailbox (net.unix.max_dgram_qlen); it is empty now.
      if (errno === EAGAIN) say(one.command);
      else one.settle(undefined, errno);
    },
    hold(names) {
      for (const name of [...open.keys()]) if (!names.includes(name)) close(name);
      for (const [name, { settle }] of [...asked]) if (!names.includes(name)) settle(undefined, os.errno.ECANCELED);
    },
    sockets: () => [...open.values()],
    askAgain() {
      for (const { command } of asked.values()) say(command);
    },
    isInUse: () => open.size > 0 || asked.size > 0,
    close() {
      for (const name of [...open.keys()]) close(name);
      for (const { settle } of [...asked.values()]) settle(undefined, os.errno.ECANCELED);
      if (inbox === undefined) return;
      closeSync(inbox);
      rmSync(mailbox, { force: true });
      inbox = undefined;
    },
  };
}
