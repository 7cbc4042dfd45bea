/** The boot list: how far it is, and running it. */
import type { Handlers, Rooms } from '../handlers.ts';

export const bootHandlers = ({ system }: Pick<Rooms, 'system'>): Pick<Handlers, 'getBoot' | 'runBoot'> => ({
  getBoot: ({ query }) => system.boot(query.host),
  runBoot: ({ body }) => system.runBoot(body),
});
