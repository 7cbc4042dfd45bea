/** Rows as a plain text table. */

/** The first column to the left, the others, being figures, to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  const text = (line: readonly string[]): string =>
    line.map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join('  ');
  return [text(head), widths.map((width) => '-'.repeat(width)).join('  '), ...rows.map(text)].join('\n');
}

/** A share such as 0.42x; a dash when there is nothing to compare with. */
export const ratio = (figure: number, yardstick: number | undefined): string => (yardstick ? `${(figure / yardstick).toFixed(2)}x` : '-');
