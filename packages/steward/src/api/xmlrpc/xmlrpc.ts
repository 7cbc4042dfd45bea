/**
 * supervisord's XML-RPC interface, so that supervisorctl and programs written for supervisord speak to Steward.
 *
 *   server.ts   HTTP: who may ask, limits          xml.ts       calls and answers as XML
 *   socket-file.ts   a unix socket, made safely    methods.ts   all methods by name; methods/ what they do
 *   sequence.ts   one thing done to several processes          describe.ts   an instance in supervisord's words
 *
 * `listen` follows the configuration: what is new is opened, what is gone closed; what cannot be opened is a fact, and tried
 * again.
 */

import { fstatSync, statSync } from 'node:fs';
import type { Server } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import { addressName } from '../../config/address.ts';
import type { SupervisorctlListener } from '../../config/model.ts';
import { may, type Subject } from '../../identity/identity.ts';
import { resourceOf } from '../authorize.ts';
import type { Caller, Rooms } from '../handlers.ts';
import { Fault } from './faults.ts';
import { createLifetimes } from './lifetimes.ts';
import { followFile, mostBytes } from './log-file.ts';
import { type Begin, type Call, findProcess, requireOver, requireWhole } from './method.ts';
import { followedLog } from './methods/logs.ts';
import { dispatch } from './methods.ts';
import { type Answers, createCtlServer } from './server.ts';
import { CannotListen, listenOnFile, type SocketFile } from './socket-file.ts';
import { parseCall, writeAnswer, writeFault } from './xml.ts';

export interface XmlRpcOptions {
  readonly rooms: Rooms;
  /** Where Steward's own log is, unless that goes elsewhere. */
  readonly mainLog: string;
  readonly begin: Begin;
  /** Somebody gave a wrong name or password, from this address or at this socket; told once in a while. */
  readonly onDenied: (from: string) => void;
  /** It cannot listen somewhere, and why. */
  readonly onTrouble: (message: string) => void;
  /** Hears of bugs. */
  readonly onError: (error: unknown) => void;
}

export interface XmlRpc {
  /** Listens at exactly these places. Resolves when it was tried; never rejects. */
  listen(specs: readonly SupervisorctlListener[]): Promise<void>;
  /** Every process counts as never started, as after a restart of supervisord. */
  forget(): void;
  close(): Promise<void>;
}

const stderr = 2;
/** How soon it is tried again to listen where something was in the way. */
const retryMs = 5000;
/** Who tries passwords one after the other must not fill the audit trail. */
const deniedEveryMs = 10_000;
/** How much of a log a follower gets first, as supervisord gives it. */
const followedBytes = 1024;

interface Place {
  readonly spec: SupervisorctlListener;
  readonly server: Server;
  close(): Promise<void>;
}

const nameOfPlace = (spec: SupervisorctlListener): string =>
  spec.kind === 'unix' ? spec.path : addressName({ kind: 'tcp', host: spec.host ?? '*', port: spec.port });

/** Who asks at a place: with its name and password, or whoever may open its file. */
const subjectAt = (spec: SupervisorctlListener): Subject => ({
  kind: 'supervisorctl',
  name: spec.credentials?.username ?? 'supervisorctl',
  grants: [{ role: 'super' }],
});

function callerAt(spec: SupervisorctlListener): Caller {
  const subject = subjectAt(spec);
  return { subject, from: nameOfPlace(spec), via: 'supervisorctl', may: (right, about) => may(subject, right, resourceOf(about)) };
}

const listenOnPort = (server: Server, host: string | undefined, port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, ...(host !== undefined && { host }) }, () => {
      server.off('error', reject);
      resolve();
    });
  });

const reasons: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program listens there',
  EACCES: 'Steward has no right to',
  EPERM: 'Steward has no right to give its file to somebody else',
  EADDRNOTAVAIL: 'this machine has no such address',
};

const whyNot = (error: Error): string =>
  error instanceof CannotListen ? error.message : (reasons[(error as NodeJS.ErrnoException).code ?? ''] ?? error.message);

/** The file, if it is what this process writes its log to. */
function ownLog(file: string): string | undefined {
  const [written, named] = [fstatSync(stderr), statSync(file, { throwIfNoEntry: false })];
  return written.ino === named?.ino && written.dev === named.dev ? file : undefined;
}

