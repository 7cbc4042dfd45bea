/**
 * Certificates by ACME: wanted ones are asked for when they are due, one order at a time, and kept in a folder.
 *
 *   want ──► order-state.ts = which is due, and when ──► order.ts ! asks ──► folder.ts ! keeps ──► onCertificate
 *                    ▲                                      │ Refusal
 *                    └──────────── tries, pauses ◄──────────┘
 *
 * A try is on the disk before it is made: however often Steward starts anew, no authority is asked more than its share.
 */
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import type { Problem } from '../../../config/problem.ts';
import type { GatewayErrorCode } from '../../errors.ts';
import type { Certificate, Challenges } from '../../table.ts';
import { AcmeClient, type ExternalAccount, Refusal } from './client.ts';
import { type Account, AcmeFolder, type Stored, storedOf } from './folder.ts';
import { type ChallengeType, challengeTypes, placeOrder } from './order.ts';
import {
  type Askable,
  askableHosts,
  directoryFailed,
  directoryProblems,
  type Failure,
  failed,
  hostProblem,
  type Need,
  nextOrder,
  servingOf,
  standingProblems,
  started,
  succeeded,
  type Tries,
  wantedAt,
} from './order-state.ts';

export { noChallenges } from './challenges.ts';
export type { ChallengeType } from './order.ts';
export { askableHosts } from './order-state.ts';

/** The authority to ask. Asking it agrees to its terms of service. */
export interface AcmeSpec {
  /** URL of its directory. */
  readonly directory: string;
  /** Where it writes to about certificates that end. */
  readonly email?: string;
  /** Path of a PEM file with what to trust it by, instead of the usual authorities. */
  readonly directoryCa?: string;
  /** How long before its end a certificate is renewed, in ms; a third of its lifetime when not given. */
  readonly renewBeforeMs?: number;
  /** For authorities that take customers only. */
  readonly externalAccount?: ExternalAccount;
}

export interface AcmeOptions {
  /** Folder for keys and certificates; made if missing, for the owner alone. */
  readonly dir: string;
  readonly spec: AcmeSpec;
  /** One line of the daemon's log. */
  readonly log: (line: string) => void;
  /** Resolves when all workers answer these challenges, and no others. */
  readonly publish: (challenges: Challenges) => Promise<void>;
  /** There is a new certificate: `certificates()` has changed. */
  readonly onCertificate: (name: string, certificate: Certificate) => void;
  /** Something of `problems()` is new. */
  readonly onTrouble: (problem: Problem<GatewayErrorCode>) => void;
  /** The time of day in ms. */
  readonly now?: () => number;
  /** How long one order may take, in ms. */
  readonly orderMs?: number;
}

export interface WantedCertificate {
  /** What `certificates()` calls it. */
  readonly name: string;
  /** As the site has them; those that no certificate can be asked for become problems. */
  readonly hosts: readonly string[];
  /** How the authority may look: `http-01` needs port 80, `tls-alpn-01` port 443. Both in turn when not given. */
  readonly ways?: readonly ChallengeType[];
}

export interface Acme {
  /** Replaces what is wanted. What is no longer wanted is never asked for again, and an order for it is given up. */
  want(sets: readonly WantedCertificate[]): void;
  /** What there is to serve with, by wanted name: also a certificate that has ended, or that another name left and that covers some hosts. */
  certificates(): ReadonlyMap<string, Certificate>;
  /** What is wrong now. */
  problems(): Problem<GatewayErrorCode>[];
  /** Gives up an order under way. May be called twice. */
  stop(): Promise<void>;
}

const orderMs = 5 * 60_000;
/** Looked at least this often, since the clock may be set. */
const longestRestMs = 60 * 60_000;

/** Opens the folder; nothing is asked before `want`. Rejects when the folder cannot be used. */
export async function createAcme(options: AcmeOptions): Promise<Acme> {
  const folder = await AcmeFolder.open(options.dir);
  const desk = new Desk(options, folder, await folder.directoryTries(options.spec.directory));
  const running = desk.run();
  return {
    want: (sets) => desk.want(sets),
    certificates: () => desk.certificates(),
    problems: () => desk.problems(),
    stop: () => {
      desk.stop();
      return running;
    },
  };
}

interface Wanted extends Need {
  readonly refused: Askable['refused'];
  readonly ways: readonly ChallengeType[];
}

/** Where orders are placed, one after the other. */
class Desk {
  readonly #options: AcmeOptions;
  readonly #folder: AcmeFolder;
  readonly #now: () => number;
  readonly #stopping = new AbortController();
  #wanted = new Map<string, Wanted>();
  /** What came of asking the directory. */
  #directory: Tries;
  /** The order under way. */
  #order: { readonly name: string; readonly giveUp: AbortController } | undefined;
  #wake: () => void = () => {};
  #isNews = false;
  #told = new Set<string>();

