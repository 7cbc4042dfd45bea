/**
 * A hundred reloads under load. Clients ask 2,000 times a second over kept connections, a fifth of them over TLS; 500 websockets, slow downloads
 * and slow uploads stay open meanwhile. Each reload changes something else and is waited for until it shows.
 */

import { once } from 'node:events';
import { copyFile } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { connect } from 'node:tls';
import { makeCertificate } from '../certificate.ts';
import { freePort } from '../free-port.ts';
import type { Certificate } from '../measurement.ts';
import { type Steward, startSteward, workerPids } from '../peers/steward.ts';
import { untilServed } from '../program.ts';
import { tempFolder } from '../temp-folder.ts';
import { clientsLine, faults, startClients, startStreams } from './children.ts';
import { makeFiles, startBackEnds } from './stage.ts';
import { type Conditions, scaled, type Trial } from './trial.ts';

const reloadCount = 100;
const perSecond = 2_000;
const webSockets = 500;
const streamBytes = 16 * 2 ** 20;
/** A download takes 16 s, and no socket buffer holds it whole. */
const streamPerSecond = 2 ** 20;
/** How long a reload may take to show after `steward apply` came back. */
const patienceMs = 5_000;

/** What is the case in one turn: each reload changes one of them. */
type Facts = { other: number; routes: number; header: number; extraPort: boolean; certificate: number };

type Places = {
  sockets: readonly string[];
  files: string;
  port: number;
  tlsPort: number;
  otherPort: number;
  extraPort: number;
  tls: Certificate;
};

function configuration(facts: Facts, places: Places): object {
  const { sockets, files, tls } = places;
  const routes = [
    { path: '/', upstream: 'back', addHeaders: { 'x-turn': String(facts.header) } },
    { path: '/files/', files },
    { path: `/route-${facts.routes}`, respond: 'here' },
  ];
  const listen = [places.port, ...(facts.extraPort ? [places.extraPort] : [])].map((port) => `127.0.0.1:${port}`);
  return {
    upstreams: { back: { servers: sockets } },
    sites: [
      { listen, routes },
      { listen: [`127.0.0.1:${places.tlsPort}`], tls, routes: [{ upstream: 'back' }] },
      { listen: [`127.0.0.1:${places.otherPort}`], routes: [{ respond: `turn ${facts.other}` }] },
    ],
    gateway: { workers: 2, accessLog: false },
  };
}

/** A kind of reload: what it changes, and how it shows. */
type Kind = {
  name: string;
  change: (facts: Facts, places: Places, pairs: readonly Certificate[]) => Promise<Facts>;
  shows: (facts: Facts, places: Places) => Promise<boolean>;
};

const get = (port: number, path = '/'): Promise<Response> => fetch(`http://127.0.0.1:${port}${path}`, { headers: { connection: 'close' } });

const kinds: readonly Kind[] = [
  {
    name: 'another site',
    change: async (facts) => ({ ...facts, other: facts.other + 1 }),
    shows: async (facts, { otherPort }) => (await (await get(otherPort)).text()) === `turn ${facts.other}`,
  },
  {
    name: 'routes of this site',
    change: async (facts) => ({ ...facts, routes: facts.routes + 1 }),
    shows: async (facts, { port }) => (await (await get(port, `/route-${facts.routes}`)).text()) === 'here',
  },
  {
    name: 'headers of this site',
    change: async (facts) => ({ ...facts, header: facts.header + 1 }),
    shows: async (facts, { port }) => {
      const answer = await get(port);
      await answer.arrayBuffer();
      return answer.headers.get('x-turn') === String(facts.header);
    },
  },
  {
    name: 'a listener more or less',
    change: async (facts) => ({ ...facts, extraPort: !facts.extraPort }),
    shows: async (facts, { extraPort }) =>
      (await get(extraPort).then(
        ({ ok }) => ok,
        () => false,
      )) === facts.extraPort,
  },
  {
    name: 'certificate files',
    change: async (facts, { tls }, pairs) => {
      const next = (facts.certificate + 1) % pairs.length;
      const pair = pairs[next];
      if (pair) await Promise.all([copyFile(pair.cert, tls.cert), copyFile(pair.key, tls.key)]);
      return { ...facts, certificate: next };
    },
    shows: async (facts, { tlsPort }) => (await commonName(tlsPort)) === `turn-${facts.certificate}`,
  },
];

