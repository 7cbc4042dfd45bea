/** What a method refuses with: the codes of supervisord 4.2.5 (supervisor.xmlrpc.Faults) and the texts it makes of them. Pure. */

export const faults = {
  UNKNOWN_METHOD: 1,
  INCORRECT_PARAMETERS: 2,
  BAD_ARGUMENTS: 3,
  SIGNATURE_UNSUPPORTED: 4,
  SHUTDOWN_STATE: 6,
  BAD_NAME: 10,
  BAD_SIGNAL: 11,
  NO_FILE: 20,
  NOT_EXECUTABLE: 21,
  FAILED: 30,
  ABNORMAL_TERMINATION: 40,
  SPAWN_ERROR: 50,
  ALREADY_STARTED: 60,
  NOT_RUNNING: 70,
  SUCCESS: 80,
  ALREADY_ADDED: 90,
  STILL_RUNNING: 91,
  CANT_REREAD: 92,
} as const;

export type FaultName = keyof typeof faults;

/** A refusal that the caller is told. */
export class Fault extends Error {
  readonly fault: FaultName;

  /** `about` is what the caller gave, mostly a name; it stands behind the name of the fault. */
  constructor(fault: FaultName, about?: string) {
    super(about === undefined ? fault : `${fault}: ${about}`);
    this.fault = fault;
  }

  get code(): number {
    return faults[this.fault];
  }
}
