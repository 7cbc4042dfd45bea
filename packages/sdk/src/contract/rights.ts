/** Who may do what: rights, and the roles that give them. One list for the server, the console and the reference. */

/** What can be allowed. */
export const rights = {
  read: 'see services, sites, facts, the boot list and the state of Steward',
  logs: 'read what services wrote',
  operate: 'start, stop, restart, reload, scale and signal services, and run the boot list',
  run: "run commands in a service's environment, which also shows its secrets",
  configure: 'see, plan, apply and roll back the configuration: who may do that may run anything as anybody',
  secrets: 'see the names of secrets, set and remove them',
  people: 'add people, give roles, end sessions, take back tokens',
  audit: 'read, verify and export the audit trail',
  daemon: 'end Steward, or have it become another version',
  self: "one's own password, second factor, sessions and tokens",
} as const;
export type Right = keyof typeof rights;

/** Roles and what they may. Nobody may alter the audit trail: there is no such right. */
export const roles = {
  super: ['read', 'logs', 'operate', 'run', 'configure', 'secrets', 'people', 'audit', 'daemon', 'self'],
  audit: ['audit', 'self'],
  operator: ['read', 'logs', 'operate', 'self'],
  viewer: ['read', 'logs', 'self'],
} as const satisfies Readonly<Record<string, readonly Right[]>>;
export type Role = keyof typeof roles;
export const roleNames = Object.keys(roles) as readonly Role[];
