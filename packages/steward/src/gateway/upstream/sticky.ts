/** Cookies that bring a client back to its server. Pure. */

import { hash } from 'node:crypto';
import { addressName } from '../../config/address.ts';
import type { Address, StickySpec } from '../../config/model.ts';

/**
 * What the cookie says for a server: 16 characters, the same in every worker and after every restart. No secret: who knows the
 * address can work it out, and who sends it gets no more than the server that chance could have given.
 */
export const stickyValue = (address: Address): string => hash('sha256', addressName(address), 'base64url').slice(0, 16);

const space = 0x20;
const tab = 0x09;
const semicolon = 0x3b;

/**
 * Value of the first cookie `name` in a Cookie header (RFC 6265, 4.2), or undefined. Quotes around it are left out, nothing is
 * decoded. Allocates nothing but the value.
 */
export function readCookie(header: string | undefined, name: string): string | undefined {
  if (header === undefined) return undefined;
  for (let at = header.indexOf(name); at >= 0; at = header.indexOf(name, at + 1)) {
    const equals = at + name.length;
    if (header.charCodeAt(equals) === 0x3d && beginsPair(header, at)) return valueAt(header, equals + 1);
  }
  return undefined;
}

function beginsPair(header: string, at: number): boolean {
  let before = at - 1;
  while (before >= 0 && (header.charCodeAt(before) === space || header.charCodeAt(before) === tab)) before--;
  return before < 0 || header.charCodeAt(before) === semicolon;
}

function valueAt(header: string, from: number): string {
  const end = header.indexOf(';', from);
  const value = header.slice(from, end < 0 ? undefined : end).trim();
  return value.length >= 2 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value;
}

const sameSiteWords = { lax: 'Lax', strict: 'Strict', none: 'None' } as const;

/** The Set-Cookie header that gives a client its server. Scripts cannot read it. */
export function stickyCookie(spec: StickySpec, value: string): string {
  const { cookie, path, maxAgeSeconds, secure, sameSite } = spec;
  const age = maxAgeSeconds === undefined ? '' : `; Max-Age=${maxAgeSeconds}`;
  const site = sameSite === undefined ? '' : `; SameSite=${sameSiteWords[sameSite]}`;
  return `${cookie}=${value}; Path=${path}${age}${secure ? '; Secure' : ''}; HttpOnly${site}`;
}
