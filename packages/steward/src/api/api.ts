/**
 * The API: the contract's operations over HTTP, on the control socket and, when the files say so, on addresses. Here operations
 * meet their handlers; what they may ask of the rooms comes in as values from steward.ts.
 *
 *   control socket ─ local-face ──┐
 *   addresses ─ public-face ──────┴▶ server: who asks → may they → the audit trail → handler
 */
import { chmodSync, rmSync } from 'node:fs';
import type { FastifyInstance } from 'fastify';
import type { ApiSpec } from '../config/model.ts';
import type { Handlers, Rooms } from './handlers.ts';
import { localFace } from './local-face.ts';
import { auditHandlers } from './operations/audit.ts';
import { bootHandlers } from './operations/boot.ts';
import { configHandlers } from './operations/config.ts';
import { hostHandlers } from './operations/hosts.ts';
import { instanceHandlers } from './operations/instances.ts';
import { logHandlers } from './operations/logs.ts';
import { peopleHandlers } from './operations/people.ts';
import { secretHandlers } from './operations/secrets.ts';
import { serviceHandlers } from './operations/services.ts';
import { systemHandlers } from './operations/system.ts';
import { createListeners, type Doorkeeper, limitRequests, type Pair, publicFace } from './public-face.ts';
import type { Repeats } from './repeats.ts';
import { createServer, type ServerOptions } from './server.ts';
import { createTrail, type Ledger } from './trail.ts';

export { createBell } from './bell.ts';
export type { Configuration, FilesRequest, GroupChanges, Groups, System } from './handlers.ts';
export { createRepeats } from './repeats.ts';
export { createXmlRpc } from './xmlrpc/xmlrpc.ts';

export interface Api {
  /** Listens on a unix socket that only its owner may use. @throws when the path cannot be used. */
  listen(socketPath: string): Promise<void>;
  /** Listens where the files say, with this certificate; nowhere for undefined. An address that is taken is told and tried again. */
  serve(spec: ApiSpec | undefined, pair: Pair | undefined): Promise<void>;
  close(): Promise<void>;
}

export interface ApiOptions {
  readonly rooms: Rooms;
  readonly keeper: Doorkeeper;
  readonly ledger: Ledger;
  readonly repeats: Repeats;
  /** Hears of bugs: what a caller must not see. */
  readonly onError: (error: unknown) => void;
  /** Hears of what keeps it from being reached. */
  readonly onTrouble: (message: string) => void;
}

function handlersFor(rooms: Rooms): Handlers {
  return {
    ...instanceHandlers(rooms),
    ...serviceHandlers(rooms),
    ...logHandlers(rooms),
    ...systemHandlers(rooms),
    ...bootHandlers(rooms),
    ...configHandlers(rooms),
    ...hostHandlers(),
    ...secretHandlers(rooms),
    ...peopleHandlers(rooms),
    ...auditHandlers(rooms),
  };
}

export function createApi({ rooms, keeper, ledger, repeats, onError, onTrouble }: ApiOptions): Api {
  const shared: Omit<ServerOptions, 'face'> = { handlers: handlersFor(rooms), rooms, repeats, trail: createTrail(ledger), onError };
  const local = createServer({ ...shared, face: localFace });
  let perMinute = 0;
  let open: { readonly app: FastifyInstance; readonly listeners: ReturnType<typeof createListeners> } | undefined;

  /** Most installations never need it. */
  async function openPublic(): Promise<NonNullable<typeof open>> {
    const app = createServer({ ...shared, face: publicFace(keeper), prepare: (made) => limitRequests(made, () => perMinute) });
    await app.ready();
    return { app, listeners: createListeners(app, onTrouble) };
  }

  return {
    async listen(socketPath) {
      rmSync(socketPath, { force: true });
      const before = process.umask(0o177);
      try {
        await local.listen({ path: socketPath });
      } finally {
        process.umask(before);
      }
      chmodSync(socketPath, 0o600);
    },
    async serve(spec, pair) {
      if (spec === undefined && open === undefined) return;
      perMinute = spec?.requestsPerMinute ?? perMinute;
      open ??= await openPublic();
      open.listeners.apply(spec, pair);
    },
    async close() {
      await open?.listeners.close();
      await open?.app.close();
      await local.close();
    },
  };
}
