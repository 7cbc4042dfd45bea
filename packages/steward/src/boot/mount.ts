/**
 * Mounting, so that doing it again changes nothing: what is mounted is read from /proc/self/mountinfo, and everything that
 * may meet a dead file server is asked of a program that may hang in our place.
 */
import { readFileSync, realpathSync } from 'node:fs';
import type { MountSpec } from '../config/model.ts';
import { runBounded } from './bounded.ts';

/** What came of doing or looking, for people. */
export interface Outcome {
  readonly ok: boolean;
  readonly why: string;
}

/** A line of mountinfo, as far as it is used. */
export interface Mounted {
  readonly at: string;
  readonly type: string;
  readonly source: string;
}

/** Blanks, tabs, line ends and backslashes are written as octal numbers there. */
const plain = (field: string): string =>
  field.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));

/** The mounts of a /proc/PID/mountinfo (proc(5)), oldest first. Lines that are none are left out. */
export function parseMounts(text: string): Mounted[] {
  return text.split('\n').flatMap((line) => {
    const [left = '', right] = line.split(' - ');
    const at = left.split(' ')[4];
    const [type, source] = right?.split(' ') ?? [];
    return at === undefined || type === undefined || source === undefined ? [] : [{ at: plain(at), type, source: plain(source) }];
  });
}

/** What one sees at a folder: the last that was mounted there; undefined when nothing is. */
export function mountedAt(at: string): Mounted | undefined {
  return parseMounts(readFileSync('/proc/self/mountinfo', 'utf8')).findLast((mounted) => mounted.at === (at.replace(/\/+$/, '') || '/'));
}

const lookMs = 5000;
const isRemote = (type: string): boolean => /^(nfs|cifs|smb|ceph|fuse|9p|afs|glusterfs)/.test(type);

/** Whether a file or folder is there and answers; its device and number then. Bounded also when its file server is dead. */
export async function lookAt(path: string, signal: AbortSignal): Promise<Outcome & { readonly id?: string; readonly isStale?: boolean }> {
  const { code, text, inTime } = await runBounded(['stat', '-L', '-c', '%d:%i', '--', path], path, lookMs, signal);
  if (!inTime) return { ok: false, why: `${path} does not answer: its file server may be down` };
  if (code === 0) return { ok: true, why: `${path} is there`, id: text };
  const isStale = /stale/i.test(text);
  return { ok: false, why: isStale ? `${path} is stale: its file server no longer knows it` : text.replace(/^stat: /, ''), isStale };
}

/** A path as the kernel knows it, links followed; as it was given when that cannot be found out. */
async function plainPath(path: string, signal: AbortSignal): Promise<string> {
  const { code, text } = await runBounded(['realpath', '-m', '--', path], path, lookMs, signal);
  return code === 0 && text.startsWith('/') ? text : path;
}

/** Whether something is mounted at a folder and answers. */
export async function lookAtMount(given: string, signal: AbortSignal): Promise<Outcome> {
  const at = await plainPath(given, signal);
  const mounted = mountedAt(at);
  if (mounted === undefined) return { ok: false, why: `nothing is mounted at ${at}` };
  const { ok, why } = await lookAt(at, signal);
  return ok ? { ok, why: `${mounted.source} is mounted at ${at}` } : { ok, why };
}

/** The device a name means: /dev/disk/by-... for UUID= and the like, links followed. */
function deviceOf(source: string): string {
  const [, tag, value] = /^(UUID|LABEL|PARTUUID|PARTLABEL)=(.+)$/.exec(source) ?? [];
  const path = tag === undefined ? source : `/dev/disk/by-${tag.toLowerCase()}/${value}`;
  if (!path.startsWith('/dev/')) return path;
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

const isBind = ({ options }: MountSpec): boolean => options.some((option) => option === 'bind' || option === 'rbind');

/** Whether what is mounted is what was asked for. */
async function isSame(spec: MountSpec, mounted: Mounted, seen: string | undefined, signal: AbortSignal): Promise<boolean> {
  if (isBind(spec)) return seen !== undefined && (await lookAt(spec.source, signal)).id === seen;
  const trimmed = (source: string): string => (isRemote(mounted.type) ? source.replace(/(?<=.)\/+$/, '') : deviceOf(source));
  return trimmed(mounted.source) === trimmed(spec.source);
}

function mountWords({ source, at, type, options }: MountSpec): [string, ...string[]] {
  return [
    'mount',
    ...(type === undefined ? [] : ['-t', type]),
    ...(options.length === 0 ? [] : ['-o', options.join(',')]),
    '--',
    source,
    at,
  ];
}

/** Runs a program that must end well. */
async function mustRun(words: readonly [string, ...string[]], about: string, timeoutMs: number, signal: AbortSignal): Promise<Outcome> {
  const { code, text, inTime } = await runBounded(words, about, timeoutMs, signal);
  if (code === 0) return { ok: true, why: text };
  return {
    ok: false,
    why: inTime ? text || `${words[0]} ended with code ${code}` : `${words[0]} did not end in time: ${about} may not answer`,
  };
}

/**
 * Mounts what is not mounted yet. A stale mount of the same source is taken away first; another one at the folder is left
 * and told. Resolves within `timeoutMs` and a few bounded looks, or when `signal` fires. Never rejects.
 */
export async function mount(spec: MountSpec, timeoutMs: number, signal: AbortSignal): Promise<Outcome> {
  const { source } = spec;
  const at = await plainPath(spec.at, signal);
  const present = mountedAt(at);
  if (present !== undefined) {
    const seen = await lookAt(at, signal);
    if (seen.isStale) {
      const gone = await mustRun(['umount', '--lazy', '--', at], at, timeoutMs, signal);
      if (!gone.ok) return { ok: false, why: `${seen.why}, and cannot be taken away: ${gone.why}` };
    } else if (!seen.ok) return { ok: false, why: seen.why };
    else if (await isSame(spec, present, seen.id, signal)) return { ok: true, why: `${source} was mounted at ${at} already` };
    else return { ok: false, why: `${present.source} (${present.type}) is mounted at ${at} already, and not ${source}` };
  }
  const folder = await mustRun(['mkdir', '-p', '--', at], at, lookMs, signal);
  if (!folder.ok) return folder;
  const done = await mustRun(mountWords(spec), `${source} at ${at}`, timeoutMs, signal);
  if (!done.ok) return done;
  const seen = await lookAt(at, signal);
  return seen.ok ? { ok: true, why: `mounted ${source} at ${at}` } : { ok: false, why: seen.why };
}
