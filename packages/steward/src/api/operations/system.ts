/** Configuration, facts and the daemon itself. */
import type { Fact } from '@steward/sdk/contract/facts';
import { may, whole } from '../../identity/identity.ts';
import { createBell } from '../bell.ts';
import type { Caller, Handlers, Rooms, StreamItem } from '../handlers.ts';

const defaultFacts = 50;
const factsAtOnce = 1000;
const standardPage = 100;

const toItem = (fact: Fact): StreamItem<Fact> => ({ id: String(fact.cursor), data: fact });

/** `instance.` stands for all types that begin so. */
const isOf = (wanted: string | undefined, { type }: Fact): boolean =>
  wanted === undefined || (wanted.endsWith('.') ? type.startsWith(wanted) : type === wanted);

export function systemHandlers({
  system,
  journal,
  supervisor,
}: Rooms): Pick<
  Handlers,
  | 'planConfig'
  | 'applyConfig'
  | 'listFacts'
  | 'pageFacts'
  | 'listSites'
  | 'getStatus'
  | 'getAuthority'
  | 'getTraffic'
  | 'shutDown'
  | 'upgradeDaemon'
> {
  /** Who may not see all sees the facts about the services it may. */
  const maySee = ({ subject }: Fact, caller: Caller): boolean => {
    if (may(caller.subject, 'read', whole)) return true;
    const spec = supervisor.view(subject)?.spec ?? supervisor.views().find((view) => view.spec.service === subject)?.spec;
    return spec !== undefined && caller.may('read', spec);
  };
  return {
    planConfig: ({ body }) => system.plan(body),
    applyConfig: ({ body }, { subject }) => system.apply(body, subject.name),
    async *listFacts({ query }, caller, signal) {
      const { after, count = defaultFacts, follow = false } = query;
      const bell = createBell();
      const forget = follow ? journal.follow(() => bell.ring()) : () => {};
      try {
        const first = after === undefined ? journal.last(count) : journal.since(after, factsAtOnce);
        let cursor = first.at(-1)?.cursor ?? after ?? journal.last(1)[0]?.cursor ?? 0;
        const seen = (facts: readonly Fact[]): StreamItem<Fact>[] => facts.filter((fact) => maySee(fact, caller)).map(toItem);
        yield* seen(first);
        const rest = function* (): Generator<StreamItem<Fact>> {
          for (let facts = journal.since(cursor, factsAtOnce); facts.length > 0; facts = journal.since(cursor, factsAtOnce)) {
            cursor = facts.at(-1)?.cursor ?? cursor;
            yield* seen(facts);
          }
        };
        if (after !== undefined) yield* rest();
        if (follow) for await (const _ of bell.until(signal)) yield* rest();
      } finally {
        forget();
      }
    },
    pageFacts({ query: { after = 0, limit = standardPage, type, subject } }, caller) {
      const looked = journal.since(after, limit + 1);
      const facts = looked.slice(0, limit);
      const next = looked.length > limit ? facts.at(-1)?.cursor : undefined;
      const wanted = facts.filter(
        (fact) => isOf(type, fact) && (subject === undefined || fact.subject === subject) && maySee(fact, caller),
      );
      return { facts: wanted, ...(next !== undefined && { next }) };
    },
    listSites: (_, { subject }) => ({
      sites: system.sites().filter(({ hosts }) => may(subject, 'read', { kind: 'site', hosts })),
    }),
    getStatus: () => system.status(),
    getAuthority: () => system.authority(),
    getTraffic: () => system.traffic(),
    shutDown: () => system.shutDown(),
    upgradeDaemon: ({ body }) => system.upgrade(body),
  };
}