/** Whose certificate a port shows. */
async function commonName(port: number): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  const { subject } = socket.getPeerCertificate();
  socket.destroy();
  return String(subject.CN);
}

/** Applies one change, and waits until it shows; how long the apply took, and what went wrong. */
async function reload(kind: Kind, steward: Steward, facts: Facts, places: Places): Promise<{ tookMs: number; fault?: string }> {
  const startedAt = performance.now();
  await steward.apply(configuration(facts, places));
  const tookMs = performance.now() - startedAt;
  for (const deadline = Date.now() + patienceMs; Date.now() < deadline; await wait(20)) {
    if (await kind.shows(facts, places).catch(() => false)) return { tookMs };
  }
  return { tookMs, fault: `${kind.name}: the change does not show after ${patienceMs / 1_000} s` };
}

export const reloads: Trial = {
  name: 'reloads',
  about: `${reloadCount} reloads under ${perSecond} req/s, with ${webSockets} websockets, downloads and uploads: 0 errors, none closed`,
  async run(conditions: Conditions) {
    const { signal, print } = conditions;
    await using folder = await tempFolder();
    await using stack = new AsyncDisposableStack();
    const pairs = [await makeCertificate(folder.path, 'turn-0'), await makeCertificate(folder.path, 'turn-1')];
    const places: Places = {
      sockets: await startBackEnds(folder.path, stack),
      files: await makeFiles(folder.path, { 'large.bin': streamBytes }),
      port: await freePort(),
      tlsPort: await freePort(),
      otherPort: await freePort(),
      extraPort: await freePort(),
      tls: await makeCertificate(folder.path, 'live'),
    };
    let facts: Facts = { other: 0, routes: 0, header: 0, extraPort: false, certificate: 1 };
    const steward = stack.use(await startSteward(configuration(facts, places), folder.path));
    const [plain, secure] = [`http://127.0.0.1:${places.port}`, `https://127.0.0.1:${places.tlsPort}`];
    await untilServed(`${plain}/`);
    const workers = await workerPids(steward);

    const streams = stack.use(
      await startStreams({
        webSockets: { url: `${plain.replace('http', 'ws')}/socket`, count: webSockets },
        downloads: {
          urls: [`${plain}/download?bytes=${streamBytes}`, `${plain}/files/large.bin`],
          count: 10,
          bytes: streamBytes,
          perSecond: streamPerSecond,
        },
        uploads: { url: `${plain}/upload`, count: 10, bytes: streamBytes / 4, perSecond: streamPerSecond / 4 },
      }),
    );
    const targets = [
      { url: `${plain}/` },
      { url: `${plain}/` },
      { url: `${plain}/post`, postBytes: 1_000 },
      { url: `${plain}/` },
      { url: `${secure}/` },
    ];
    const clients = stack.use(startClients({ targets, perSecond, connections: 100 }));
    await wait(1_000, undefined, { signal });
    await clients.report(); // connections were opened, code was compiled
    await wait(2_000, undefined, { signal });
    print(`before: ${clientsLine(await clients.report())}`);

    const broken: string[] = [];
    const applyMs: number[] = [];
    for (let turn = 0; turn < scaled(reloadCount, conditions); turn++) {
      const kind = kinds[turn % kinds.length];
      if (kind === undefined) break;
      facts = await kind.change(facts, places, pairs);
      const { tookMs, fault } = await reload(kind, steward, facts, places);
      applyMs.push(tookMs);
      if (fault) broken.push(fault);
      await wait(100, undefined, { signal });
    }
    const [asked, lived] = [await clients.finish(), await streams.finish()];
    const { webSockets: sockets, downloads, uploads } = lived;
    print(`during: ${clientsLine(asked)}`);
    print(`${applyMs.length} reloads, longest apply ${Math.max(...applyMs).toFixed(0)} ms`);
    print(
      `websockets: ${sockets.open} open, ${sockets.closed} closed, ${sockets.echoes} echoes, the slowest after ${sockets.slowestMs.toFixed(0)} ms`,
    );
    print(
      `downloads: ${downloads.complete} complete, ${downloads.open} under way; uploads: ${uploads.complete} complete, ${uploads.open} under way`,
    );
    if (sockets.open !== webSockets) broken.push(`${sockets.open} of ${webSockets} websockets are open`);
    if (String(await workerPids(steward)) !== String(workers)) broken.push('the workers are other processes than before');
    return [...broken, ...faults(asked.failures), ...faults(lived.failures)];
  },
};
