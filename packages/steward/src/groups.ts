/**
 * The configuration group by group, on top of applying files: what supervisorctl's reread, add, remove, update and reload do.
 *
 *   reread   reads the files again and says what differs from what runs; nothing is changed
 *   add, remove   bring one group of the files as they were read last in force, or take one out
 *   restart  everything stops, the files are applied anew, and everything starts
 *
 * What was added or removed holds until the next apply, which is always of whole files.
 */
import type { GroupChanges, Groups } from './api/api.ts';
import type { Config, InstanceSpec } from './config/model.ts';
import type { Change } from './config/plan.ts';
import type { Loaded } from './config/read.ts';
import { bootService } from './config/resolve-boot-step.ts';
import { gatewayService } from './gateway-service.ts';
import type { InstanceView, Supervisor } from './supervisor/supervisor.ts';

export interface GroupsOptions {
  readonly supervisor: Supervisor;
  /** The files in force as they are on the disk now. Rejects with a StewardError when they have errors. */
  read(): Promise<Loaded>;
  /** The files as they were applied; undefined before the first apply. */
  applied(): Loaded | undefined;
  /** The same with the numbers of instances that were set by hand. */
  scaled(loaded: Loaded): Loaded;
  /** What the supervisor would do if these were the instances of the files. */
  plan(instances: readonly InstanceSpec[]): Change[];
  /** Has `restrict` be asked again, and the supervisor do what comes of it. */
  use(): void;
  apply(by: string): Promise<unknown>;
  /** Everything is down to be started over. */
  onDown(): void;
  isEnding(): boolean;
  inTurn<T>(work: () => Promise<T>): Promise<T>;
  onError(error: Error): void;
}

export interface OwnGroups extends Groups {
  /** A configuration with the groups that were added, without those that were removed. */
  restrict(config: Config): Config;
  /** The reading that a service is of, when that is another than the one that was applied. */
  readingOf(service: string): Loaded | undefined;
  /** Whole files were applied: nothing is added or removed any more. */
  reset(): void;
}

/** Steward's own parts, copies and commands that run once are in no group of the files. */
const isOfFiles = ({ service, temporary }: InstanceSpec): boolean =>
  temporary === undefined && service !== gatewayService && service !== bootService;

const isDown = ({ state: { phase } }: InstanceView): boolean => phase === 'STOPPED' || phase === 'EXITED' || phase === 'FATAL';

/** Names of groups in supervisord's order: those that start first first, then by name. */
function groupsIn(specs: readonly InstanceSpec[]): string[] {
  const priorities = new Map<string, number>();
  for (const { group, priority } of specs) priorities.set(group, Math.min(priority, priorities.get(group) ?? priority));
  return [...priorities].toSorted(([one, a], [other, b]) => a - b || (one < other ? -1 : 1)).map(([group]) => group);
}

/** Which groups differ, by what a plan would do to their instances. Pure. */
export function groupChanges(running: readonly InstanceSpec[], wanted: readonly InstanceSpec[], changes: readonly Change[]): GroupChanges {
  const groupOf = new Map([...running, ...wanted].map(({ id, group }) => [id, group]));
  const touched = new Set(changes.filter(({ kind }) => kind !== 'stay').map(({ id }) => groupOf.get(id)));
  const before = [...new Set(running.map(({ group }) => group))]; // in the order in which they came, as supervisord takes them out
  const after = groupsIn(wanted);
  return {
    added: after.filter((group) => !before.includes(group)),
    changed: after.filter((group) => before.includes(group) && touched.has(group)),
    removed: before.filter((group) => !after.includes(group)),
  };
}

export function createGroups(options: GroupsOptions): OwnGroups {
  const { supervisor, scaled, inTurn } = options;
  /** The files as they were read last, when nothing was applied since. */
  let reread: Loaded | undefined;
  /** Groups that are not as they were applied: the reading they are of, undefined for those that were removed. */
  const others = new Map<string, Loaded | undefined>();
  let restarting = false;

  const running = (): InstanceView[] => supervisor.views().filter(({ spec }) => isOfFiles(spec));
  const readLast = (): Loaded | undefined => reread ?? options.applied();
  const specsOf = (loaded: Loaded | undefined): readonly InstanceSpec[] => (loaded === undefined ? [] : scaled(loaded).config.instances);

  /** Everything down, then what the files say; when they cannot be applied any more, what was in force. */
  async function startOver(by: string): Promise<void> {
    const views = running();
    await supervisor.halt(views.map(({ spec }) => spec.id));
    options.onDown();
    try {
      await options.apply(by);
    } catch (error) {
      options.onError(error as Error);
      options.use();
    }
    // A person who has everything started over does not mean to leave out what was stopped by hand before.
    supervisor.start(running().flatMap(({ spec, stoppedByHand }) => (stoppedByHand && spec.autostart ? spec.id : [])));
  }

  return {
    mood: () => (options.isEnding() ? 'ending' : restarting ? 'restarting' : 'running'),
    known: () => specsOf(readLast()),
    reread: () =>
      inTurn(async () => {
        const loaded = await options.read();
        reread = loaded;
        const wanted = specsOf(loaded);
        return groupChanges(
          running().map(({ spec }) => spec),
          wanted,
          options.plan(wanted),
        );
      }),
    add: (group) =>
      inTurn(async () => {
        const from = readLast();
        if (!specsOf(from).some((spec) => spec.group === group)) return 'unknown';
        if (running().some(({ spec }) => spec.group === group)) return 'present';
        if (from === options.applied()) others.delete(group);
        else others.set(group, from);
        options.use();
        return 'added';
      }),
    remove: (group) =>
      inTurn(async () => {
        const members = running().filter(({ spec }) => spec.group === group);
        if (members.length === 0) return 'unknown';
        if (!members.every((view) => isDown(view) && view.waitsFor.length === 0)) return 'running';
        others.set(group, undefined);
        options.use();
        return 'removed';
      }),
    async restart(by) {
      await options.read();
      restarting = true;
      void inTurn(() => startOver(by))
        .catch(options.onError)
        .finally(() => {
          restarting = false;
        });
    },
    restrict(config) {
      if (others.size === 0) return config;
      const own = config.instances.filter(({ group }) => !others.has(group));
      const added = [...others].flatMap(([group, loaded]) => specsOf(loaded).filter((spec) => spec.group === group));
      return { ...config, instances: [...own, ...added] };
    },
    readingOf: (service) =>
      [...others].find(([group, loaded]) => specsOf(loaded).some((spec) => spec.service === service && spec.group === group))?.[1],
    reset() {
      reread = undefined;
      others.clear();
    },
  };
}
