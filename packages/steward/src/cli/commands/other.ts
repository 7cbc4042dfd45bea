/** ca, version: small things. */
import { Unreachable } from '@steward/sdk/client';
import { version as stewardVersion } from '../../version.ts';
import { type Command, jsonOption } from '../command.ts';

export const ca: Command = {
  name: 'ca',
  usage: '',
  details: '  Trust it where you want no warning: curl --cacert <(steward ca) ..., or import it into the browser.',
  options: {},
  takes: 'nothing',
  async run({ client, io, state }) {
    try {
      io.out((await client.getAuthority()).certificate.trimEnd());
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
      const { openAuthority } = await import('../../gateway/gateway.ts');
      io.out((await openAuthority(state.authority, Date.now())).certificate.trimEnd());
    }
    return 0;
  },
};

export const version: Command = {
  name: 'version',
  usage: '[--json]',
  options: jsonOption,
  takes: 'nothing',
  async run({ client, io, values }) {
    const daemon = await client.getStatus().catch(() => undefined);
    if (values.json) io.out(JSON.stringify({ steward: stewardVersion, node: process.version, daemon: daemon?.version ?? null }));
    else
      io.out(
        `steward ${stewardVersion} on node ${process.version}${daemon === undefined ? '; no daemon runs' : `; daemon ${daemon.version}, pid ${daemon.pid}`}`,
      );
    return 0;
  },
};
