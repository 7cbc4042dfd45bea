/** The control socket: whoever may open it owns this installation. The audit trail still wants to know who it was. */

import type { Socket } from 'node:net';
import { peerOf } from '../kernel/peer.ts';
import { environmentOf } from '../kernel/process-table.ts';
import type { Caller } from './handlers.ts';
import type { Face } from './server.ts';

/** Who it was, by connection. */
const names = new WeakMap<Socket, string>();

/** `root`, `uid 1000`, `root (alice by sudo)`. The variable is the caller's own word, as far as it goes. */
function nameOf(socket: Socket): string {
  const peer = peerOf(socket);
  if (peer === undefined) return 'local';
  const user = peer.uid === 0 ? 'root' : `uid ${peer.uid}`;
  const before = environmentOf(peer.pid, 'SUDO_USER');
  return before && /^[\w.-]{1,64}$/.test(before) ? `${user} (${before} by sudo)` : user;
}

export const localFace: Face = {
  callerOf({ raw: { socket } }): Caller {
    const name = names.get(socket) ?? nameOf(socket);
    names.set(socket, name);
    return {
      subject: { kind: 'local', name, grants: [{ role: 'super' }] },
      from: 'control socket',
      via: 'control socket',
      may: () => true,
    };
  },
};
