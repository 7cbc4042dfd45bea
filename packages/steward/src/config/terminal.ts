/** What a text does on a terminal: the columns it takes, and what of it must not get there. Pure. */

/** What a terminal would act on instead of showing: control characters, and a lone escape. Tabs stay. */
export const harmless = (text: string): string => text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, (char) => (char === '\x1b' ? '␛' : '·'));

const colorCode = /\x1b\[[0-9;]*m/g;

/** The same with color codes left in, and ended: they change how text looks and nothing else. */
export function harmlessInColor(text: string): string {
  if (!text.includes('\x1b')) return harmless(text);
  const codes = text.match(colorCode) ?? [];
  const parts = text.split(colorCode).map(harmless);
  return `${parts.map((part, index) => part + (codes[index] ?? '')).join('')}${codes.length > 0 ? '\x1b[0m' : ''}`;
}

/** Columns a text takes on a terminal: wide East Asian characters take two, color codes none. */
export function widthOf(text: string): number {
  let width = 0;
  for (const char of text.replace(/\x1b\[\d+m/g, '')) {
    const code = char.codePointAt(0) ?? 0;
    const wide =
      (code >= 0x1100 && code <= 0x115f) ||
      (code >= 0x2e80 && code <= 0xa4cf) ||
      (code >= 0xac00 && code <= 0xd7a3) ||
      (code >= 0xf900 && code <= 0xfaff) ||
      (code >= 0xfe30 && code <= 0xfe6f) ||
      (code >= 0xff00 && code <= 0xff60) ||
      (code >= 0x1f300 && code <= 0x1faff);
    width += wide ? 2 : 1;
  }
  return width;
}
