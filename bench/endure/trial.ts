/** What a trial is: something to endure, that passes or is broken. */

/** `scale` multiplies a trial's counts and times (1 is the whole of it); connections stay as many. */
export type Conditions = { signal: AbortSignal; print: (text: string) => void; scale: number };

export type Trial = {
  name: string;
  /** One line: what is to be endured. */
  about: string;
  /** Prints figures; gives what was broken, nothing when all was endured. @throws when something does not run; all it started is stopped by then. */
  run: (conditions: Conditions) => Promise<readonly string[]>;
};

/** A scaled count, at least one. */
export const scaled = (count: number, { scale }: Conditions): number => Math.max(1, Math.round(count * scale));
