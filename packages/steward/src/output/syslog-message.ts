/** Log lines as syslog messages. Pure. */
import { type Facility, facilities, type SyslogFormat } from '../config/syslog.ts';
import type { Level } from './level.ts';

export interface SyslogLine {
  readonly text: string;
  /** Epoch ms; 0 when unknown. */
  readonly timeMs: number;
  readonly pid: number;
  readonly level: Level | undefined;
}

export interface Heading {
  readonly facility: Facility;
  readonly tag: string;
  readonly format: SyslogFormat;
  readonly host: string;
}

/** RFC 5424, 6.2.1. A line that says no level counts as informational. */
const severities: Readonly<Record<Level, number>> = { error: 3, warn: 4, info: 6, debug: 7 };
const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
/** What every receiver of RFC 5424 should take (6.1), with room for the heading; RFC 3164 allows 1024. */
const mostBytes: Readonly<Record<SyslogFormat, number>> = { rfc5424: 8000, rfc3164: 1024 };

/** Printable ASCII without blanks, `-` when nothing is left (RFC 5424, 6: NILVALUE). */
const word = (text: string, most: number): string => text.replaceAll(/[^!-~]/g, '_').slice(0, most) || '-';
const two = (number: number): string => String(number).padStart(2, '0');

/** `Nov  1 08:05:00`, local time (RFC 3164, 4.1.2). */
function shortTime(timeMs: number): string {
  const date = new Date(timeMs);
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':');
  return `${months[date.getMonth()]} ${String(date.getDate()).padStart(2, ' ')} ${clock}`;
}

/** Cut at a number of bytes, never within a character. */
function cutBytes(text: string, most: number): Buffer {
  const bytes = Buffer.from(text);
  if (bytes.length <= most) return bytes;
  let end = most;
  while (end > 0 && ((bytes[end] as number) & 0xc0) === 0x80) end -= 1;
  return bytes.subarray(0, end);
}

/** One message, without the frame that a stream puts around it. What a receiver would not take is cut off. */
export function syslogMessage({ text, timeMs, pid, level }: SyslogLine, { facility, tag, format, host }: Heading): Buffer {
  const priority = `<${facilities.indexOf(facility) * 8 + severities[level ?? 'info']}>`;
  const plain = text.replaceAll('\0', ' ');
  if (format === 'rfc5424') {
    const time = timeMs === 0 ? '-' : new Date(timeMs).toISOString();
    return cutBytes(`${priority}1 ${time} ${word(host, 255)} ${word(tag, 48)} ${pid || '-'} - - ${plain}`, mostBytes[format]);
  }
  const name = tag.replaceAll(/[^!-9;-Z\\^-~]/g, '_').slice(0, 32);
  return cutBytes(`${priority}${shortTime(timeMs)} ${word(host, 255)} ${name}${pid ? `[${pid}]` : ''}: ${plain}`, mostBytes[format]);
}

/** How a message goes over a stream: with its length before it, or with a newline after it (RFC 6587). */
export const framed = (message: Buffer, format: SyslogFormat): Buffer =>
  format === 'rfc5424' ? Buffer.concat([Buffer.from(`${message.length} `), message]) : Buffer.concat([message, Buffer.from('\n')]);
