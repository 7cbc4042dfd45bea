/**
 * What the certificates of an authority are on the disk. Everything is written whole; what is broken is told and made anew.
 *
 *   <dir>/account-<hash>.pem    key of the account at a directory       0600
 *   <dir>/account-<hash>.json   its URL, and what came of asking there
 *   <dir>/cert-<name>.pem       key and certificates of a name          0600
 *   <dir>/cert-<name>.json      the name, where it is from, and what came of asking for it
 */
import { createHash, X509Certificate } from 'node:crypto';
import { chmod, mkdir, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import type { Problem } from '../../../config/problem.ts';
import type { GatewayErrorCode } from '../../errors.ts';
import type { Certificate } from '../../table.ts';
import { makeKeys, readKeys, splitPem } from '../keys.ts';
import { readIfThere, writeWhole } from '../whole-file.ts';
import { type Held, noTries, type Tries } from './order-state.ts';

/** A certificate in hand. */
export interface Stored extends Held {
  readonly certificate: Certificate;
}

/** The account at one directory. */
export interface Account {
  readonly directory: string;
  /** PEM. */
  readonly key: string;
  /** Undefined until it is registered. */
  readonly url?: string;
  /** The address that the authority was given. */
  readonly email?: string;
  readonly tries: Tries;
}

interface Entry {
  readonly name?: string;
  readonly tries: Tries;
  readonly stored?: Stored;
}

const dayMs = 24 * 60 * 60 * 1000;
/** Longer than any hold: what nobody wants any more is forgotten then. */
const keptMs = 30 * dayMs;

export class AcmeFolder {
  readonly #dir: string;
  readonly #entries = new Map<string, Entry>();
  readonly #broken = new Map<string, string>();
  /** Files whose newest text is in memory only. */
  readonly #unwritten = new Map<string, string>();

  private constructor(dir: string) {
    this.#dir = dir;
  }

  /** Reads all that is in `dir`, which is made if missing. Rejects when it cannot be used at all. */
  static async open(dir: string): Promise<AcmeFolder> {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    await chmod(dir, 0o700);
    const folder = new AcmeFolder(dir);
    const bases = new Set((await readdir(dir)).flatMap((file) => /^(cert-.+)\.(?:pem|json)$/.exec(file)?.[1] ?? []));
    for (const base of bases) await folder.#load(base);
    return folder;
  }

  tries(name: string): Tries {
    return this.#entries.get(baseOf(name))?.tries ?? noTries;
  }

  stored(name: string): Stored | undefined {
    return this.#entries.get(baseOf(name))?.stored;
  }

  /** All certificates that are there, wanted or not. */
  all(): Stored[] {
    return [...this.#entries.values()].flatMap(({ stored }) => stored ?? []);
  }

  /** Remembers in any case; rejects when it is not on the disk. */
  async setTries(name: string, tries: Tries): Promise<void> {
    const base = baseOf(name);
    const entry = { ...this.#entries.get(base), name, tries };
    this.#entries.set(base, entry);
    await this.#write(`${base}.json`, entryText(entry));
  }

  /** Remembers in any case; rejects when it is not on the disk. */
  async setCertificate(name: string, stored: Stored, tries: Tries): Promise<void> {
    const base = baseOf(name);
    const entry = { name, tries, stored };
    this.#entries.set(base, entry);
    await this.#write(`${base}.pem`, pemText(stored.certificate));
    await this.#write(`${base}.json`, entryText(entry));
  }

  /** What came of asking a directory before. */
  async directoryTries(directory: string): Promise<Tries> {
    return triesIn((await this.#readJson(accountBase(directory))).tries);
  }

  /** The account at a directory, with a new key if it has none yet. Rejects when that cannot be kept. */
  async account(directory: string): Promise<Account> {
    const base = accountBase(directory);
    const { url, email, tries } = await this.#readJson(base);
    const key = await this.#accountKey(base);
    if (key !== undefined) {
      return {
        directory,
        key,
        ...(typeof url === 'string' && { url }),
        ...(typeof email === 'string' && { email }),
        tries: triesIn(tries),
      };
    }
    const made = { directory, key: (await makeKeys()).pem, tries: triesIn(tries) };
    await this.#write(`${base}.pem`, made.key);
    return made;
  }

  async setAccount({ directory, url, email, tries }: Omit<Account, 'key'>): Promise<void> {
    await this.#write(`${accountBase(directory)}.json`, jsonText({ directory, url, email, tries }));
  }

  /** Writes what an earlier full disk refused, and forgets what nobody wants any more. Never rejects. */
  async tidy(wanted: ReadonlySet<string>, nowMs: number): Promise<void> {
    for (const [file, text] of [...this.#unwritten]) await this.#write(file, text).catch(() => {});
    for (const [base, { name, tries, stored }] of [...this.#entries]) {
      const lastMs = Math.max(stored?.toMs ?? 0, tries.starts.at(-1) ?? 0, tries.notBefore);
      if ((name !== undefined && wanted.has(name)) || lastMs > nowMs - keptMs) continue;
      if ([...wanted].some((one) => baseOf(one) === base)) continue;
      this.#entries.delete(base);
      for (const end of ['pem', 'json']) await rm(path.join(this.#dir, `${base}.${end}`), { force: true }).catch(() => {});
    }
  }

  problems(): Problem<GatewayErrorCode>[] {
    const broken = [...this.#broken].map(([file, why]) =>
      stateProblem(`"${path.join(this.#dir, file)}" cannot be used: ${why}`, 'What it held is made anew.'),
    );
    const unwritten = [...this.#unwritten.keys()].map((file) =>
      stateProblem(`"${path.join(this.#dir, file)}" cannot be written`, 'Make room on the disk: it is lost when Steward ends.'),
    );
    return [...broken, ...unwritten];
  }

  async #load(base: string): Promise<void> {
    const { name, directory, tries } = await this.#readJson(base);
    const stored = await this.#readStored(base, typeof directory === 'string' ? directory : undefined);
    this.#entries.set(base, { ...(typeof name === 'string' && { name }), tries: triesIn(tries), ...(stored && { stored }) });
  }

  async #readStored(base: string, directory: string | undefined): Promise<Stored | undefined> {
    const file = `${base}.pem`;
    try {
      const text = await readIfThere(path.join(this.#dir, file));
      if (text === undefined) return undefined;
      const certificate = splitPem(text);
      if (certificate === undefined) throw new Error('it holds no key and certificate');
      return storedOf(certificate, directory);
    } catch (error) {
      this.#broken.set(file, (error as Error).message);
      return undefined;
    }
  }

  async #readJson(base: string): Promise<Readonly<Record<string, unknown>>> {
    const file = `${base}.json`;
    try {
      const value: unknown = JSON.parse((await readIfThere(path.join(this.#dir, file))) ?? '{}');
      return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
    } catch (error) {
      this.#broken.set(file, (error as Error).message);
      return {};
    }
  }

  /** A broken key is put aside: the account that it opened may be wanted back. */
  async #accountKey(base: string): Promise<string | undefined> {
    const file = path.join(this.#dir, `${base}.pem`);
    const text = await readIfThere(file);
    if (text === undefined) return undefined;
    try {
      return (await readKeys(text)).pem;
    } catch (error) {
      await rename(file, `${file}.broken`);
      this.#broken.set(`${base}.pem.broken`, (error as Error).message);
      return undefined;
    }
  }

  async #write(file: string, text: string): Promise<void> {
    try {
      await writeWhole(path.join(this.#dir, file), text, 0o600);
    } catch (error) {
      this.#unwritten.set(file, text);
      throw error;
    }
    this.#unwritten.delete(file);
    this.#broken.delete(file);
  }
}

const stateProblem = (message: string, hint: string): Problem<GatewayErrorCode> => ({
  severity: 'warning',
  code: 'gateway/acme-state',
  message,
  hint,
});

/** What a certificate says about itself. Throws when it is none, or the key is not its own. */
export function storedOf(certificate: Certificate, directory: string | undefined): Stored {
  const leaf = new X509Certificate(certificate.cert);
  const hosts = [...(leaf.subjectAltName ?? '').matchAll(/DNS:([^,\s]+)/g)].map(([, host = '']) => host.toLowerCase());
  return {
    certificate,
    hosts,
    fromMs: leaf.validFromDate.getTime(),
    toMs: leaf.validToDate.getTime(),
    ...(directory !== undefined && { directory }),
  };
}

const hash = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16);

/** A file name that tells people what is in it. */
const baseOf = (name: string): string => `cert-${name.replace(/[^a-z0-9.-]+/gi, '_').slice(0, 60)}-${hash(name)}`;

const accountBase = (directory: string): string => `account-${hash(directory)}`;

const jsonText = (value: unknown): string => `${JSON.stringify(value)}\n`;

const entryText = ({ name, tries, stored }: Entry): string => jsonText({ name, directory: stored?.directory, tries });

const pemText = ({ key, cert }: Certificate): string => `${key.trim()}\n${cert.trim()}\n`;

/** Tries as they were written down, as far as they can be believed. */
function triesIn(value: unknown): Tries {
  if (typeof value !== 'object' || value === null) return noTries;
  const { starts, failures, notBefore, reason } = value as Record<string, unknown>;
  return {
    starts: Array.isArray(starts) ? starts.filter((at) => Number.isFinite(at)) : [],
    failures: typeof failures === 'number' && failures >= 0 ? Math.floor(failures) : 0,
    notBefore: typeof notBefore === 'number' && Number.isFinite(notBefore) ? notBefore : 0,
    ...(typeof reason === 'string' && { reason }),
  };
}
