/**
 * Doing one thing to several processes and waiting for all, with supervisord's order of results: what is refused at once comes
 * first, the others as they are done.
 */
import { setTimeout as wait } from 'node:timers/promises';
import type { InstanceView } from '../../supervisor/supervisor.ts';
import { Fault, faults } from './faults.ts';
import type { Outcome } from './method.ts';

/** True when it is done, false to be asked again. @throws Fault when it has failed. */
export type Look = () => boolean;

/** As often as supervisord looks. */
const lookEveryMs = 50;

const outcome = ({ spec }: InstanceView, fault?: Fault): Outcome => ({
  name: spec.name,
  group: spec.group,
  status: fault?.code ?? faults.SUCCESS,
  description: fault?.message ?? 'OK',
});

/** Resolves when `look` gives true, or nobody waits any more. Rejects with its Fault. */
export async function waitUntil(look: Look, signal: AbortSignal): Promise<void> {
  while (!look() && !signal.aborted) await wait(lookEveryMs, undefined, { signal }).catch(() => {});
}

function faultOf(work: () => boolean): { done: boolean; fault?: Fault } {
  try {
    return { done: work() };
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { done: true, fault: error };
  }
}

/** `begin` starts it for one process: true when it is done at once. @throws what is no Fault. */
export async function each(
  views: readonly InstanceView[],
  begin: (view: InstanceView) => Look | true,
  signal: AbortSignal,
): Promise<Outcome[]> {
  const results: Outcome[] = [];
  let pending: { readonly view: InstanceView; readonly look: Look }[] = [];
  for (const view of views) {
    let look: Look | true = true;
    const { fault } = faultOf(() => {
      look = begin(view);
      return true;
    });
    if (fault !== undefined || look === true) results.push(outcome(view, fault));
    else pending.push({ view, look });
  }
  for (;;) {
    pending = pending.filter(({ view, look }) => {
      const { done, fault } = faultOf(look);
      if (done) results.push(outcome(view, fault));
      return !done;
    });
    if (pending.length === 0 || signal.aborted) return results;
    await wait(lookEveryMs, undefined, { signal }).catch(() => {});
  }
}
