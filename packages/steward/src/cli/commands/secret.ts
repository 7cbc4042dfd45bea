/** secret: storing what services need and nobody is to see. No command shows a value. */
import { randomInt } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { Unreachable } from '@steward/sdk/client';
import type { SecretInfo } from '@steward/sdk/contract/secrets';
import { StewardError } from '../../errors.ts';
import { createSecrets, mostSecretBytes, parseKey, type Secrets, takeKey } from '../../secrets/secrets.ts';
import { claimState, secretKeyIn } from '../../state-folder.ts';
import { openStore } from '../../store/store.ts';
import { type Call, type Command, jsonOption } from '../command.ts';
import { askAllHidden, readInput } from '../hidden-input.ts';
import { clock, table } from '../print.ts';
import { settle, whetherUp } from '../progress.ts';
import { instanceTable } from '../views.ts';

/** Who sets a secret while no daemon runs, as the daemon calls who speaks to its socket. */
const localName = process.getuid?.() === 0 ? 'root' : `uid ${process.getuid?.()}`;

const usage = (message: string, hint: string): StewardError => new StewardError('cli/usage', message, { status: 400, hint });

/** A last line break most often comes from `echo` or an editor and is no part of the value. */
const withoutLastBreak = (bytes: Buffer): Buffer => {
  if (bytes.at(-1) !== 0x0a) return bytes;
  return bytes.subarray(0, bytes.at(-2) === 0x0d ? -2 : -1);
};

const tooLarge = (): StewardError => usage('the value is larger than 64 KB', 'A secret has 1 to 65536 bytes.');

function readValueFile(file: string): Buffer {
  try {
    if (statSync(file).size > mostSecretBytes + 2) throw tooLarge();
    return readFileSync(file);
  } catch (error) {
    if (error instanceof StewardError) throw error;
    throw usage(`${file} cannot be read: ${(error as NodeJS.ErrnoException).code}`, 'Name a file that holds the value.');
  }
}

async function askTwice(name: string): Promise<Buffer> {
  const [first = '', second] = await askAllHidden([`value of ${name} (not shown): `, 'the same again: ']);
  if (first !== second) throw usage('the two values differ; nothing was changed', 'Try again, or pipe the value in.');
  return Buffer.from(first);
}

const signs = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const [fewestSigns, usualSigns, mostSigns] = [8, 32, 1024];

/** Letters and digits: they mean nothing special in URLs, shells and configuration files. 32 of them are 190 bits. */
function generated(length: string | undefined): Buffer {
  const count = length === undefined ? usualSigns : Number(length);
  if (count < fewestSigns || count > mostSigns)
    throw usage(`${length} characters cannot be made`, `Give a number from ${fewestSigns} to ${mostSigns}.`);
  return Buffer.from(Array.from({ length: count }, () => signs[randomInt(signs.length)]).join(''));
}

/** The value, from where the command line says. */
async function valueGiven({ values, io }: Call, name: string, length: string | undefined): Promise<Buffer> {
  const file = values.file as string | undefined;
  if (values.generate && file !== undefined) throw usage('--generate and --file exclude each other', 'Keep one of them.');
  if (values.generate) return generated(length);
  if (file === undefined && process.stdin.isTTY) return askTwice(name);
  const bytes = file === undefined ? await readInput(mostSecretBytes + 2) : readValueFile(resolve(io.cwd, file));
  if (bytes === undefined) throw tooLarge();
  return values.raw ? bytes : withoutLastBreak(bytes);
}

/** Without a daemon the store is opened here: a first secret has to be there before the files that need it can be applied. */
function here<T>({ io, state }: Call, work: (secrets: Secrets) => T): T {
  const claim = claimState(state);
  try {
    const store = openStore(state.database, (error) => io.err(`state.db cannot be written: ${error.message}`));
    try {
      const { source } = takeKey({ ...io.env });
      return work(createSecrets({ store, source, folder: state.path, markKey: secretKeyIn(state), now: () => Date.now() }));
    } finally {
      store.close();
    }
  } finally {
    claim.release();
  }
}

const isElsewhere = ({ values, io }: Call): boolean =>
  values.url !== undefined || (values.state === undefined && (io.env.STEWARD_URL ?? '') !== '');

/** Asks the daemon, or does it here when none runs. */
async function eitherWay<T>(call: Call, asked: () => Promise<T>, work: (secrets: Secrets) => T): Promise<T> {
  try {
    return await asked();
  } catch (error) {
    if (!(error instanceof Unreachable) || isElsewhere(call)) throw error;
    return here(call, work);
  }
}

function nameIn(words: readonly string[], action: string): string {
  const [name, ...more] = words;
  if (name === undefined) throw usage(`secret ${action} needs a name`, `steward secret ${action} db_password`);
  if (more.length > 0) throw usage(`secret ${action} takes one name`, `steward secret ${action} db_password`);
  return name;
}

