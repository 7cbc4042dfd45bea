/** The time as access logs and variables write it, worked out once a second, in the machine's zone. */

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const two = (value: number): string => (value < 10 ? `0${value}` : String(value));

let second = -1;
let local = '';
let iso = '';

function refresh(): void {
  const now = Date.now();
  const current = Math.floor(now / 1000);
  if (current === second) return;
  second = current;
  const date = new Date(now);
  const ahead = -date.getTimezoneOffset();
  const sign = ahead < 0 ? '-' : '+';
  const hours = two(Math.floor(Math.abs(ahead) / 60));
  const minutes = two(Math.abs(ahead) % 60);
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  const year = date.getFullYear();
  local = `${two(date.getDate())}/${months[date.getMonth()]}/${year}:${time} ${sign}${hours}${minutes}`;
  iso = `${year}-${two(date.getMonth() + 1)}-${two(date.getDate())}T${time}${sign}${hours}:${minutes}`;
}

/** Now, as `21/Nov/2026:12:00:00 +0000`. */
export function localTime(): string {
  refresh();
  return local;
}

/** Now, as `2026-11-21T12:00:00+00:00`. */
export function isoTime(): string {
  refresh();
  return iso;
}
