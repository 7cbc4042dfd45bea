/** The output streams of an instance: which it has, where their logs are, and the descriptors its process writes to. */
import { closeSync } from 'node:fs';
import type { InstanceSpec } from '../config/model.ts';
import { fileNameOf, type Output, type StreamSpec } from '../output/output.ts';

/** `id` is its name in the output room: `web`, `web!err`. */
export interface Stream extends Omit<StreamSpec, 'owner'> {
  readonly name: 'stdout' | 'stderr';
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
    const { compress = 'gzip', ...settings } = target;
    return [{ ...settings, id: id + mark, name, file, ...(compress !== 'none' && { compress }) }];
  });
}

/** The instance a stream belongs to. */
export const instanceOf = (stream: string): string => (stream.endsWith(errMark) ? stream.slice(0, -errMark.length) : stream);

export interface Descriptors {
  readonly stdout: number | 'null';
  readonly stderr: number | 'null';
  close(): void;
}

/** The part of a run id by which people know the run; it is unique among the runs of an instance as far as a log goes back. */
export const shortRun = (runId: string): string =>
  runId
    .slice(runId.indexOf('.') + 1)
    .replaceAll('-', '')
    .slice(0, 12);

/** Opens what a new process of this run writes to. @throws when a stream is not open, or no descriptor is left. */
export function openDescriptors(output: Output, spec: InstanceSpec, folder: string, run: string): Descriptors {
  const open = new Map<Stream['name'], number>();
  const close = (): void => open.forEach((fd) => void closeSync(fd));
  try {
    for (const { id, name } of streamsOf(spec, folder)) {
      open.set(name, output.writer(id));
      output.begin(id, run);
    }
  } catch (error) {
    close();
    throw error;
  }
  const stdout = open.get('stdout') ?? 'null';
  return {
    stdout,
    stderr: spec.stderr === 'stdout' ? stdout : (open.get('stderr') ?? 'null'),
    close,
  };
}
