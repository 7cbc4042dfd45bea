/**
 * Numbers of instances that somebody set by hand. One holds as long as the file says what it said then: who changes the number
 * in the file means that one. Pure.
 */
import { didYouMean } from './config/near.ts';
import { StewardError } from './errors.ts';

/** By service: how many, and what the file said when it was set. */
export type Scaling = Readonly<Record<string, { readonly to: number; readonly written: number }>>;

const mostInstances = 10_000;

/** Those that still hold for files that ask for `written`, and are another number than theirs. */
export const inForce = (scaling: Scaling, written: ReadonlyMap<string, number>): Scaling =>
  Object.fromEntries(Object.entries(scaling).filter(([service, set]) => written.get(service) === set.written && set.to !== set.written));

export const countsOf = (scaling: Scaling): Map<string, number> =>
  new Map(Object.entries(scaling).map(([service, { to }]) => [service, to]));

/**
 * The number that `text` means for `service`: itself, or with a sign the difference to what it has now; and the scaling with it.
 * @throws StewardError for a service that is in no file, and for a number below 0 or over 10,000.
 */
export function scaledTo(
  scaling: Scaling,
  written: ReadonlyMap<string, number>,
  service: string,
  text: string,
): { readonly from: number; readonly to: number; readonly written: number; readonly scaling: Scaling } {
  const inFile = written.get(service);
  if (inFile === undefined) {
    const services = [...written.keys()];
    throw new StewardError('api/unknown-name', `there is no service "${service}"`, {
      status: 404,
      hint: `There is: ${services.slice(0, 20).join(', ') || 'nothing'}.${didYouMean(service, services)}`,
    });
  }
  const from = scaling[service]?.to ?? inFile;
  const to = /^[+-]/.test(text) ? from + Number(text) : Number(text);
  if (!Number.isInteger(to) || to < 0 || to > mostInstances)
    throw new StewardError('api/bad-scale', `"${text}" would make ${to} instances of ${service}`, {
      status: 400,
      hint: `It has ${from}; 0 to ${mostInstances} are possible.`,
    });
  return { from, to, written: inFile, scaling: inForce({ ...scaling, [service]: { to, written: inFile } }, written) };
}
