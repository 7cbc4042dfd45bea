/** The output streams of an instance: which it has, where their logs are, and the descriptors its process writes to. */
import { closeSync } from 'node:fs';
import type { InstanceSpec } from '../config/model.ts';
import { fileNameOf, type Output } from '../output/output.ts';

export interface Stream {
  /** Name in the output room: `web`, `web!err`. */
  readonly id: string;
  readonly name: 'stdout' | 'stderr';
  /** Absolute path of its log. */
  readonly file: string;
  readonly maxBytes: number;
  readonly keep: number;
}

const errMark = '!err';

/** The streams that keep a log; stderr is none of its own when it goes to stdout. `folder` holds logs that name no file. */
export function streamsOf({ id, stdout, stderr }: InstanceSpec, folder: string): Stream[] {
  const targets = [
    { name: 'stdout', mark: '', suffix: '', target: stdout },
    { name: 'stderr', mark: errMark, suffix: '.err', target: stderr },
  ] as const;
  return targets.flatMap(({ name, mark, suffix, target }): Stream[] => {
    if (target === 'stdout' || target.file === 'none') return [];
    const file = target.file ?? `${folder}/${fileNameOf(id)}${suffix}.log`;
    return [{ id: id + mark, name, file, maxBytes: target.maxBytes, keep: target.keep }];
  });
}

/** The instance a stream belongs to. */
export const instanceOf = (stream: string): string => (stream.endsWith(errMark) ? stream.slice(0, -errMark.length) : stream);

export interface Descriptors {
  readonly stdout: number | 'ignore';
  readonly stderr: number | 'ignore';
  close(): void;
}

/** Opens what a new process writes to. @throws when a stream is not open, or no descriptor is left. */
export function openDescriptors(output: Output, spec: InstanceSpec, folder: string): Descriptors {
  const open = new Map<Stream['name'], number>();
  const close = (): void => open.forEach((fd) => void closeSync(fd));
  try {
    for (const { id, name } of streamsOf(spec, folder)) open.set(name, output.writer(id));
  } catch (error) {
    close();
    throw error;
  }
  const stdout = open.get('stdout') ?? 'ignore';
  return {
    stdout,
    stderr: spec.stderr === 'stdout' ? stdout : (open.get('stderr') ?? 'ignore'),
    close,
  };
}
