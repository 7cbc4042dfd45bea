/** Text for people: tables, times, sizes, colors. Pure. */

import { widthOf } from '../config/terminal.ts';

const colors = { red: 31, green: 32, yellow: 33, blue: 34, magenta: 35, cyan: 36, dim: 2, bold: 1 } as const;
export type Color = keyof typeof colors;

/** Wraps text in a color when `on`. */
export const paint = (text: string, color: Color, on: boolean): string => (on ? `\x1b[${colors[color]}m${text}\x1b[0m` : text);

/** Cuts a text to a width, with an ellipsis. */
export function cut(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  let kept = '';
  for (const char of text) {
    if (widthOf(kept + char) > width - 1) break;
    kept += char;
  }
  return `${kept}…`;
}

export interface Column<T> {
  readonly title: string;
  readonly value: (row: T) => string;
  readonly align?: 'left' | 'right';
  readonly color?: (row: T) => Color | undefined;
}

/** Rows under titles. The last column is cut to what is left of `columns` (0: never cut). */
export function table<T>(rows: readonly T[], columns: readonly Column<T>[], terminalColumns: number, colored: boolean): string {
  const cells = rows.map((row) => columns.map(({ value }) => value(row)));
  const widths = columns.map(({ title }, index) => Math.max(widthOf(title), ...cells.map((cell) => widthOf(cell[index] ?? ''))));
  const fixed = widths.slice(0, -1).reduce((sum, width) => sum + width + 2, 0);
  const last = terminalColumns > 0 ? Math.max(10, terminalColumns - fixed) : Number.POSITIVE_INFINITY;
  const line = (texts: readonly string[], row: T | undefined): string =>
    texts
      .map((text, index) => {
        const column = columns[index] as Column<T>;
        const isLast = index === columns.length - 1;
        const shown = isLast ? cut(text, last) : text;
        const gap = ' '.repeat(Math.max(0, (isLast ? 0 : (widths[index] ?? 0)) - widthOf(shown)));
        const color = row === undefined ? 'dim' : column.color?.(row);
        const painted = color === undefined ? shown : paint(shown, color, colored);
        return column.align === 'right' ? gap + painted : painted + gap;
      })
      .join('  ')
      .trimEnd();
  return [
    line(
      columns.map(({ title }) => title),
      undefined,
    ),
    ...cells.map((cell, index) => line(cell, rows[index])),
  ].join('\n');
}

/** `3s`, `12m`, `5h 12m`, `3d 4h`. */
export function uptime(seconds: number): string {
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${seconds % 60}s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h ${Math.floor((seconds % 3600) / 60)}m`;
  return `${Math.floor(seconds / 86_400)}d ${Math.floor((seconds % 86_400) / 3600)}h`;
}

/** `12 MB`, `1.5 GB`. */
export function megabytes(bytes: number): string {
  const mb = Math.round((bytes / 1024 / 1024) * 10) / 10;
  return mb >= 1023.5 ? `${(bytes / 1024 ** 3).toFixed(1)} GB` : `${mb.toFixed(mb < 10 ? 1 : 0)} MB`;
}

/** The local time of an ISO instant: `14:03:22.120`, with the date when it is not the day of `now`. */
export function clock(iso: string, now: Date): string {
  const time = new Date(iso);
  const two = (n: number): string => String(n).padStart(2, '0');
  const day = (date: Date): string => `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const text = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${String(time.getMilliseconds()).padStart(3, '0')}`;
  return day(time) === day(now) ? text : `${day(time)} ${text}`;
}

/** `1 instance`, `3 instances`. */
export const count = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`;
