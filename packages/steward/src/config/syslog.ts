/** Where syslog messages go, and what they say of their sender. Pure. */
import { isIPv6 } from 'node:net';

/** In the order of their numbers (RFC 5424, 6.2.1). */
export const facilities = [
  'kern',
  'user',
  'mail',
  'daemon',
  'auth',
  'syslog',
  'lpr',
  'news',
  'uucp',
  'cron',
  'authpriv',
  'ftp',
  'ntp',
  'audit',
  'alert',
  'clock',
  'local0',
  'local1',
  'local2',
  'local3',
  'local4',
  'local5',
  'local6',
  'local7',
] as const;
export type Facility = (typeof facilities)[number];

export const syslogFormats = ['rfc5424', 'rfc3164'] as const;
export type SyslogFormat = (typeof syslogFormats)[number];

export interface SyslogSpec {
  /** As it is written: udp://host:514, tcp://host:601 or unix:/dev/log. */
  readonly to: string;
  readonly facility: Facility;
  readonly tag: string;
  readonly format: SyslogFormat;
}

export type SyslogTarget =
  | { readonly kind: 'udp' | 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

/** The usual ports: RFC 5426 for UDP, RFC 6587 for TCP. */
const usualPort = { udp: 514, tcp: 601 } as const;

/** Undefined when the text is none of the three forms. */
export function parseSyslogTarget(text: string): SyslogTarget | undefined {
  const path = /^unix:(?:\/\/)?(\/.+)$/.exec(text)?.[1];
  if (path !== undefined) return { kind: 'unix', path };
  const parts = /^(udp|tcp):\/\/(\[[0-9a-fA-F:.]+\]|[^\s:/@[\]]+)(?::(\d{1,5}))?\/?$/.exec(text);
  if (parts === null) return undefined;
  const [, kind, name = '', digits] = parts as unknown as [string, 'udp' | 'tcp', string, string | undefined];
  const host = name.replace(/^\[|\]$/g, '');
  const port = digits === undefined ? usualPort[kind] : Number(digits);
  const isAddress = !name.startsWith('[') || isIPv6(host);
  return isAddress && port >= 1 && port <= 65535 ? { kind, host, port } : undefined;
}
