/** Millions of requests of all shapes through one worker: its memory must stay flat. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '../free-port.ts';
import { startSteward, workerPids } from '../peers/steward.ts';
import { startProgram, untilServed } from '../program.ts';
import { table } from '../table.ts';
import { tempFolder } from '../temp-folder.ts';
import { load, wrkVersion } from '../wrk.ts';
import { type Inspector, inspect } from './inspect.ts';
import { makeFiles, startBackEnds } from './stage.ts';
import { type Conditions, scaled, type Trial } from './trial.ts';

const requests = 10_000_000;
const samples = 40;
/** The slope that passes, over the second half. */
const allowedMbPerMillion = 1;
/** What an allocator gives and takes by itself: less growth than this over the second half is none, however few requests there were. */
const noiseMb = 4;
const connections = 32;
const churnClients = 4;
const churnProgram = fileURLToPath(new URL('churn.ts', import.meta.url));

/** Of 20 requests. Those to the dead upstream are answered 502 or 503, that to a path nobody has 404. */
const script = (tag: string): string => `
local requests = {}
local function add(times, ...)
  local request = wrk.format(...)
  for _ = 1, times do requests[#requests + 1] = request end
end
local body = string.rep("x", 4096)
local at = 0
init = function()
  add(8, "GET", "/")
  add(3, "GET", "/files/small.bin")
  add(2, "GET", "/files/small.bin", { ["If-None-Match"] = '${tag}' })
  add(2, "GET", "/files/small.bin", { ["Range"] = "bytes=100-299" })
  add(3, "POST", "/post", nil, body)
  add(1, "GET", "/files/nobody-has-this")
  add(1, "GET", "/dead/")
end
request = function()
  at = at % #requests + 1
  return requests[at]
end
`;

/** `millions` of requests until then, as wrk counted them; `heapMb` after a garbage collection, NaN when it cannot be asked for. */
type Sample = { millions: number; residentMb: number; heapMb: number; descriptors: number };

async function sample(pid: number, millions: number, inspector: Inspector | undefined): Promise<Sample> {
  const heapMb = inspector ? (await inspector.heapBytes()) / 2 ** 20 : Number.NaN;
  const status = await readFile(`/proc/${pid}/status`, 'latin1');
  return {
    millions,
    residentMb: Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) / 1024,
    heapMb,
    descriptors: (await readdir(`/proc/${pid}/fd`)).length,
  };
}

/** MB per million requests, by least squares. */
function slope(all: readonly Sample[], figure: 'residentMb' | 'heapMb'): number {
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [x, y] = [mean(all.map(({ millions }) => millions)), mean(all.map((one) => one[figure]))];
  const covariance = all.reduce((sum, one) => sum + (one.millions - x) * (one[figure] - y), 0);
  return covariance / all.reduce((sum, { millions }) => sum + (millions - x) ** 2, 0);
}

/** What grew in the second half of the curve. */
function judge(curve: readonly Sample[], print: (text: string) => void): string[] {
  const half = curve.slice(Math.floor(curve.length / 2));
  const millions = (half.at(-1)?.millions ?? 0) - (half[0]?.millions ?? 0);
  return (['residentMb', 'heapMb'] as const).flatMap((figure) => {
    const perMillion = slope(half, figure);
    if (Number.isNaN(perMillion)) return [];
    const grown = perMillion * millions;
    print(`${figure}: ${perMillion.toFixed(2)} MB per million requests over the second half, ${grown.toFixed(1)} MB in all`);
    return perMillion > allowedMbPerMillion && grown > noiseMb
      ? [`${figure} grows by ${perMillion.toFixed(2)} MB per million requests`]
      : [];
  });
}

export const memory: Trial = {
  name: 'memory',
  about: `${requests / 1e6} million requests of all shapes through 1 worker: less than ${allowedMbPerMillion} MB more per million`,
  async run(conditions: Conditions) {
    const { signal, print } = conditions;
    if ((await wrkVersion()) === undefined) return ['wrk is missing here'];
    await using folder = await tempFolder();
    await using stack = new AsyncDisposableStack();
    const servers = await startBackEnds(folder.path, stack);
    const files = await makeFiles(folder.path, { 'small.bin': 10_240, 'large.bin': 20_000_000 });
    const port = await freePort();
    const steward = stack.use(
      await startSteward(
        {
          upstreams: { back: { servers }, dead: { servers: [`unix:${folder.path}/nobody.sock`] } },
          sites: [
            {
              listen: [`127.0.0.1:${port}`],
              routes: [{ upstream: 'back' }, { path: '/files/', files }, { path: '/dead/', upstream: 'dead' }],
            },
          ],
          gateway: { workers: 1, accessLog: false },
        },
        folder.path,
      ),
    );
    const url = `http://127.0.0.1:${port}`;
    await untilServed(`${url}/`);
    const [pid] = await workerPids(steward);
    if (pid === undefined) throw new Error('the gateway has no worker');
    const inspector = await inspect(pid);
    if (inspector) stack.use(inspector);
    const tag = (await fetch(`${url}/files/small.bin`)).headers.get('etag') ?? '';
    const lua = join(folder.path, 'shapes.lua');
    await writeFile(lua, script(tag));
    stack.use(
      await startProgram(process.execPath, ['--disable-warning=ExperimentalWarning', churnProgram, String(port), String(churnClients)]),
    );

    const wanted = scaled(requests, conditions);
    const curve = [await sample(pid, 0, inspector)];
    let [done, perSecond, refused] = [0, 10_000, 0];
    while (done < wanted) {
      const seconds = Math.max(1, Math.round(wanted / samples / perSecond));
      const found = await load(`${url}/`, seconds, signal, connections, ['-s', lua]);
      done += found.requests;
      refused += found.errors;
      perSecond = found.perSecond;
      await wait(200, undefined, { signal });
      curve.push(await sample(pid, done / 1e6, inspector));
    }
    const text = (value: number): string => (Number.isNaN(value) ? '-' : value.toFixed(1));
    print(
      table(
        ['million requests', 'resident MB', 'heap MB', 'descriptors'],
        curve.map((one) => [one.millions.toFixed(2), text(one.residentMb), text(one.heapMb), String(one.descriptors)]),
      ),
    );
    print(`${((refused / done) * 100).toFixed(1)}% answered 404, 502 or 503 (10.0% are asked for)`);
    const died = String(await workerPids(steward)) === String(pid) ? [] : ['the worker died'];
    const [share, fair] = [refused / done, 0.1];
    const surprising = Math.abs(share - fair) > 0.01 ? [`${(share * 100).toFixed(1)}% of the answers were errors, not ${fair * 100}%`] : [];
    return [...judge(curve, print), ...surprising, ...died];
  },
};
