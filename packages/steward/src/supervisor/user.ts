/** Who a name or number is, as the system's name service says (files, LDAP...): asked through getent(1) and id(1). */
import { spawnSync } from 'node:child_process';

export interface User {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
  readonly shell: string;
}

/** A start must not wait for a name service each time: what it said counts for a minute. */
const memoryMs = 60_000;
const remembered = new Map<string, { readonly answer: string | undefined; readonly until: number }>();

function ask(command: string, ...args: string[]): string | undefined {
  const question = [command, ...args].join(' ');
  const known = remembered.get(question);
  if (known !== undefined && known.until > performance.now()) return known.answer;
  const { status, stdout } = spawnSync(command, args, { encoding: 'utf8', timeout: 5000 });
  const answer = status === 0 ? stdout.trim() : undefined;
  remembered.set(question, { answer, until: performance.now() + memoryMs });
  return answer;
}

/** The user with this name or number; undefined when there is none. */
export function findUser(nameOrNumber: string): User | undefined {
  const [name, , uid, gid, , home, shell] = ask('getent', 'passwd', nameOrNumber)?.split(':') ?? [];
  return name === undefined || uid === undefined
    ? undefined
    : { name, uid: Number(uid), gid: Number(gid), home: home || '/', shell: shell || '/bin/sh' };
}

/** The number of the group with this name or number; undefined when there is none. */
export function findGroup(nameOrNumber: string): number | undefined {
  const gid = ask('getent', 'group', nameOrNumber)?.split(':')[2];
  return gid === undefined ? undefined : Number(gid);
}

/** The supplementary groups of a user, by number. */
export function groupsOf(user: User): number[] {
  return (ask('id', '-G', user.name) ?? String(user.gid)).split(/\s+/).map(Number);
}
