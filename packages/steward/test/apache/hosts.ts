/** Files of Apache, written short. */

/** Servers on the two ports of a case. */
export const hosts = (text: string): string => `Listen 127.0.0.1:{{port}}\nListen 127.0.0.1:{{port2}}\n${text}\n`;

/** One server for all names. */
export const host = (text: string): string =>
  hosts(`<VirtualHost 127.0.0.1:{{port}} 127.0.0.1:{{port2}}>\nServerName localhost\n${text}\n</VirtualHost>`);