/** A server that could not be given its file must not stay behind without one. */
async function openOn(server: Server, spec: SupervisorctlListener): Promise<SocketFile | undefined> {
  try {
    if (spec.kind === 'unix') return await listenOnFile(server, spec);
    await listenOnPort(server, spec.host, spec.port);
    return undefined;
  } catch (error) {
    server.close();
    throw error;
  }
}

export function createXmlRpc({ rooms, mainLog, begin, onDenied, onTrouble, onError }: XmlRpcOptions): XmlRpc {
  const lifetimes = createLifetimes(rooms.journal);
  let places: Place[] = [];
  let wanted: readonly SupervisorctlListener[] = [];
  let turn: Promise<void> = Promise.resolve();
  let retry: NodeJS.Timeout | undefined;
  const told = new Map<string, string>();

  const callOf = (caller: Caller, signal: AbortSignal): Call => ({
    caller,
    signal,
    rooms,
    lifetimes,
    mainLog: () => ownLog(mainLog),
    begin,
    budget: 2 * mostBytes,
  });

  async function answer(text: string, call: Call): Promise<string> {
    const { method, params } = parseCall(text);
    try {
      return writeAnswer(await dispatch(method, params, call));
    } catch (error) {
      if (error instanceof Fault) return writeFault(error.code, error.message);
      throw error;
    }
  }

  /** The log that `/logtail/NAME/CHANNEL` or `/mainlogtail` means. @throws Fault when it is none of the caller's. */
  function fileAt(path: string, call: Call): string | undefined {
    if (path.startsWith('/mainlogtail')) {
      requireWhole(call, 'daemon');
      return ownLog(mainLog);
    }
    const [name = '', channel = 'stdout'] = path.slice('/logtail/'.length).split('/');
    const found = findProcess(call, name);
    if ('members' in found || (channel !== 'stdout' && channel !== 'stderr')) return undefined;
    requireOver(call, 'logs', [found]);
    return followedLog(found, channel);
  }

  function answersFor(spec: SupervisorctlListener): Answers {
    const caller = callerAt(spec);
    let deniedAt = Number.NEGATIVE_INFINITY;
    return {
      denied(from) {
        if (performance.now() - deniedAt < deniedEveryMs) return;
        deniedAt = performance.now();
        onDenied(from || nameOfPlace(spec));
      },
      call: (text, signal) => answer(text, callOf(caller, signal)),
      follow(path, signal) {
        try {
          const file = fileAt(path, callOf(caller, signal));
          return file === undefined ? undefined : followFile(file, followedBytes, signal);
        } catch (error) {
          if (error instanceof Fault) return undefined;
          throw error;
        }
      },
    };
  }

  async function open(spec: SupervisorctlListener): Promise<Place> {
    const server = createCtlServer(spec, answersFor(spec), onError);
    const file = await openOn(server, spec);
    server.on('error', onError);
    return {
      spec,
      server,
      close: () =>
        new Promise((resolve) => {
          file?.remove();
          server.close(() => resolve());
          server.closeAllConnections();
        }),
    };
  }

  /** Tells of trouble once, as long as it stays the same. */
  function tell(spec: SupervisorctlListener, error: Error): void {
    const name = nameOfPlace(spec);
    const message = `supervisorctl is not answered at ${name}: ${whyNot(error)}`;
    if (told.get(name) !== message) onTrouble(message);
    told.set(name, message);
  }

  async function settle(): Promise<void> {
    clearTimeout(retry);
    const isWanted = ({ spec }: Place): boolean => wanted.some((one) => isDeepStrictEqual(one, spec));
    const gone = places.filter((place) => !isWanted(place));
    places = places.filter(isWanted);
    await Promise.all(gone.map((place) => place.close()));
    let isMissing = false;
    for (const spec of wanted.filter((one) => !places.some((place) => isDeepStrictEqual(one, place.spec))))
      try {
        places.push(await open(spec));
        told.delete(nameOfPlace(spec));
      } catch (error) {
        isMissing = true;
        tell(spec, error as Error);
      }
    if (isMissing) retry = setTimeout(() => void inTurn(), retryMs).unref();
  }

  const inTurn = (): Promise<void> => {
    turn = turn.then(settle).catch(onError);
    return turn;
  };

  return {
    listen(specs) {
      wanted = specs;
      return inTurn();
    },
    forget: () => lifetimes.forget(rooms.supervisor.views().map(({ spec }) => spec.id)),
    async close() {
      wanted = [];
      await inTurn();
      clearTimeout(retry);
      lifetimes.stop();
    },
  };
}
