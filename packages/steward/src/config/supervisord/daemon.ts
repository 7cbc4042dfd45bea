/** The [supervisord] section: what it says for all programs is taken over, the rest is named with what Steward does instead. */
import type { FileSource } from '../sections/file.ts';
import { type Filled, toTemplate } from './filled.ts';
import { valuePlace } from './ini.ts';
import { simpleOptions } from './options.ts';
import { type Context, markOrigin, readEnvironment, readValue } from './reading.ts';
import { say } from './report.ts';

/** What Steward does instead of each option that is not taken over. */
const advice: Readonly<Record<string, string>> = {
  logfile: 'Steward writes its own messages to its standard error, for the journal or the container to keep.',
  logfile_maxbytes: 'What receives the messages of Steward decides how much of them is kept.',
  logfile_backups: 'What receives the messages of Steward decides how much of them is kept.',
  loglevel: 'Steward has no log levels.',
  pidfile: 'Steward needs no pid file; its control socket tells whether it runs.',
  identifier: 'Write name: in steward.yaml to name this system.',
  nodaemon: 'Steward always stays in the foreground; systemd or a container runs it in the background.',
  silent: 'Redirect the output of Steward where it is started.',
  minfds: 'Set the limit where Steward is started, such as LimitNOFILE= in its systemd unit.',
  minprocs: 'Set the limit where Steward is started, such as LimitNPROC= in its systemd unit.',
  nocleanup: 'Steward keeps the logs of programs when it starts.',
  childlogdir: 'Steward keeps the logs of programs without a log file of their own in its state folder.',
  strip_ansi: 'Logs hold what programs write, colours too.',
  directory: 'Write directory= in each program that needs it; supervisord goes there only when it runs in the background.',
  user: 'Its programs run as this user unless they name another; Steward itself keeps the user it is started as.',
};

export const daemonOptions: readonly string[] = [...Object.keys(advice), 'umask', 'environment'];

function noteRest({ section, report }: Context): void {
  for (const option of section.options.values()) {
    const hint = Object.hasOwn(advice, option.key) ? advice[option.key] : undefined;
    if (hint === undefined) continue;
    const message =
      option.key === 'user' ? '[supervisord] user: is taken over for the programs only' : `[supervisord] ${option.key}: is not taken over`;
    say(report, 'note', 'config/not-taken-over', valuePlace(option), message, hint);
  }
}

export interface Daemon {
  readonly config: Pick<FileSource, 'env' | 'defaults'>;
  /** What `environment` sets: known to programs as %(ENV_NAME)s. */
  readonly variables: ReadonlyMap<string, Filled>;
}

/** What [supervisord] says for all programs. */
export function readDaemon(context: Context): Daemon {
  // supervisord fills this in twice, the machine's name only the second time.
  const variables = readEnvironment(context, '/env', 'file', 'machine');
  const umask = readValue(context, 'umask', simpleOptions.umask.parse, undefined, 'file');
  const user = readValue(context, 'user', simpleOptions.user.parse, undefined, 'file');
  markOrigin(context, '/defaults/umask', 'umask');
  markOrigin(context, '/defaults/user', 'user');
  noteRest(context);
  const defaults = {
    ...(user === undefined ? {} : { user }),
    ...(umask === undefined ? {} : { umask: umask.toString(8).padStart(3, '0') }),
  };
  return {
    config: {
      ...(variables.length === 0 ? {} : { env: Object.fromEntries(variables.map(({ name, value }) => [name, toTemplate(value)])) }),
      ...(Object.keys(defaults).length === 0 ? {} : { defaults }),
    },
    variables: new Map(variables.map(({ name, value }) => [name, value])),
  };
}
