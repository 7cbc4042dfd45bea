/** The unit by which systemd keeps the daemon up. Pure. */

export interface UnitOptions {
  /** Absolute path of the launcher. */
  readonly launcher: string;
  /** Absolute path of the state directory. */
  readonly state: string;
  /** Absolute paths, applied when nothing was applied before. */
  readonly files: readonly string[];
  /** For the manager of one user rather than of the machine. */
  readonly isForUser: boolean;
}

/** The first line of every unit that is written here: by it one of ours is known. */
export const unitMark = '# Written by `steward install`; `steward uninstall` takes it away.';

/**
 * One word of a command line, by systemd.service(5): quoted when it has to be, `%` doubled for it begins a specifier. An
 * argument doubles `$` too, which begins a variable there; the program's own path knows no variables.
 */
export function systemdWord(text: string, part: 'program' | 'argument'): string {
  const plain = text.replaceAll('%', '%%').replaceAll('$', part === 'argument' ? '$$$$' : '$$');
  if (/^[\w@%$:.,/=+-]+$/.test(plain)) return plain;
  return `"${plain.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n').replaceAll('\t', '\\t')}"`;
}

/**
 * Restart=on-failure: who runs `steward down` wants it down. The process alone is signalled (KillMode=process): `stop` is
 * TERM, by which the daemon stops its services itself, in order; `restart` is USR2, by which it leaves them running to the
 * next. A service that is killed for its memory must not end the unit (OOMPolicy), and a limit on tasks for one daemon must
 * not count for all services. Sandboxing of the unit would be that of every service, so there is none.
 */
export function systemdUnit({ launcher, state, files, isForUser }: UnitOptions): string {
  const words = ['daemon', '--state', state, '--resume', ...files].map((word) => systemdWord(word, 'argument'));
  const network = isForUser ? [] : ['Wants=network-online.target', 'After=network-online.target'];
  return [
    unitMark,
    '[Unit]',
    'Description=Steward, which runs services and their gateway',
    ...network,
    'StartLimitIntervalSec=0',
    '',
    '[Service]',
    'Type=notify',
    'NotifyAccess=main',
    `ExecStart=${[systemdWord(launcher, 'program'), ...words].join(' ')}`,
    'ExecReload=/bin/kill -HUP $MAINPID',
    'KillMode=process',
    'RestartKillSignal=SIGUSR2',
    'Restart=on-failure',
    'RestartSec=1',
    'WatchdogSec=60',
    'WatchdogSignal=SIGKILL',
    'TimeoutStartSec=5min',
    'TimeoutStopSec=30min',
    'Delegate=yes',
    'OOMPolicy=continue',
    'TasksMax=infinity',
    'LimitNOFILE=1024:524288',
    '',
    '[Install]',
    `WantedBy=${isForUser ? 'default.target' : 'multi-user.target'}`,
    '',
  ].join('\n');
}
