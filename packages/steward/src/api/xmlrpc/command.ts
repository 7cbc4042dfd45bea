/** Whether the command of an instance is there at all, asked before a start as supervisord asks it. */
import { accessSync, constants, type Stats, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { InstanceSpec } from '../../config/model.ts';
import { Fault } from './faults.ts';

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

/** The file a command means, in the words of the command; found in PATH when it has no slash. */
function fileOf({ command: [program], cwd, env }: InstanceSpec): { shown: string; path: string } | undefined {
  if (program.includes('/')) return { shown: program, path: resolve(cwd, program) };
  const folders = (env.PATH ?? process.env.PATH ?? '/usr/bin:/bin').split(':').filter((folder) => folder !== '');
  const path = folders.map((folder) => join(folder, program)).find((file) => statOf(file) !== undefined);
  return path === undefined ? undefined : { shown: path, path };
}

const mayExecute = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};

/** Why it cannot be started; undefined when nothing is known against it. */
export function commandFault(spec: InstanceSpec): Fault | undefined {
  const file = fileOf(spec);
  const stat = file && statOf(file.path);
  const shown = `'${file?.shown ?? spec.command[0]}'`;
  if (file === undefined || stat === undefined) return new Fault('NO_FILE', `can't find command ${shown}`);
  if (stat.isDirectory()) return new Fault('NOT_EXECUTABLE', `command at ${shown} is a directory`);
  if ((stat.mode & 0o111) === 0) return new Fault('NOT_EXECUTABLE', `command at ${shown} is not executable`);
  return mayExecute(file.path) ? undefined : new Fault('NOT_EXECUTABLE', `no permission to run command ${shown}`);
}
