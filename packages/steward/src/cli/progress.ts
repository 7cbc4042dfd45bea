/** Waiting, visibly: anything over a second says what it waits for. */

import { setTimeout as wait } from 'node:timers/promises';
import type { InstanceInfo } from '@steward/sdk/contract/instances';
import type { Call, Io } from './command.ts';

const sayAfterMs = 1000;
const sayEveryMs = 5000;

/** Says `what` once `work` has taken a second, and again every 5 s off a terminal; on a terminal one line counts up. */
export async function progressWhile<T>(io: Io, what: string | (() => string), work: Promise<T>): Promise<T> {
  const began = performance.now();
  let said = Number.NEGATIVE_INFINITY;
  let onLine = false;
  const timer = setInterval(() => {
    const seconds = Math.round((performance.now() - began) / 1000);
    const text = `${typeof what === 'string' ? what : what()} (${seconds} s)`;
    if (io.isTerminal) {
      process.stderr.write(`\r\x1b[2K${text}`);
      onLine = true;
    } else if (performance.now() - said >= sayEveryMs) {
      said = performance.now();
      io.err(text);
    }
  }, sayAfterMs);
  try {
    return await work;
  } finally {
    clearInterval(timer);
    if (onLine) process.stderr.write('\r\x1b[2K');
  }
}

/** Whether an instance is as well as it can be: it runs, or has ended well, or is not meant to run. */
export const whetherUp = ({ state, waitsFor, exit }: InstanceInfo): boolean =>
  state === 'RUNNING' || (state === 'STOPPED' && waitsFor.length === 0) || (state === 'EXITED' && exit?.code === 0);

/** Whether nothing more happens by itself soon. One that waits for another has come to rest when that one has failed. */
const atRest = ({ state, waitsFor, stuck }: InstanceInfo): boolean =>
  stuck === true || (waitsFor.length === 0 && state !== 'STARTING' && state !== 'STOPPING');

const waitsForBoot = ({ waitsFor }: InstanceInfo): boolean => waitsFor.some((what) => what.startsWith('boot step '));

const longestSettleMs = 120_000;

/** Waits until the instances have come to rest, at most two minutes. Their last state. */
export async function settle({ client, io }: Call, ids: readonly string[]): Promise<InstanceInfo[]> {
  if (ids.length === 0) return [];
  let pending: InstanceInfo[] = [];
  const watch = async (): Promise<InstanceInfo[]> => {
    const end = performance.now() + longestSettleMs;
    for (let pauseMs = 20; ; pauseMs = Math.min(pauseMs * 1.5, 500)) {
      const { instances } = await client.listInstances({ query: { brief: true } });
      const mine = instances.filter(({ id }) => ids.includes(id));
      const stuck = mine.some(({ state }) => state === 'FATAL' || state === 'BACKOFF');
      pending = mine.filter((instance) => !atRest(instance) && !(stuck && instance.waitsFor.length > 0));
      if (pending.length > 0 && pending.every(waitsForBoot) && (await client.getBoot({ query: {} })).state === 'failed') pending = [];
      if (pending.length === 0 || performance.now() > end)
        return (await client.listInstances({ query: {} })).instances.filter(({ id }) => ids.includes(id));
      await wait(pauseMs);
    }
  };
  return progressWhile(
    io,
    () =>
      `waiting for ${pending
        .slice(0, 5)
        .map(({ id, state, reason }) => `${id} (${reason || state.toLowerCase()})`)
        .join(', ')}${pending.length > 5 ? ` and ${pending.length - 5} more` : ''}`,
    watch(),
  );
}
