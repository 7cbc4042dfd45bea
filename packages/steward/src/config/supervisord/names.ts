/** Which names `%(name)s` may use at each place of a supervisord file, and what they stand for in Steward's templates. */
import { dirname, resolve } from 'node:path';
import type { Surroundings } from '../format.ts';
import type { Filling, Names } from './expand.ts';
import { type Filled, filled, plain } from './filled.ts';
import type { IniOption } from './ini.ts';

/** The folder `%(here)s` stands for in a file: its own, absolute. */
export const hereOf = (file: string): string => resolve(dirname(file));

/** Variables a file sets itself, by name: they hide those of Steward's own environment. */
export type Variables = ReadonlyMap<string, Filled>;

export interface Place {
  readonly option: IniOption;
  readonly around: Surroundings;
  readonly env: Variables;
  readonly program?: ProgramNames;
}

export interface ProgramNames {
  readonly program: string;
  readonly group: string;
  readonly numprocs: number;
  readonly firstNumber: number;
}

/** What is being read: sections of the whole file, those that know the machine too, a listening socket, a program, or each of its processes. */
export type Stage = 'file' | 'machine' | 'socket' | 'program' | 'process';

const stageNames: Readonly<Record<Stage, readonly string[]>> = {
  file: ['here'],
  machine: ['here', 'host_node_name'],
  socket: ['here', 'program_name'],
  program: ['here', 'host_node_name', 'program_name', 'group_name'],
  process: ['here', 'host_node_name', 'program_name', 'group_name', 'process_num', 'numprocs'],
};

const text = (value: Filled): Filling => ({ kind: 'text', value });
const templated = (value: string, template: string): Filling => text(filled([{ text: value, template, from: 0, length: 0 }]));

function findVariable({ env, around }: Place, name: string): Filling | undefined {
  const own = env.get(name);
  if (own !== undefined) return text(own);
  if (!Object.hasOwn(around.env, name)) return undefined;
  const value = around.env[name];
  if (value === undefined) return undefined;
  return /^\w+$/.test(name) ? templated(value, `{{env.${name}}}`) : text(plain(value));
}

function findName(place: Place, name: string): Filling | undefined {
  const { option, around, program } = place;
  if (name === 'here') return text(plain(hereOf(option.keyAt.file)));
  if (name === 'host_node_name') return templated(around.hostname, '{{host}}');
  if (program === undefined) return undefined;
  const { numprocs, firstNumber } = program;
  if (name === 'program_name') return text(plain(program.program));
  if (name === 'group_name') return templated(program.group, '{{group}}');
  if (name === 'process_num') return { kind: 'number', value: firstNumber, template: 'instance', padded: true, varies: numprocs > 1 };
  return { kind: 'number', value: numprocs, template: 'instances', padded: false, varies: false };
}

/** The names that may be filled in while an option is read at `stage`. */
export function namesOf(place: Place, stage: Stage): Names {
  const plainNames = stageNames[stage];
  return {
    find: (name) =>
      name.startsWith('ENV_') ? findVariable(place, name.slice(4)) : plainNames.includes(name) ? findName(place, name) : undefined,
    all: () => [...plainNames, ...[...place.env.keys(), ...Object.keys(place.around.env)].map((name) => `ENV_${name}`)],
  };
}
