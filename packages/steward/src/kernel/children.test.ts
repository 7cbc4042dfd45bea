import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('./children.ts', import.meta.url));

/** Runs a script as a process that is PID 1 to its orphans; its output, line by line. */
async function asSubreaper(script: string): Promise<string[]> {
  const text = `
import ffi from 'node:ffi';
import { spawn } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { peekDeadChild, reapStrangers } from ${JSON.stringify(program)};
const { functions } = ffi.dlopen(null, { prctl: { arguments: ['i32', 'u64', 'u64', 'u64', 'u64'], return: 'i32' } });
functions.prctl(36, 1n, 0n, 0n, 0n);
const until = async (look) => { for (let n = 0; n < 3000 && !look(); n++) await wait(10); };
const zombies = () => readdirSync('/proc').filter((name) => /^\\d+$/.test(name)).filter((pid) => {
  try { const stat = readFileSync('/proc/' + pid + '/stat', 'latin1').split(') ').at(-1).split(' '); return stat[0] === 'Z' && Number(stat[1]) === process.pid; } catch { return false; }
});
${script}`;
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', text], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 120_000,
    killSignal: 'SIGKILL',
  });
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk) => (out += chunk));
  child.stderr.on('data', (chunk) => (err += chunk));
  const code = await new Promise((resolve) => child.once('close', resolve));
  assert.equal(code, 0, err);
  return out.trim().split('\n');
}

test('an orphan is told with its exit code or signal and leaves no zombie, and own children are left to Node', async () => {
  const lines = await asSubreaper(`
const seen = [];
reapStrangers((dead) => seen.push(dead));
const exits = [];
const begin = (script) => new Promise((resolve) => spawn('sh', ['-c', script]).once('exit', (code) => { exits.push(code); resolve(); }));
await Promise.all([begin('(exit 7) & exit 3'), begin("sh -c 'kill -9 $$' & exit 4"), begin('exit 5')]);
await until(() => seen.length >= 2);
await until(() => zombies().length === 0);
console.log(exits.toSorted().join());
console.log(seen.map(({ code, signal }) => code + '/' + signal).toSorted().join(' '));
console.log(zombies().length);
process.exit(0);`);
  assert.deepEqual(lines, ['3,4,5', '7/null null/9', '0']);
});

test('those that were dead before it began are reaped too, and after its end nobody is', async () => {
  const lines = await asSubreaper(`
await new Promise((resolve) => spawn('sh', ['-c', '(exit 1) & (exit 2) & exit 0']).once('exit', resolve));
await until(() => zombies().length === 2);
const seen = [];
const end = reapStrangers((dead) => seen.push(dead.code));
await until(() => seen.length === 2);
console.log(seen.toSorted().join(), zombies().length);
end();
await new Promise((resolve) => spawn('sh', ['-c', '(exit 1) & exit 0']).once('exit', resolve));
await until(() => zombies().length === 1);
console.log(seen.length, peekDeadChild()?.code);
process.exit(0);`);
  assert.deepEqual(lines, ['1,2 0', '2 1']);
});

test('ten thousand orphans leave no zombie', async () => {
  const [line] = await asSubreaper(`
let reaped = 0;
reapStrangers(() => { reaped += 1; });
const makers = Array.from({ length: 10 }, () => new Promise((resolve) =>
  spawn('sh', ['-c', 'n=0; while [ $n -lt 1000 ]; do (:) & n=$((n+1)); done; exit 0'], { stdio: 'ignore' }).once('exit', (code) => resolve(code))));
const codes = await Promise.all(makers);
await until(() => zombies().length === 0);
console.log(codes.join(''), zombies().length, reaped > 0);
process.exit(0);`);
  assert.equal(line, '0000000000 0 true');
});
