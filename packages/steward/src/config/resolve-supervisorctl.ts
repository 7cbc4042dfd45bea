/** The `supervisorctl:` sections of all files → the places where supervisorctl is answered. Pure. */
import { isAbsolute, resolve } from 'node:path';
import { isLoopback, parseListen } from './address.ts';
import type { Credentials, SupervisorctlListener, TcpListener, UnixListener } from './model.ts';
import type { Pair } from './resolve-services.ts';
import type { Scope } from './scope.ts';
import type { SupervisorctlSource } from './sections/supervisorctl.ts';
import { textOfSecret } from './stored-secret.ts';
import { type Lookup, render } from './template.ts';

type UnixSource = NonNullable<SupervisorctlSource['unix']>;
type TcpSource = NonNullable<SupervisorctlSource['tcp']>;

/** One place being resolved. */
interface Draft {
  readonly scope: Scope;
  readonly pointer: string;
  /** What it needs cannot be had, or is not known to who only checks files: it is left out. */
  isUnknown: boolean;
}

const knownNames = ['host', 'env.NAME', 'secret.NAME'] as const;

function secretValue(draft: Draft, name: string): ReturnType<Lookup> {
  const found = draft.scope.secret(name);
  if (found === undefined)
    return { missing: `there is no secret "${name}"`, hint: `Store it with \`steward secret set ${name}\`, or declare it under secrets:.` };
  if (typeof found === 'string') {
    draft.isUnknown = true;
    return { value: '' };
  }
  if ('declared' in found) return { value: found.declared };
  const value = 'lacks' in found ? found : textOfSecret(found.bytes);
  return 'text' in value
    ? { value: value.text }
    : { missing: `secret "${name}" cannot be had: ${value.lacks}`, hint: 'Set it again: `steward secret set`.' };
}

const lookupFor =
  (draft: Draft, field: string): Lookup =>
  (name) => {
    if (name === 'host') return { value: draft.scope.hostname };
    if (name.startsWith('secret.'))
      return field === 'password'
        ? secretValue(draft, name.slice(7))
        : { missing: `{{${name}}} may stand in password only`, hint: 'Write the value here.' };
    if (!name.startsWith('env.')) return undefined;
    const value = draft.scope.env[name.slice(4)];
    return value === undefined
      ? {
          missing: `${name.slice(4)} is not set in Steward's environment`,
          hint: 'Set it before starting Steward, or write the value here.',
        }
      : { value };
  };

function textOf(draft: Draft, field: string, template: string): string {
  const { text, mistakes } = render(template, lookupFor(draft, field), knownNames);
  for (const { message, hint } of mistakes) draft.scope.tell(`${draft.pointer}/${field}`, 'config/template', message, hint);
  return text;
}

function credentialsOf(draft: Draft, { username, password }: Pick<UnixSource, 'username' | 'password'>): Credentials | undefined {
  if ((username === undefined) !== (password === undefined))
    draft.scope.tell(
      `${draft.pointer}/${username === undefined ? 'password' : 'username'}`,
      'config/half-credentials',
      `a ${username === undefined ? 'password is given without a user name' : 'user name is given without a password'}`,
      'Write both, or none.',
    );
  if (username === undefined || password === undefined) return undefined;
  const given = { username: textOf(draft, 'username', username), password: textOf(draft, 'password', password) };
  if (given.password === '' && !draft.isUnknown)
    draft.scope.tell(`${draft.pointer}/password`, 'config/half-credentials', 'the password is empty', 'Write one that cannot be guessed.');
  return given;
}

const othersWrite = 0o002;

function unixOf(draft: Draft, { path, mode = '0700', owner, ...rest }: UnixSource): UnixListener {
  const text = textOf(draft, 'path', path);
  const credentials = credentialsOf(draft, rest);
  const [user, group] = owner?.split(':') ?? [];
  const bits = Number.parseInt(mode, 8) & 0o777;
  if (credentials === undefined && (bits & othersWrite) !== 0)
    draft.scope.tell(
      `${draft.pointer}/mode`,
      'config/open-control',
      'everybody on this machine may control Steward by this socket, and so run anything as its user',
      'Write a mode such as "0770" with an owner, or a user name and a password.',
      'warning',
    );
  return {
    kind: 'unix',
    path: isAbsolute(text) ? text : resolve(draft.scope.folder, text),
    mode: bits,
    ...(user && { user }),
    ...(group && { group }),
    ...(credentials && { credentials }),
  };
}

function tcpOf(draft: Draft, { address, ...rest }: TcpSource): TcpListener | undefined {
  const text = typeof address === 'number' ? String(address) : textOf(draft, 'address', address);
  const listen = parseListen(text);
  const credentials = credentialsOf(draft, rest);
  if (listen === undefined) {
    draft.scope.tell(`${draft.pointer}/address`, 'config/listen', `"${text}" is no port and no address:port`, 'Write 127.0.0.1:9001.');
    return undefined;
  }
  if (credentials === undefined) tellOpen(draft, text, listen.host !== undefined && isLoopback(listen.host));
  return { kind: 'tcp', ...listen, ...(credentials && { credentials }) };
}

/** supervisord warns of both when it starts; the one that other machines reach is refused here. */
function tellOpen({ scope, pointer }: Draft, text: string, isHere: boolean): void {
  const who = isHere ? 'everybody on this machine' : 'everybody who reaches this machine';
  scope.tell(
    `${pointer}/address`,
    'config/open-control',
    `${who} could control Steward at ${text}, and so run anything as its user`,
    isHere ? 'Write a user name and a password, or use a unix socket.' : 'Write a user name and a password, or listen on 127.0.0.1.',
    isHere ? 'warning' : 'error',
  );
}

interface Placed {
  readonly scope: Scope;
  readonly pointer: string;
  readonly listener: SupervisorctlListener;
}

function placesIn({ reading, scope }: Pair): Placed[] {
  const { unix, tcp } = reading.config.supervisorctl ?? {};
  const resolved = (kind: 'unix' | 'tcp', make: (draft: Draft) => SupervisorctlListener | undefined): Placed[] => {
    const draft: Draft = { scope, pointer: `/supervisorctl/${kind}`, isUnknown: false };
    const listener = make(draft);
    return listener === undefined || draft.isUnknown ? [] : [{ scope, pointer: draft.pointer, listener }];
  };
  return [
    ...(unix === undefined ? [] : resolved('unix', (draft) => unixOf(draft, unix))),
    ...(tcp === undefined ? [] : resolved('tcp', (draft) => tcpOf(draft, tcp))),
  ];
}

const addressOf = (listener: SupervisorctlListener): string =>
  listener.kind === 'unix' ? listener.path : `${listener.host ?? '*'}:${listener.port}`;

/** All places of all files; one that stands twice is told, unless it is the same. */
export function resolveSupervisorctl(pairs: readonly Pair[]): readonly SupervisorctlListener[] {
  const found = new Map<string, SupervisorctlListener>();
  for (const { scope, pointer, listener } of pairs.flatMap(placesIn)) {
    const name = addressOf(listener);
    const earlier = found.get(name);
    if (earlier === undefined) found.set(name, listener);
    else if (JSON.stringify(earlier) !== JSON.stringify(listener))
      scope.tell(pointer, 'config/endpoint-twice', `two files answer supervisorctl at ${name}, in different ways`, 'Keep one of them.');
  }
  return [...found.values()];
}
