/** How severe a log line is, by the forms that programs use. Pure. */

/** From the most severe on. */
export const levels = ['error', 'warn', 'info', 'debug'] as const;
export type Level = (typeof levels)[number];

const words: Readonly<Record<string, Level>> = {
  emergency: 'error',
  emerg: 'error',
  alert: 'error',
  panic: 'error',
  fatal: 'error',
  critical: 'error',
  crit: 'error',
  severe: 'error',
  error: 'error',
  err: 'error',
  warning: 'warn',
  warn: 'warn',
  notice: 'info',
  information: 'info',
  info: 'info',
  log: 'info',
  debug: 'debug',
  verbose: 'debug',
  trace: 'debug',
  fine: 'debug',
  silly: 'debug',
};

/** Numbers of pino and bunyan: 10 trace, 20 debug, 30 info, 40 warn, 50 error, 60 fatal. */
const byTens = (number: number): Level => (number >= 50 ? 'error' : number >= 40 ? 'warn' : number >= 30 ? 'info' : 'debug');
/** Severities of syslog (RFC 5424, 6.2.1): 0 emergency to 3 error, 4 warning, 5 notice, 6 informational, 7 debug. */
const bySyslog = (number: number): Level => (number <= 3 ? 'error' : number === 4 ? 'warn' : number <= 6 ? 'info' : 'debug');

function levelOfValue(value: unknown): Level | undefined {
  if (typeof value === 'string') return /^\d+$/.test(value) ? levelOfValue(Number(value)) : words[value.toLowerCase()];
  if (typeof value === 'number') return value <= 7 ? bySyslog(value) : byTens(value);
  if (typeof value === 'object' && value !== null && 'name' in value) return levelOfValue(value.name);
  return undefined;
}

const keys = ['level', 'severity', 'lvl', 'levelname', 'log.level', 'loglevel', 'Level', '@l', 'priority', 'PRIORITY'];

function levelOfFields(fields: Readonly<Record<string, unknown>>): Level | undefined {
  for (const key of keys) {
    const level = levelOfValue(fields[key]);
    if (level !== undefined) return level;
  }
  const { log } = fields;
  return typeof log === 'object' && log !== null && 'level' in log ? levelOfValue(log.level) : undefined;
}

/** The object that a line is, or undefined: a line that is JSON begins with a brace. */
export function fieldsOf(text: string): Readonly<Record<string, unknown>> | undefined {
  const line = text.trim();
  if (!line.startsWith('{') || !line.endsWith('}')) return undefined;
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

/** A level stands near the beginning of a line; further on a word such as "error" is most likely part of what it says. */
const headLength = 120;
const color = new RegExp(`${String.fromCharCode(27)}\\[[\\d;]*m`, 'g');
const named = '(emerg(?:ency)?|alert|panic|fatal|crit(?:ical)?|severe|err(?:or)?|warn(?:ing)?|notice|info(?:rmation)?|debug|verbose|trace)';
/** `<11>` of syslog and of systemd, with the version that RFC 5424 puts after it. */
const syslogPriority = /^<(\d{1,3})>/;
/** level=warn, lvl=warn, severity: "error" */
const pair = new RegExp(`(?:^|[\\s,{[(])"?(?:level|lvl|severity|loglevel)"?[=:]\\s*"?${named}\\b`, 'i');
/** [error], (warn), <info>; nginx writes [error] 12#0:, Apache [core:error]. */
const bracketed = new RegExp(`[[(<](?:\\w+:)?${named}[\\])>]`, 'i');
/** ERROR, WARN in capitals as a word of its own. */
const capitals = new RegExp(`(?:^|[^\\w])${named.toUpperCase()}(?![\\w])`);
/** error: at the beginning, also after a time, and klog's E1120 15:04:05. */
const leading = new RegExp(`^(?:[\\d\\-:.,TZ+/ ]+\\s)?${named}:`, 'i');
const klog = /^([IWEF])\d{4} \d\d:\d\d:\d\d/;
/** What the usual runtimes write when a program fails. */
const failure =
  /^(?:Traceback \(most recent call last\)|Exception in thread |Unhandled |Uncaught |(?:[A-Za-z_.]+\.)?[A-Z]\w*(?:Error|Exception)\b: )/;

const klogLevels: Readonly<Record<string, Level>> = { I: 'info', W: 'warn', E: 'error', F: 'error' };

/** The level of a line; undefined when it says none. Takes no longer for a long line. */
export function levelOf(text: string): Level | undefined {
  const head = text.slice(0, headLength).replaceAll(color, '');
  const priority = syslogPriority.exec(head);
  if (priority !== null) return bySyslog(Number(priority[1]) & 7);
  if (text.length < 64 * 1024) {
    const fields = fieldsOf(text);
    if (fields !== undefined) return levelOfFields(fields);
  }
  const letter = klog.exec(head)?.[1];
  if (letter !== undefined) return klogLevels[letter];
  for (const form of [pair, bracketed, leading, capitals]) {
    const word = form.exec(head)?.[1]?.toLowerCase();
    if (word !== undefined) return words[word];
  }
  return failure.test(head) ? 'error' : undefined;
}