async function set(call: Call, words: readonly string[]): Promise<number> {
  const { client, io, values } = call;
  const length = values.generate && /^\d{1,5}$/.test(words[1] ?? '') ? words[1] : undefined;
  if (words.length > (length === undefined ? 1 : 2))
    throw usage(
      'a value is not taken from the command line: everybody on this machine can read command lines while they run, and shells remember them',
      'Leave it out and type it when asked, pipe it in, or name a file that holds it with --file. What you typed is in the history of your shell: use another value.',
    );
  const name = nameIn(words.slice(0, 1), 'set');
  const bytes = await valueGiven(call, name, length);
  const answer = await eitherWay(
    call,
    () => client.setSecret({ body: { name, value: bytes.toString('base64'), restart: values['no-restart'] !== true } }),
    (secrets) => ({ name, ...secrets.set(name, bytes, localName), usedBy: [] as string[], restarted: [] as string[], trouble: undefined }),
  );
  const { version, changed, usedBy, restarted, trouble } = answer;
  const instances = await settle(call, restarted);
  if (values.json) io.out(JSON.stringify({ ...answer, instances }, undefined, 2));
  else if (!changed) io.out(`${name} has this value already: nothing is done`);
  else {
    const waits = values['no-restart'] && usedBy.length > 0 ? `; with the next apply it goes to ${usedBy.join(', ')}` : '';
    io.out(`${name} is set, version ${version}${restarted.length > 0 ? `; restarted: ${restarted.join(', ')}` : waits}`);
    if (instances.length > 0) io.out(instanceTable(instances, io.columns, io.isTerminal));
  }
  if (trouble !== undefined) io.err(`it is stored, and not in use: ${trouble}`);
  return trouble === undefined && instances.every(whetherUp) ? 0 : 1;
}

async function list(call: Call): Promise<number> {
  const { client, io, values } = call;
  const answer: { readonly secrets: readonly SecretInfo[]; readonly locked?: string } = await eitherWay(
    call,
    () => client.listSecrets(),
    (secrets) => ({
      secrets: secrets.list().map(({ setMs, ...secret }) => ({ ...secret, setAt: new Date(setMs).toISOString(), usedBy: [] })),
      ...(secrets.locked !== undefined && { locked: secrets.locked }),
    }),
  );
  const now = new Date();
  if (values.json) io.out(JSON.stringify(answer, undefined, 2));
  else if (answer.secrets.length === 0) io.out('nothing is stored');
  else
    io.out(
      table(
        answer.secrets,
        [
          { title: 'NAME', value: ({ name }) => name },
          { title: 'VERSION', value: ({ version }) => String(version), align: 'right' },
          { title: 'SET', value: ({ setAt }) => clock(setAt, now) },
          { title: 'BY', value: ({ setBy }) => setBy },
          { title: 'PREVIOUS', value: ({ hasPrevious }) => (hasPrevious ? 'kept' : '-') },
          { title: 'USED BY', value: ({ usedBy, lacks }) => (lacks === undefined ? usedBy.join(', ') || '-' : `(${lacks})`) },
        ],
        io.columns,
        io.isTerminal,
      ),
    );
  if (answer.locked !== undefined) io.err(`the secrets are locked: ${answer.locked}`);
  return answer.locked === undefined ? 0 : 1;
}

async function remove(call: Call, words: readonly string[]): Promise<number> {
  const { client, io, values } = call;
  const name = nameIn(words, 'rm');
  const answer = await eitherWay(
    call,
    () => client.removeSecret({ body: { name, ...(values.force && { force: true }) } }),
    (secrets) => {
      secrets.remove(name);
      return { name, usedBy: [] as string[] };
    },
  );
  if (values.json) io.out(JSON.stringify(answer, undefined, 2));
  else
    io.out(
      `${name} is removed${answer.usedBy.length > 0 ? `; files that still name it cannot be applied: ${answer.usedBy.join(', ')}` : ''}`,
    );
  return 0;
}

/** The key in a file, in base64 whatever way it stands there. */
function keyIn(file: string): string {
  const bytes = readValueFile(file);
  const key = bytes.length === 32 ? bytes : parseKey(bytes.toString('latin1'));
  if (key === undefined) throw usage(`${file} does not hold 32 bytes in base64`, 'Make one with: head -c 32 /dev/urandom | base64');
  return key.toString('base64');
}

async function rekey(call: Call): Promise<number> {
  const { client, io, values } = call;
  const file = values['key-file'] as string | undefined;
  const key = file === undefined ? undefined : keyIn(resolve(io.cwd, file));
  const answer = await eitherWay(
    call,
    () => client.rekeySecrets({ body: key === undefined ? {} : { key } }),
    (secrets) => {
      secrets.rekey(key === undefined ? undefined : parseKey(key));
      return { secrets: secrets.list().length };
    },
  );
  const then = key === undefined ? '' : '; start the daemon with it next: until then the key of before opens them too';
  io.out(values.json ? JSON.stringify(answer) : `sealed anew with a new master key: ${answer.secrets}${then}`);
  return 0;
}

export const secret: Command = {
  name: 'secret',
  usage: 'set NAME | list | rm NAME | rekey',
  details: `  set NAME             the value is asked for, or read from standard input; never from the command line
      --file FILE      from a file
      --raw            with its last line break, which is taken off otherwise
      --generate [N]   N random letters and digits (32)
      --no-restart     services that use it get it with the next apply
  list                 names, versions, and who uses them; never values
  rm NAME              --force also while a service uses it
  rekey                new master key; --key-file FILE for one that is kept outside of the state directory
      --json           with all of these`,
  options: {
    ...jsonOption,
    file: { type: 'string' },
    raw: { type: 'boolean' },
    generate: { type: 'boolean' },
    'no-restart': { type: 'boolean' },
    force: { type: 'boolean' },
    'key-file': { type: 'string' },
  },
  takes: 'some',
  async run(call) {
    const [action, ...words] = call.positionals;
    if (action === 'set') return set(call, words);
    if (action === 'rm') return remove(call, words);
    if (words.length > 0 || (action !== 'list' && action !== 'rekey'))
      throw usage('secret knows set NAME, list, rm NAME and rekey', 'steward secret --help');
    return action === 'list' ? list(call) : rekey(call);
  },
};
