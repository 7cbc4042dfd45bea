/** Configuration, facts and the daemon itself. */
import type { Fact } from '@steward/sdk/contract/facts';
import { createBell } from '../bell.ts';
import type { Handlers, Rooms, StreamItem } from '../handlers.ts';

const defaultFacts = 50;
const factsAtOnce = 1000;

const toItem = (fact: Fact): StreamItem<Fact> => ({ id: String(fact.cursor), data: fact });

export function systemHandlers({
  system,
  journal,
}: Rooms): Pick<
  Handlers,
  'planConfig' | 'applyConfig' | 'listFacts' | 'getStatus' | 'getAuthority' | 'getTraffic' | 'shutDown' | 'upgradeDaemon'
> {
  return {
    planConfig: ({ body }) => system.plan(body),
    applyConfig: ({ body }) => system.apply(body),
    async *listFacts({ query }, _caller, signal) {
      const { after, count = defaultFacts, follow = false } = query;
      const bell = createBell();
      const forget = follow ? journal.follow(() => bell.ring()) : () => {};
      try {
        const first = after === undefined ? journal.last(count) : journal.since(after, factsAtOnce);
        let cursor = first.at(-1)?.cursor ?? after ?? journal.last(1)[0]?.cursor ?? 0;
        for (const fact of first) yield toItem(fact);
        const rest = function* (): Generator<StreamItem<Fact>> {
          for (let facts = journal.since(cursor, factsAtOnce); facts.length > 0; facts = journal.since(cursor, factsAtOnce)) {
            cursor = facts.at(-1)?.cursor ?? cursor;
            yield* facts.map(toItem);
          }
        };
        if (after !== undefined) yield* rest();
        if (follow) for await (const _ of bell.until(signal)) yield* rest();
      } finally {
        forget();
      }
    },
    getStatus: () => system.status(),
    getAuthority: () => system.authority(),
    getTraffic: () => system.traffic(),
    shutDown: () => system.shutDown(),
    upgradeDaemon: ({ body }) => system.upgrade(body),
  };
}
