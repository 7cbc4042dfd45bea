/** Linux's signals by name (signal(7); the same numbers on x86-64 and arm64). Real-time ones are left out. Pure. */

const numbers = {
  HUP: 1,
  INT: 2,
  QUIT: 3,
  ILL: 4,
  TRAP: 5,
  ABRT: 6,
  BUS: 7,
  FPE: 8,
  KILL: 9,
  USR1: 10,
  SEGV: 11,
  USR2: 12,
  PIPE: 13,
  ALRM: 14,
  TERM: 15,
  STKFLT: 16,
  CHLD: 17,
  CONT: 18,
  STOP: 19,
  TSTP: 20,
  TTIN: 21,
  TTOU: 22,
  URG: 23,
  XCPU: 24,
  XFSZ: 25,
  VTALRM: 26,
  PROF: 27,
  WINCH: 28,
  IO: 29,
  PWR: 30,
  SYS: 31,
} as const;

export type SignalName = keyof typeof numbers;

export const signalNames = Object.keys(numbers) as SignalName[];

const otherNames: Readonly<Record<string, SignalName>> = { IOT: 'ABRT', CLD: 'CHLD', POLL: 'IO' };

/** `TERM`, `SIGTERM`, `term` or `15` as a name; undefined when it is no signal. */
export function findSignal(text: string): SignalName | undefined {
  const name = text.trim().toUpperCase().replace(/^SIG/, '');
  return signalNames.find((known) => known === (otherNames[name] ?? name) || String(numbers[known]) === name);
}
