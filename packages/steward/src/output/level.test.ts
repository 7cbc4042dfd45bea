import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fieldsOf, type Level, levelOf } from './level.ts';

const cases: readonly (readonly [string, Level | undefined])[] = [
  ['{"level":30,"time":1,"msg":"pino"}', 'info'],
  ['{"level":50,"msg":"pino"}', 'error'],
  ['{"name":"bunyan","level":40}', 'warn'],
  ['{"level":"WARNING","event":"structlog"}', 'warn'],
  ['{"severity":"CRITICAL","message":"cloud"}', 'error'],
  ['{"lvl":"dbug","msg":"no such word"}', undefined],
  ['{"lvl":"debug"}', 'debug'],
  ['{"log.level":"error","message":"ecs"}', 'error'],
  ['{"log":{"level":"info"}}', 'info'],
  ['{"level":{"name":"error"}}', 'error'],
  ['{"PRIORITY":"3","MESSAGE":"journal"}', 'error'],
  ['2026-11-20 08:00:00,123 ERROR app: it broke', 'error'],
  ['2026-11-20 08:00:00,123 - app - WARNING - careful', 'warn'],
  ['WARNING:root:python without a form', 'warn'],
  ['<3>an error for journald', 'error'],
  ['<13>1 2026-11-20T08:00:00Z host app - - - notice', 'info'],
  ['<15>debug', 'debug'],
  ['2026/11/20 08:00:00 [error] 12#0: *1 open() failed', 'error'],
  ['[Fri Nov 20 08:00:00 2026] [core:warn] [pid 1] AH00558', 'warn'],
  ['time="2026-11-20T08:00:00Z" level=info msg="logrus"', 'info'],
  ['ts=1 lvl=dbg msg=no', undefined],
  ['E1120 08:00:00.000000 1 main.go:1] klog', 'error'],
  ['I1120 08:00:00.000000 1 main.go:1] klog', 'info'],
  ['error: something at the beginning', 'error'],
  ['08:00:00 warn: with a time', 'warn'],
  ['[INFO] maven', 'info'],
  ['  (debug) something', 'debug'],
  ['\u001b[31mERROR\u001b[39m in color', 'error'],
  ['Traceback (most recent call last):', 'error'],
  ['TypeError: x is not a function', 'error'],
  ['java.lang.IllegalStateException: no', 'error'],
  ['listening on 127.0.0.1:8080', undefined],
  ['0 errors were found', undefined],
  ['GET /error 200', undefined],
  ['information is good', undefined],
  ['', undefined],
];

test('levels are known by the forms that programs use', () => {
  for (const [line, level] of cases) assert.equal(levelOf(line), level, line);
});

test('a long line costs no more than a short one', () => {
  assert.equal(levelOf(`${'x'.repeat(5_000_000)} ERROR`), undefined);
});

test('only an object has fields', () => {
  assert.deepEqual(fieldsOf(' {"a":1}\r'), { a: 1 });
  for (const line of ['[1]', '1', '{', '{a}', '']) assert.equal(fieldsOf(line), undefined, line);
});
