/**
 * The master key: 32 bytes that open the data key, which opens the secrets. It comes from outside (a variable, or a file that a
 * variable names, such as a credential of systemd), or else stands in the state directory in a file that is made once.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, constants, fchmodSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { keyBytes } from './seal.ts';

/** Holds the key itself, base64. */
export const keyVariable = 'STEWARD_SECRETS_KEY';
/** Names a file with the key: base64, or its 32 bytes. */
export const keyFileVariable = 'STEWARD_SECRETS_KEY_FILE';

/** Where the key comes from. */
export type KeySource =
  | { readonly kind: 'variable'; readonly text: string }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'folder' };

export interface TakenKey {
  readonly source: KeySource;
  /** Puts back what was taken, for a program that takes the place of this one. */
  giveBack(env: NodeJS.ProcessEnv): void;
}

/** Takes the key out of an environment, so that no child is started with it. */
export function takeKey(env: NodeJS.ProcessEnv): TakenKey {
  const taken = { [keyVariable]: env[keyVariable], [keyFileVariable]: env[keyFileVariable] };
  delete env[keyVariable];
  delete env[keyFileVariable];
  const text = taken[keyVariable];
  const path = taken[keyFileVariable];
  const source: KeySource =
    text !== undefined ? { kind: 'variable', text } : path !== undefined ? { kind: 'file', path } : { kind: 'folder' };
  return {
    source,
    giveBack(again) {
      for (const [name, value] of Object.entries(taken)) if (value !== undefined) again[name] = value;
    },
  };
}

/** A key as base64 says it, in either alphabet; undefined when that is not 32 bytes. */
export function parseKey(text: string): Buffer | undefined {
  const trimmed = text.trim();
  if (!/^[A-Za-z0-9+/_-]{43}=?$/.test(trimmed)) return undefined;
  const key = Buffer.from(trimmed, 'base64');
  return key.length === keyBytes ? key : undefined;
}

export type FoundKey = { readonly key: Buffer } | { readonly why: string } | { readonly none: true };

/** A key file is a few bytes: a larger one is something else. */
const mostFileBytes = 1024;

function readKeyFile(path: string): FoundKey {
  let bytes: Buffer;
  try {
    const stat = statSync(path);
    if (!stat.isFile() || stat.size > mostFileBytes) return { why: `${path} is not a file of 32 bytes in base64` };
    bytes = readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { none: true };
    return { why: `${path} cannot be read: ${(error as NodeJS.ErrnoException).code}` };
  }
  const key = bytes.length === keyBytes ? bytes : parseKey(bytes.toString('latin1'));
  return key === undefined ? { why: `${path} does not hold 32 bytes in base64` } : { key };
}

export const keyFileIn = (folder: string): string => join(folder, 'secrets.key');
/** Where the next key waits while a rekey is under way. */
export const nextFileIn = (folder: string): string => join(folder, 'secrets.key.next');

/** The key of a source; `none` when its file is not there. `folder` is the state directory. */
export function readKey(source: KeySource, folder: string): FoundKey {
  if (source.kind === 'folder') return readKeyFile(keyFileIn(folder));
  if (source.kind === 'file') {
    const found = readKeyFile(source.path);
    return 'none' in found ? { why: `${source.path}, which ${keyFileVariable} names, is not there` } : found;
  }
  const key = parseKey(source.text);
  return key === undefined ? { why: `${keyVariable} does not hold 32 bytes in base64` } : { key };
}

/** Where it comes from, in words. */
export function nameOfSource(source: KeySource, folder: string): string {
  if (source.kind === 'folder') return keyFileIn(folder);
  return source.kind === 'file' ? `${source.path} (${keyFileVariable})` : keyVariable;
}

function syncFolder(folder: string): void {
  const fd = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Writes a key whole: after a power cut the file has all of it or is not there. */
export function writeKeyFile(path: string, key: Buffer): void {
  const draft = `${path}.draft`;
  rmSync(draft, { force: true });
  const fd = openSync(draft, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
  try {
    fchmodSync(fd, 0o600);
    writeSync(fd, `${key.toString('base64')}\n`);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(draft, path);
  syncFolder(dirname(path));
}

/** The next key becomes the one in force. */
export function promoteNext(folder: string): void {
  renameSync(nextFileIn(folder), keyFileIn(folder));
  syncFolder(folder);
}

export const newKey = (): Buffer => randomBytes(keyBytes);
