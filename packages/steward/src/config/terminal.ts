/** What a text does on a terminal: the columns it takes, and what of it must not get there. Pure. */

/** What a terminal would act on instead of showing: control characters, and a lone escape. Tabs stay. */
export const harmless = (text: string): string => text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, (char) => (char === '\x1b' ? '␛' : '·'));

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
