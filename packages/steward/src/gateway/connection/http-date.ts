/** Dates as HTTP writes them (RFC 9110, 5.6.7). */

let second = -1;
let text = '';

/** The date of now, made once a second. */
export function httpDate(): string {
  const now = Math.floor(Date.now() / 1000);
  if (now !== second) {
    second = now;
    text = new Date(now * 1000).toUTCString();
  }
  return text;
}
