/** Who a request comes from: Basic authentication (RFC 7617) as supervisord has it, with passwords in plain or as {SHA}. Pure. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { isLoopback } from '../../config/address.ts';
import type { Credentials } from '../../config/model.ts';

/** Equal, in a time that tells nothing of where they differ, nor of their lengths. */
function isSame(a: string, b: string): boolean {
  const [left, right] = [a, b].map((text) => createHash('sha256').update(text).digest());
  return timingSafeEqual(left as Buffer, right as Buffer);
}

const shaMark = '{SHA}';

/** `kept` is the password, or `{SHA}` with its SHA-1 in hexadecimal digits. */
function fits(given: string, kept: string): boolean {
  if (!kept.startsWith(shaMark)) return isSame(given, kept);
  return isSame(createHash('sha1').update(given).digest('hex'), kept.slice(shaMark.length).toLowerCase());
}

/** Whether the value of an Authorization header is that of `credentials`. */
export function isAuthorized(header: string | undefined, { username, password }: Credentials): boolean {
  const [, encoded] = /^basic\s+([A-Za-z0-9+/=]+)\s*$/i.exec(header ?? '') ?? [];
  if (encoded === undefined) return false;
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon === -1) return false;
  const isUser = isSame(text.slice(0, colon), username);
  return fits(text.slice(colon + 1), password) && isUser;
}

/**
 * Whether a page in a browser may have made the request: it would act with nothing but being on this machine. supervisorctl says
 * neither where it comes from nor a host that is elsewhere; over a socket its name of the host is empty.
 */
export function isFromBrowser(headers: { readonly origin?: string | undefined; readonly host?: string | undefined }): boolean {
  const host = (headers.host ?? '').replace(/:\d*$/, '');
  return headers.origin !== undefined || (host !== '' && !isLoopback(host));
}
