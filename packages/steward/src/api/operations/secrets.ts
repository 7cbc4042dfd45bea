/** Stored secrets: setting, removing, listing. Values come in here and never go out. */
import { baseOf } from '../../config/stored-secret.ts';
import { StewardError } from '../../errors.ts';
import { parseKey } from '../../secrets/secrets.ts';
import type { Handlers, Rooms } from '../handlers.ts';

/** @throws StewardError when it is not base64, which Node would read as far as it is. */
function bytesOf(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64').replace(/=+$/, '') === text.replace(/=+$/, '')) return bytes;
  throw new StewardError('api/secret-value', 'the value is not base64', { status: 400, hint: 'Send the bytes in base64.' });
}

/** @throws StewardError for what is no key; what was given is not repeated. */
function keyOf(text: string | undefined): Buffer | undefined {
  if (text === undefined) return undefined;
  const key = parseKey(text);
  if (key !== undefined) return key;
  throw new StewardError('api/secret-value', 'the key is not 32 bytes in base64', {
    status: 400,
    hint: 'Make one with: head -c 32 /dev/urandom | base64',
  });
}

const list = (services: readonly string[]): string => (services.length === 0 ? 'nothing uses it' : `used by ${services.join(', ')}`);

export function secretHandlers({
  secrets,
  supervisor,
  journal,
  system,
}: Pick<Rooms, 'secrets' | 'supervisor' | 'journal' | 'system'>): Pick<
  Handlers,
  'listSecrets' | 'setSecret' | 'removeSecret' | 'rekeySecrets'
> {
  const usersOf = (name: string): string[] => [
    ...new Set(
      supervisor.views().flatMap(({ spec }) => (Object.keys(spec.secrets ?? {}).some((used) => baseOf(used) === name) ? spec.service : [])),
    ),
  ];

  return {
    listSecrets() {
      const { locked } = secrets;
      const shown = secrets.list().map(({ setMs, ...secret }) => ({
        ...secret,
        setAt: new Date(setMs).toISOString(),
        usedBy: usersOf(secret.name),
      }));
      return { secrets: shown, ...(locked !== undefined && { locked }) };
    },
    async setSecret({ body: { name, value, restart = true } }, { subject }) {
      const bytes = bytesOf(value);
      const { changed, version, restarted, trouble } = await system.setSecret(
        () => {
          const set = secrets.set(name, bytes, subject.name);
          if (set.changed)
            journal.record({
              type: 'secret.set',
              subject: name,
              message: `version ${set.version}, set by ${subject.name}; ${list(usersOf(name))}`,
            });
          return set;
        },
        restart ? name : undefined,
      );
      return { name, version, changed, usedBy: usersOf(name), restarted, ...(trouble !== undefined && { trouble }) };
    },
    removeSecret({ body: { name, force = false } }, { subject }) {
      const usedBy = usersOf(name);
      if (usedBy.length > 0 && !force)
        throw new StewardError('api/secret-used', `${usedBy.join(', ')} uses the secret ${name}`, {
          status: 409,
          hint: 'Take it out of the files and apply them first, or force it: then files that still name it have an error.',
        });
      secrets.remove(name);
      journal.record({ type: 'secret.removed', subject: name, message: `removed by ${subject.name}; ${list(usedBy)}` });
      return { name, usedBy };
    },
    rekeySecrets({ body: { key } }, { subject }) {
      secrets.rekey(keyOf(key));
      const count = secrets.list().length;
      journal.record({ type: 'secret.rekeyed', subject: 'secrets', message: `new keys for ${count}, by ${subject.name}`, data: { count } });
      return { secrets: count };
    },
  };
}
