/**
 * Passwords: argon2id, kept as PHC strings, so that what they cost can be raised later and older ones are renewed at the next
 * login. Hashing runs in threads, two at a time, and a queue that is full refuses: a flood of logins takes neither the processor
 * nor the memory of the machine.
 */
import { type Argon2Parameters, argon2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { StewardError } from '../errors.ts';

const derive = promisify(argon2) as (algorithm: 'argon2id', parameters: Argon2Parameters) => Promise<Buffer>;

/**
 * OWASP's Password Storage Cheat Sheet asks for at least 19 MiB with 2 passes and 1 lane: about 50 ms here. The sets it lists as
 * equal trade memory for time; this is the one that two at once stay below 40 MB with, on the small machines Steward runs on.
 */
export const currentCost = { memory: 19_456, passes: 2, parallelism: 1 } as const;
type Cost = { readonly memory: number; readonly passes: number; readonly parallelism: number };

const saltBytes = 16;
const hashBytes = 32;
const atOnce = 2;
const longestQueue = 16;

export const shortestPassword = 12;
/** Bytes of UTF-8: enough for any sentence, and no work to hash. */
export const longestPassword = 256;

/** The same password typed on two keyboards is one: full-width letters of an input method are their plain ones. */
const normal = (password: string): string => password.normalize('NFKC');

/** Why a password cannot be taken; undefined when it can. Length counts, kinds of characters do not (NIST SP 800-63B). */
export function passwordProblem(password: string, name: string): string | undefined {
  const text = normal(password);
  if ([...text].length < shortestPassword) return `a password has at least ${shortestPassword} characters`;
  if (Buffer.byteLength(text) > longestPassword) return `a password has at most ${longestPassword} bytes`;
  if (text.trim().toLowerCase() === name.toLowerCase()) return 'the name is no password';
  return undefined;
}

interface Phc extends Cost {
  readonly salt: Buffer;
  readonly hash: Buffer;
}

const base64 = (bytes: Buffer): string => bytes.toString('base64').replace(/=+$/, '');

const formatPhc = ({ memory, passes, parallelism, salt, hash }: Phc): string =>
  `$argon2id$v=19$m=${memory},t=${passes},p=${parallelism}$${base64(salt)}$${base64(hash)}`;

function parsePhc(text: string): Phc | undefined {
  const found = /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,3}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,88})\$([A-Za-z0-9+/]{16,172})$/.exec(text);
  if (found === null) return undefined;
  const [, memory, passes, parallelism, salt, hash] = found;
  return {
    memory: Number(memory),
    passes: Number(passes),
    parallelism: Number(parallelism),
    salt: Buffer.from(salt as string, 'base64'),
    hash: Buffer.from(hash as string, 'base64'),
  };
}

/** Whether a hash was made for less than what is asked for now. */
export function isOutdated(phc: string, cost: Cost = currentCost): boolean {
  const found = parsePhc(phc);
  return found === undefined || found.memory !== cost.memory || found.passes !== cost.passes || found.parallelism !== cost.parallelism;
}

/** Runs tasks, some at a time, in order. @throws StewardError for one more than may wait. */
function createQueue(running: number, waiting: number): <T>(task: () => Promise<T>) => Promise<T> {
  const line: (() => void)[] = [];
  let busy = 0;
  return async (task) => {
    if (busy < running) busy++;
    else if (line.length < waiting) await new Promise<void>((resolve) => line.push(resolve));
    else throw new StewardError('identity/busy', 'too many logins are under way', { status: 503, hint: 'Try again in a few seconds.' });
    try {
      return await task();
    } finally {
      const next = line.shift(); // takes over this one's turn
      if (next === undefined) busy--;
      else next();
    }
  };
}

export interface Passwords {
  /** A PHC string. */
  hash(password: string): Promise<string>;
  /** Without a hash it takes as long and is false, so that time does not tell whether there is such a person. */
  verify(phc: string | undefined, password: string): Promise<boolean>;
}

export function createPasswords(cost: Cost = currentCost): Passwords {
  const inTurn = createQueue(atOnce, longestQueue);
  const hashWith = (password: string, { memory, passes, parallelism }: Cost, nonce: Buffer, tagLength: number): Promise<Buffer> =>
    derive('argon2id', { message: Buffer.from(normal(password)), nonce, memory, passes, parallelism, tagLength });
  const nobodys: Phc = { ...cost, salt: randomBytes(saltBytes), hash: Buffer.alloc(hashBytes) };
  return {
    hash: (password) =>
      inTurn(async () => {
        const salt = randomBytes(saltBytes);
        return formatPhc({ ...cost, salt, hash: await hashWith(password, cost, salt, hashBytes) });
      }),
    verify: (phc, password) =>
      inTurn(async () => {
        const known = phc === undefined ? undefined : parsePhc(phc);
        const against = known ?? nobodys;
        const hash = await hashWith(password.slice(0, 4 * longestPassword), against, against.salt, against.hash.length);
        return timingSafeEqual(hash, against.hash) && known !== undefined;
      }),
  };
}
