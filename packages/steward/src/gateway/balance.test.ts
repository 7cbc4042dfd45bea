import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ServerSpec } from '../config/model.ts';
import { type Balance, createBalance, noteAnswer, noteFailure, pickServer, type Server } from './balance.ts';
import { serverAt } from './testing.ts';

const at = (path: string, more: Partial<ServerSpec> = {}) => serverAt({ kind: 'unix', path }, more);
const nameOf = (server: Server | undefined) => (server?.spec.address.kind === 'unix' ? server.spec.address.path : 'none');
const picks = (balance: Balance, count: number, nowMs = 0) =>
  Array.from({ length: count }, () => nameOf(pickServer(balance, nowMs))).join('');

function serverNamed(balance: Balance, name: string): Server {
  const server = balance.servers.find((one) => nameOf(one) === name);
  assert.ok(server);
  return server;
}

test('servers take turns by weight, smoothly', () => {
  assert.equal(picks(createBalance([at('a'), at('b'), at('c')]), 6), 'abcabc');
  assert.equal(picks(createBalance([at('a', { weight: 5 }), at('b'), at('c')]), 7), 'aabacaa');
});

test('a server is out after maxFails failures within failTimeout, then gets one trial request', () => {
  const balance = createBalance([at('a', { maxFails: 2, failTimeoutMs: 100 }), at('b')]);
  const a = serverNamed(balance, 'a');
  noteFailure(a, 0);
  assert.equal(picks(balance, 2, 50), 'ab');
  noteFailure(a, 60);
  assert.equal(picks(balance, 3, 70), 'bbb');
  assert.match(picks(balance, 4, 161), /^(a|ba)b+$/);
  assert.equal(picks(balance, 3, 200), 'bbb');
  noteAnswer(a);
  assert.match(picks(balance, 4, 201), /a.*a/);
});

test('failures further apart than failTimeout do not add up', () => {
  const balance = createBalance([at('a', { maxFails: 2, failTimeoutMs: 100 }), at('b')]);
  const a = serverNamed(balance, 'a');
  noteFailure(a, 0);
  noteFailure(a, 101);
  assert.match(picks(balance, 2, 102), /a/);
});

test('a trial that fails keeps the server out for another failTimeout', () => {
  const balance = createBalance([at('a', { failTimeoutMs: 100 }), at('b')]);
  const a = serverNamed(balance, 'a');
  noteFailure(a, 0);
  assert.match(picks(balance, 2, 101), /a/);
  noteFailure(a, 150);
  assert.equal(picks(balance, 3, 240), 'bbb');
});

test('maxFails 0 or failTimeout 0 never takes a server out, nor does anything take out the only one', () => {
  for (const more of [{ maxFails: 0 }, { failTimeoutMs: 0 }]) {
    const balance = createBalance([at('a', more), at('b')]);
    for (let n = 0; n < 10; n++) noteFailure(serverNamed(balance, 'a'), n);
    assert.match(picks(balance, 2, 11), /a/);
  }
  const only = createBalance([at('a')]);
  noteFailure(serverNamed(only, 'a'), 0);
  assert.equal(picks(only, 2, 1), 'aa');
});

test('backups serve only when the others are out; down servers never; tried ones not again', () => {
  const balance = createBalance([at('a'), at('b', { backup: true }), at('c', { down: true })]);
  assert.equal(picks(balance, 3), 'aaa');
  const a = serverNamed(balance, 'a');
  assert.equal(nameOf(pickServer(balance, 0, new Set([a]))), 'b');
  noteFailure(a, 0);
  assert.equal(picks(balance, 2, 1), 'bb');
  assert.equal(pickServer(balance, 0, new Set([a, serverNamed(balance, 'b')])), undefined);
  assert.equal(pickServer(createBalance([at('a', { down: true })]), 0), undefined);
  assert.equal(pickServer(createBalance([]), 0), undefined);
});

test('when all are out, all are tried', () => {
  const balance = createBalance([at('a'), at('b')]);
  for (const server of balance.servers) noteFailure(server, 0);
  assert.match(picks(balance, 2, 1), /^(ab|ba)$/);
});

test('a new table keeps what is known of servers that stay', () => {
  const before = createBalance([at('a'), at('b')]);
  noteFailure(serverNamed(before, 'a'), 0);
  const after = createBalance([at('c'), at('a')], before);
  assert.equal(serverNamed(after, 'a'), serverNamed(before, 'a'));
  assert.equal(picks(after, 3, 1), 'ccc');
});
