/**
 * Every option of a [program:x], with what it means when absent, which field of a service it becomes, and whether
 * supervisord reads it once for the program or again for each of its processes (then %(process_num)d is known).
 * Defaults are those of supervisord 4.2.5.
 */
import {
  type Parse,
  parseByteSize,
  parseExitCodes,
  parseFlag,
  parseMask,
  parseRestart,
  parseSignal,
  someText,
  wholeNumber,
} from './values.ts';

interface Rule<T> {
  readonly parse: Parse<T>;
  readonly fallback: T;
  /** Pointer below the service; '' when nothing is taken over or more than the option decides. */
  readonly to: string;
  readonly perProcess: boolean;
}

const once = <T>(parse: Parse<T>, fallback: T, to: string): Rule<T> => ({ parse, fallback, to, perProcess: false });
const perProcess = <T>(parse: Parse<T>, fallback: T, to: string): Rule<T> => ({ parse, fallback, to, perProcess: true });

const seconds = wholeNumber('Write a whole number of seconds such as 10.');
const count = wholeNumber('Write a whole number such as 10.');
const size50MB = 50 * 1024 ** 2;
const anyNumber = (hint: string): Parse<number> => wholeNumber(hint, -Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);

/** Options whose value is the same for all processes of a program. */
export const simpleOptions = {
  priority: once(anyNumber('Write a whole number; lower starts earlier.'), 999, ''),
  autostart: once(parseFlag, true, '/autostart'),
  autorestart: once(parseRestart, 'on-failure', '/restart'),
  startsecs: once(seconds, 1, '/upAfter'),
  startretries: once(wholeNumber('Write how many times to try again, such as 3.'), 3, '/startRetries'),
  stopsignal: once(parseSignal, 'TERM', '/stop/signal'),
  stopwaitsecs: once(seconds, 10, '/stop/timeout'),
  stopasgroup: once(parseFlag, false, '/stop/scope'),
  // undefined: the value of stopasgroup
  killasgroup: once<boolean | undefined>(parseFlag, undefined, '/stop/killScope'),
  exitcodes: once(parseExitCodes, [0], '/expectedExitCodes'),
  redirect_stderr: once(parseFlag, false, '/stderr'),
  numprocs: once(wholeNumber('Write how many processes to run, at most 10000.', 0, 10_000), 1, '/instances'),
  numprocs_start: once(wholeNumber('Write the number of the first process, 0 or more.', 0, 1_000_000_000), 0, '/firstInstance'),
  user: once(someText('the user', 'Write a user name or number such as www-data, or leave the line out.'), undefined, '/user'),
  umask: once<number | undefined>(parseMask, undefined, '/umask'),
  serverurl: once<string | undefined>((value) => ({ value }), undefined, ''),
  stdout_capture_maxbytes: once(parseByteSize, 0, ''),
  stdout_events_enabled: once(parseFlag, false, ''),
  stderr_capture_maxbytes: once(parseByteSize, 0, ''),
  stderr_events_enabled: once(parseFlag, false, ''),
  stdout_logfile_backups: perProcess(count, 10, '/stdout/keep'),
  stdout_logfile_maxbytes: perProcess(parseByteSize, size50MB, '/stdout/maxSize'),
  stdout_syslog: perProcess(parseFlag, false, ''),
  stderr_logfile_backups: perProcess(count, 10, '/stderr/keep'),
  stderr_logfile_maxbytes: perProcess(parseByteSize, size50MB, '/stderr/maxSize'),
  stderr_syslog: perProcess(parseFlag, false, ''),
} as const;

type SimpleOptions = typeof simpleOptions;
export type SimpleName = keyof SimpleOptions;
export type SimpleValues = { readonly [Name in SimpleName]: SimpleOptions[Name] extends Rule<infer T> ? T : never };

/** Options whose text may differ between the processes of a program. */
export const textOptions = ['command', 'process_name', 'directory', 'environment', 'stdout_logfile', 'stderr_logfile'] as const;
export type TextName = (typeof textOptions)[number];

export const programOptions: readonly string[] = [...textOptions, ...Object.keys(simpleOptions)];
export const socketOptions: readonly string[] = ['socket', 'socket_owner', 'socket_mode', 'socket_backlog'];
