/** What happens to Steward in a run of chaos, and in which order: that is a matter of the seed alone. */
import { type Random, random } from './random.ts';

export type Command = 'start' | 'stop' | 'restart';

export type ChaosEvent =
  /** SIGKILL, and `steward up -d` after so long. */
  | { readonly kind: 'daemon killed'; readonly awayMs: number }
  /** The same, and the next daemon gets SIGKILL too, so long after it was told to start. */
  | { readonly kind: 'daemon killed while it starts'; readonly afterMs: number }
  | { readonly kind: 'keeper killed' }
  | { readonly kind: 'daemon and keeper killed'; readonly awayMs: number }
  | { readonly kind: 'gateway worker killed'; readonly turn: number }
  | { readonly kind: 'service killed'; readonly turn: number }
  /** A service dies while nobody is there to see it. */
  | { readonly kind: 'service and daemon killed'; readonly turn: number; readonly awayMs: number }
  /** SIGSTOP, and SIGCONT after so long. */
  | { readonly kind: 'daemon halted'; readonly forMs: number }
  | { readonly kind: 'keeper halted'; readonly forMs: number }
  | { readonly kind: 'service halted'; readonly turn: number; readonly forMs: number }
  | { readonly kind: 'disk full'; readonly forMs: number }
  /** On a full disk a service dies, and starts again. */
  | { readonly kind: 'disk full and service killed'; readonly turn: number; readonly forMs: number }
  /** The daemon may open nothing more, and a service dies meanwhile. */
  | { readonly kind: 'no descriptors'; readonly turn: number; readonly forMs: number }
  /** All at once on one service, and the last one when they are answered. */
  | { readonly kind: 'burst'; readonly commands: readonly Command[]; readonly last: Command }
  | { readonly kind: 'apply'; readonly instances: number };

export type Kind = ChaosEvent['kind'];

const words = ['start', 'stop', 'restart'] as const;
const burstSize = 50;

const make: { readonly [K in Kind]: (chance: Random) => Extract<ChaosEvent, { kind: K }> } = {
  'daemon killed': (chance) => ({ kind: 'daemon killed', awayMs: chance.between(0, 1_500) }),
  'daemon killed while it starts': (chance) => ({ kind: 'daemon killed while it starts', afterMs: chance.between(50, 900) }),
  'keeper killed': () => ({ kind: 'keeper killed' }),
  'daemon and keeper killed': (chance) => ({ kind: 'daemon and keeper killed', awayMs: chance.between(0, 1_500) }),
  'gateway worker killed': (chance) => ({ kind: 'gateway worker killed', turn: chance.below(100) }),
  'service killed': (chance) => ({ kind: 'service killed', turn: chance.below(100) }),
  'service and daemon killed': (chance) => ({
    kind: 'service and daemon killed',
    turn: chance.below(100),
    awayMs: chance.between(0, 1_000),
  }),
  'daemon halted': (chance) => ({ kind: 'daemon halted', forMs: chance.between(100, 3_000) }),
  'keeper halted': (chance) => ({ kind: 'keeper halted', forMs: chance.between(100, 3_000) }),
  'service halted': (chance) => ({ kind: 'service halted', turn: chance.below(100), forMs: chance.between(100, 2_000) }),
  'disk full': (chance) => ({ kind: 'disk full', forMs: chance.between(300, 3_000) }),
  'disk full and service killed': (chance) => ({
    kind: 'disk full and service killed',
    turn: chance.below(100),
    forMs: chance.between(300, 2_000),
  }),
  'no descriptors': (chance) => ({ kind: 'no descriptors', turn: chance.below(100), forMs: chance.between(300, 2_000) }),
  burst: (chance) => ({
    kind: 'burst',
    commands: Array.from({ length: burstSize }, () => chance.of(words)),
    last: chance.of(words),
  }),
  apply: (chance) => ({ kind: 'apply', instances: chance.between(0, 5) }),
};

export const kinds = Object.keys(make) as [Kind, ...Kind[]];

/** The events of a seed, without end: each kind once in each round, so that a short run meets all of them, in an order by chance. */
export function* eventsOf(seed: number): Generator<ChaosEvent, never> {
  const chance = random(seed);
  for (;;) {
    const left = [...kinds];
    while (left.length > 0) {
      const [kind] = left.splice(chance.below(left.length), 1);
      yield make[kind as Kind](chance);
    }
  }
}