  constructor(options: AcmeOptions, folder: AcmeFolder, directory: Tries) {
    this.#options = options;
    this.#folder = folder;
    this.#now = options.now ?? Date.now;
    this.#directory = directory;
  }

  want(sets: readonly WantedCertificate[]): void {
    this.#wanted = new Map(sets.map(({ name, hosts, ways = challengeTypes }) => [name, { name, ways, ...askableHosts(hosts) }]));
    if (this.#order !== undefined && !this.#wanted.has(this.#order.name)) this.#order.giveUp.abort();
    this.#isNews = true;
    this.#wake();
  }

  certificates(): ReadonlyMap<string, Certificate> {
    const serving = [...this.#wanted.values()].map((need) => [need.name, this.#serving(need)?.certificate] as const);
    return new Map(serving.flatMap(([name, certificate]) => (certificate === undefined ? [] : [[name, certificate]])));
  }

  problems(): Problem<GatewayErrorCode>[] {
    const nowMs = this.#now();
    return [
      ...[...this.#wanted.values()].flatMap(({ refused }) => refused.map(hostProblem)),
      ...directoryProblems(this.#options.spec.directory, this.#directory, nowMs),
      ...this.#standings().flatMap((standing) => standingProblems(standing, nowMs)),
      ...this.#folder.problems(),
    ];
  }

  stop(): void {
    this.#stopping.abort();
    this.#wake();
  }

  /** Resolves after `stop`. Never rejects. */
  async run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      this.#isNews = false;
      await this.#folder.tidy(new Set(this.#wanted.keys()), this.#now());
      this.#tell();
      const nowMs = this.#now();
      const next = nextOrder(this.#standings(), this.#directory, this.#options.spec, nowMs);
      const wanted = next === undefined ? undefined : this.#wanted.get(next.name);
      if (next !== undefined && wanted !== undefined && next.atMs <= nowMs) await this.#ask(wanted);
      else if (!this.#isNews) await this.#rest(Math.min((next?.atMs ?? Number.POSITIVE_INFINITY) - nowMs, longestRestMs));
    }
  }

  #standings() {
    return [...this.#wanted.values()].map((need) => ({ need, held: this.#serving(need), tries: this.#folder.tries(need.name) }));
  }

  #serving(need: Need): Stored | undefined {
    return servingOf(need, this.#folder.stored(need.name), this.#folder.all(), this.#now());
  }

  #tell(): void {
    const problems = new Map(this.problems().map((problem) => [`${problem.code} ${problem.message}`, problem]));
    for (const [key, problem] of problems) if (!this.#told.has(key)) this.#options.onTrouble(problem);
    this.#told = new Set(problems.keys());
  }

  #rest(ms: number): Promise<void> {
    if (this.#stopping.signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms).unref();
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async #ask(wanted: Wanted): Promise<void> {
    const { name, hosts } = wanted;
    const before = this.#folder.tries(name);
    const tries = started(before, this.#now());
    const giveUp = new AbortController();
    this.#order = { name, giveUp };
    try {
      await this.#write(() => this.#folder.setTries(name, tries));
      const account = await this.#write(() => this.#folder.account(this.#options.spec.directory));
      this.#options.log(`asking ${this.#options.spec.directory} for a certificate for ${hosts.join(', ')}`);
      const certificate = await this.#place(account, wanted, before.failures, giveUp.signal);
      await this.#keep(wanted, certificate, tries);
    } catch (error) {
      if (!this.#stopping.signal.aborted && !giveUp.signal.aborted) await this.#fail(wanted, tries, error);
    } finally {
      this.#order = undefined;
    }
  }

  /** What must be on the disk before anything is asked. */
  async #write<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw new Refusal('state', `nothing is asked while ${this.#options.dir} cannot be used: ${(error as Error).message}`, true);
    }
  }

  async #place(account: Account, { hosts, ways }: Wanted, attempt: number, giveUp: AbortSignal): Promise<Certificate> {
    const { spec, publish } = this.#options;
    const late = AbortSignal.timeout(this.#options.orderMs ?? orderMs);
    const signal = AbortSignal.any([this.#stopping.signal, giveUp, late]);
    const ca = await trustedIn(spec.directoryCa);
    const client = new AcmeClient({ directory: spec.directory, ...(ca && { ca }), accountKey: account.key, signal, now: this.#now });
    const order = { client, hosts, ways, attempt, publish, signal };
    try {
      await this.#enter(client, account);
      return await placeOrder(order).catch(async (error: unknown) => {
        if (!(error instanceof Refusal && error.type === 'accountDoesNotExist')) throw error;
        await this.#register(client, account); // an authority that was set up anew has forgotten it
        return placeOrder(order);
      });
    } catch (error) {
      if (late.aborted) throw new Refusal('silent', 'the order was not done in time', true);
      throw error;
    } finally {
      await client.close();
    }
  }

  async #enter(client: AcmeClient, account: Account): Promise<void> {
    if (account.url === undefined) return this.#register(client, account);
    client.useAccount(account.url);
    const { email } = this.#options.spec;
    if (email === account.email) return;
    await client.setContact(email);
    await this.#folder.setAccount({ ...account, email });
  }

  async #register(client: AcmeClient, account: Account): Promise<void> {
    const { email, externalAccount } = this.#options.spec;
    const url = await client.register(email, externalAccount);
    await this.#write(() => this.#folder.setAccount({ directory: account.directory, url, email, tries: this.#directory }));
  }

  /** Uses a new certificate. One that is due again at once, since a clock is wrong or lifetimes are, counts as a failure too. */
  async #keep(need: Need, certificate: Certificate, tries: Tries): Promise<void> {
    const { spec, log, onCertificate } = this.#options;
    const { name, hosts } = need;
    const nowMs = this.#now();
    const stored = usable(certificate, hosts, spec.directory, nowMs);
    const until = new Date(stored.toMs).toISOString();
    const reason = `the new certificate, until ${until}, is due again at once: look at the clock of this machine`;
    const isDue = wantedAt(need, stored, spec) <= nowMs;
    const after = isDue ? failed(tries, { reason }, nowMs, Math.random()) : succeeded(tries);
    await this.#folder.setCertificate(name, stored, after).catch(() => {}); // told as a problem of the folder
    await this.#setDirectory(succeeded(this.#directory));
    log(isDue ? `${hosts.join(', ')}: ${reason}` : `new certificate for ${hosts.join(', ')}, until ${until}`);
    onCertificate(name, certificate);
  }

  /** An authority at its limits for one name may be so for all: others pause too, but not for as long as it said. */
  async #fail({ name, hosts }: Need, tries: Tries, error: unknown): Promise<void> {
    const nowMs = this.#now();
    const failure: Failure = error instanceof Refusal ? error : { reason: `unexpected: ${(error as Error).message}` };
    const after = failed(tries, failure, nowMs, Math.random());
    this.#options.log(`no certificate for ${hosts.join(', ')}: ${failure.reason}; next try at ${new Date(after.notBefore).toISOString()}`);
    await this.#folder.setTries(name, after).catch(() => {});
    const isGeneral = error instanceof Refusal && error.isGeneral;
    const general = error instanceof Refusal && error.type === 'rateLimited' ? { reason: failure.reason } : failure;
    await this.#setDirectory(isGeneral ? directoryFailed(this.#directory, general, nowMs, Math.random()) : succeeded(this.#directory));
  }

  async #setDirectory(tries: Tries): Promise<void> {
    this.#directory = tries;
    const { directory } = this.#options.spec;
    const save = async (): Promise<void> => this.#folder.setAccount({ ...(await this.#folder.account(directory)), tries });
    await save().catch(() => {}); // told as a problem of the folder
  }
}

async function trustedIn(file: string | undefined): Promise<string | undefined> {
  try {
    return file === undefined ? undefined : await readFile(file, 'utf8');
  } catch (error) {
    throw new Refusal('state', `directoryCa cannot be read: ${(error as Error).message}`, true);
  }
}

/** A certificate as it is kept. @throws Refusal when it is not what was asked for. */
function usable(certificate: Certificate, hosts: readonly string[], directory: string, nowMs: number): Stored {
  const stored = trusting(() => {
    createSecureContext(certificate);
    return storedOf(certificate, directory);
  });
  const missing = hosts.filter((host) => !stored.hosts.includes(host));
  if (missing.length > 0) throw new Refusal('unreadable', `the new certificate is not for ${missing.join(', ')}`, false);
  const now = new Date(nowMs).toISOString();
  if (stored.toMs <= nowMs)
    throw new Refusal(
      'clock',
      `the new certificate ended at ${new Date(stored.toMs).toISOString()}, or the clock of this machine (${now}) is wrong`,
      false,
    );
  return stored;
}

function trusting<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw new Refusal('unreadable', `the new certificate cannot be used: ${(error as Error).message}`, true);
  }
}
