/**
 * The unix sockets of services. Those that Steward hands out stand in a folder that belongs to the service's user and lets
 * nobody else in but the gateway's group.
 */
import { chmodSync, chownSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { look } from '../probe/probe.ts';
import type { Identity } from './spawn.ts';

const isRoot = process.getuid?.() === 0;
const lookMs = 2000;

export const isSocket = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isSocket() === true;

/** Removes a socket file on which nobody accepts connections; a live one stays. Never rejects. */
export async function removeDeadSocket(path: string): Promise<void> {
  const { ok } = await look({ kind: 'unix', path }, lookMs);
  if (!ok) rmSync(path, { force: true });
}

/** Makes the folder of a socket. Its group is `group`, else the user's own. @throws when it cannot be made. */
export function makeSocketFolder(path: string, { user, gid }: Identity, group: number | undefined): void {
  const folder = dirname(path);
  mkdirSync(folder, { recursive: true, mode: 0o711 });
  if (!isRoot) return;
  chownSync(folder, user.uid, group ?? gid);
  chmodSync(folder, 0o750);
}

/** Gives a socket that Steward made to the user of its service. */
export function setOwner(path: string, { user, gid }: Identity): void {
  if (isRoot) chownSync(path, user.uid, gid);
}

/** Lets a group connect to a socket that exists. */
export function openToGroup(path: string, group: number | undefined): void {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!isRoot || stat === undefined) return;
  chownSync(path, stat.uid, group ?? stat.gid);
  chmodSync(path, 0o660);
}
