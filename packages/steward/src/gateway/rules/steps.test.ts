import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { StepSpec, TestSpec } from '../../config/model.ts';
import type { Problem } from '../../config/problem.ts';
import type { GatewayErrorCode } from '../errors.ts';
import type { CompiledRoute } from '../match.ts';
import type { RouteEntry, StepEntry } from '../table.ts';
import { parsePath } from '../target.ts';
import { requestOf, type TestRequest } from '../testing-request.ts';
import { compileSteps, mostSearches, pathFromText, runSteps, type StepsOutcome } from './steps.ts';
import { compileTemplate, createScope, expand } from './variables.ts';

type Flag = Extract<StepSpec, { kind: 'rewrite' }>['flag'];

const set = (variable: string, value: string): StepEntry => ({ kind: 'set', variable, value });
const rewrite = (pattern: string, to: string, flag: Flag = 'next'): StepEntry => ({
  kind: 'rewrite',
  pattern: { kind: 'regex', pattern, anyCase: false },
  to,
  flag,
});
const answer = (status: number, body?: string, to?: string): StepEntry => ({ kind: 'return', answer: { status, body, to } });
const stop: StepEntry = { kind: 'break' };
const truth = (text: string): TestSpec => ({ kind: 'truth', text });
const equals = (left: string, right: string, not = false): TestSpec => ({ kind: 'equals', left, right, not });
const matches = (left: string, pattern: string, anyCase = false, not = false): TestSpec => ({
  kind: 'matches',
  left,
  pattern: { kind: 'regex', pattern, anyCase },
  not,
});
const when = (test: TestSpec, ...steps: StepEntry[]): StepEntry => ({ kind: 'if', test, steps });
/** An `if` with a route of its own, known by its name in the outcome. */
const switching = (test: TestSpec, name: string, ...steps: StepEntry[]): StepEntry => ({
  kind: 'if',
  test,
  steps,
  route: { match: { kind: 'named', name } } as RouteEntry,
});

const scope = createScope([], ['z', 'r', 'v', 'u', 'who'], []);

function run(steps: readonly StepEntry[], url: string, more: TestRequest = {}, of: 'site' | 'route' = 'route') {
  const problems: Problem<GatewayErrorCode>[] = [];
  const compiled = compileSteps(steps, scope, problems, (entry) => entry as unknown as CompiledRoute);
  assert.deepEqual(problems, []);
  const request = requestOf({ url, ...more });
  return { request, outcome: runSteps(compiled, request, of) };
}

/** The outcome in a line: `search /path?args`, `stay /path?args`, `STATUS body`, `STATUS -> to`; with the name of the route of an `if`. */
function told(steps: readonly StepEntry[], url: string, more: TestRequest = {}): string {
  const { request, outcome } = run(steps, url, more);
  const route = outcome.kind !== 'search-again' && outcome.route?.match.kind === 'named' ? ` in ${outcome.route.match.name}` : '';
  if (outcome.kind === 'answer') {
    const { status, to, body } = outcome.answer;
    return `${status}${to === undefined ? '' : ` -> ${to}`}${body === undefined ? '' : ` ${body}`}${route}`;
  }
  const target = `${request.path.text}${request.args === '' ? '' : `?${request.args}`}`;
  return `${outcome.kind === 'go-on' ? 'stay' : 'search'} ${target}${route}`;
}

test('rewriting gives the path and query that nginx 1.22 gives', () => {
  const table: [steps: StepEntry[], url: string, told: string][] = [
    [[rewrite('^/rw/(.*)$', '/show/$1?q=$1', 'last')], '/rw/a%20b%26c', 'search /show/a b&c?q=a%20b%26c'],
    [[rewrite('^/rw/(.*)$', '/show/$1?q=$1', 'last')], '/rw/a&b=c', 'search /show/a&b=c?q=a&b=c'],
    [[rewrite('^/rw/(.*)$', '/show/$1?q=$1', 'last')], '/rw/a+b', 'search /show/a+b?q=a%2Bb'],
    [[rewrite('^/rw/(.*)$', '/show/$1?q=$1', 'last')], '/rw/a?k=v', 'search /show/a?q=a&k=v'],
    [[rewrite('^/rw/(.*)$', '/show/$1?q=$1', 'last')], '/rw/%C3%A4', 'search /show/ä?q=%C3%A4'],
    [[rewrite('^/rw/(.*)$', '/show/$1?', 'last')], '/rw/a?k=v', 'search /show/a'],
    [[rewrite('^/rw/(.*)$', '/show/$1', 'last')], '/rw/a?k=v', 'search /show/a?k=v'],
    [[rewrite('^/rw/(.*)$', '/show?x=1', 'last')], '/rw/a?k=v', 'search /show?x=1&k=v'],
    [[rewrite('^/rw/(.*)$', '/show?x=1', 'last')], '/rw/a', 'search /show?x=1'],
    [[rewrite('^/rw/(.*)$', '/show/a$1'), rewrite('^/show/a(.*)$', '/show/b$1')], '/rw/z', 'search /show/bz'],
    [[rewrite('^/rw/(.*)$', '/other/$1', 'break'), answer(200, 'never')], '/rw/z', 'stay /other/z'],
    [[rewrite('^/rw/(.*)$', '/other/$1'), stop], '/rw/z', 'stay /other/z'],
    [[rewrite('^/rw/(.*)$', '/other/$1'), answer(200, '$uri')], '/rw/z', '200 /other/z'],
    [[rewrite('^/rw/(.*)$', '$1', 'last')], '/rw/abc', 'search abc'],
    [[rewrite('^/rw/(.*)$', '$1', 'break')], '/rw/abc', 'stay /abc'],
    [[set('u', '/show?z=1'), rewrite('^', '$u', 'last')], '/rw/', 'search /show?z=1'],
    [[rewrite('^/rw/(.*)$', '/show/../$1', 'last')], '/rw/etc', 'search /show/../etc'],
    [[rewrite('^', '$arg_none', 'last')], '/', '500'],
    [[rewrite('^/rw/(?<who>[a-z]+)$', '/show/$who', 'last')], '/rw/bob', 'search /show/bob'],
    [[rewrite('^/nothing', '/x', 'last')], '/rw/a?k=v', 'stay /rw/a?k=v'],
  ];
  for (const [steps, url, line] of table) assert.equal(told(steps, url), line, `${url} ${line}`);
  assert.equal(run([rewrite('^', '/show?z=1', 'last')], '/').request.path.raw, '/show');
  assert.equal(run([set('u', '/a?b'), rewrite('^', '$u', 'last')], '/').request.path.raw, '/a%3Fb');
});

test('redirects have the address that nginx 1.22 sends, but a ? of the path stays escaped', () => {
  const to = (text: string, flag: Flag, url: string): string => told([rewrite('^/r/(.*)$', text, flag)], url);
  assert.equal(to('/to/$1', 'redirect', '/r/a%20b%3Fc%26d%2Fe%25%C3%A4'), '302 -> /to/a%20b%3Fc&d/e%25%C3%A4');
  assert.equal(to('/to/$1', 'redirect', '/r/a&b=c'), '302 -> /to/a&b=c');
  assert.equal(to('/to/$1', 'redirect', '/r/a?k=v'), '302 -> /to/a?k=v');
  assert.equal(to('https://o.example/$1?b=2', 'permanent', '/r/a%26b?k=v'), '301 -> https://o.example/a&b?b=2&k=v');
  assert.equal(to('http://o.example/$1?b=$1?', 'next', '/r/a%26b?k=v'), '302 -> http://o.example/a&b?b=a%26b');
  assert.equal(to('$scheme://o.example/$1', 'last', '/r/a?k=v'), '302 -> http://o.example/a?k=v');
  assert.equal(told([rewrite('^/r/([^x]*)$', '/to/$1', 'redirect')], '/r/a%0d%0ab'), '302 -> /to/a%0D%0Ab');
});

test('variables are set in turn, and the query is one of them', () => {
  const { request } = run([set('v', 'a$arg_x'), set('v', '$v-$v'), set('args', 'n=1&$args')], '/?x=1');
  assert.equal(expand(compileTemplate('$v|$args|$query_string|$request_uri', scope), request), 'a1-a1|n=1&x=1|n=1&x=1|/?x=1');
  assert.equal(request.rewritten, false);
});

test('groups are those of the last regular expression tried', () => {
  const caught = [
    when(matches('$arg_a', '(x)'), set('z', '1')),
    when(matches('$arg_b', 'y'), answer(200, 'nogroup[$1]')),
    answer(200, 'after[$1]'),
  ];
  assert.equal(told(caught, '/?a=x&b=y'), '200 nogroup[]');
  assert.equal(told(caught, '/?a=x'), '200 after[]');
  assert.equal(told([when(matches('$arg_a', '(x)'), answer(200, '[$1]'))], '/?a=x'), '200 [x]');
  assert.equal(told([when(matches('$arg_a', '(x)', false, true), answer(200, 'not'))], '/?a=x'), 'stay /?a=x');
});

test('conditions hold as in nginx 1.22', () => {
  const steps = [
    set('r', '0'),
    when(equals('$arg_a', '1'), set('r', '1')),
    when(equals('$arg_a', '1', true), set('r', '2')),
    when(truth('$arg_b'), set('r', '${r}b')),
    when(matches('$http_x', '^ABC', true), set('r', '${r}c')),
    when(matches('$http_x', '^abc', false, true), set('r', '${r}d')),
    when(matches('$http_x', '^ABC', true, true), set('r', '${r}e')),
    answer(200, '$r'),
  ];
  assert.equal(told(steps, '/?a=1'), '200 1de');
  assert.equal(told(steps, '/?a=2&b=0'), '200 2de');
  assert.equal(told(steps, '/?b=00', { headers: { x: 'abcd' } }), '200 2bc');
  assert.equal(told(steps, '/?b=1', { headers: { x: 'Abcd' } }), '200 2bcd');
});

const folder = mkdtempSync(join(tmpdir(), 'steward-steps-'));
after(() => rmSync(folder, { recursive: true }));

test('files, folders and programs are told apart as in nginx 1.22', () => {
  writeFileSync(join(folder, 'file'), '');
  writeFileSync(join(folder, 'program'), '', { mode: 0o755 });
  mkdirSync(join(folder, 'folder'));
  symlinkSync('nowhere', join(folder, 'broken'));
  symlinkSync('file', join(folder, 'link'));
  const kinds = { f: 'file', d: 'folder', e: 'any', x: 'executable' } as const;
  const steps = [set('r', '')];
  for (const not of [false, true]) {
    for (const [letter, is] of Object.entries(kinds)) {
      const test: TestSpec = { kind: 'file', path: '$arg_p', is, not };
      steps.push(when(test, set('r', `\${r}${not ? letter.toUpperCase() : letter}`)));
    }
  }
  steps.push(answer(200, '$r'));
  const table = { file: 'feDX', link: 'feDX', folder: 'dexF', program: 'fexD', broken: 'FDEX', none: 'FDEX', 'file/x': 'FDEX' };
  for (const [name, letters] of Object.entries(table)) assert.equal(told(steps, `/?p=${join(folder, name)}`), `200 ${letters}`, name);
  assert.equal(told(steps, '/?p='), '200 FDEX');
  assert.equal(told(steps, '/?p=/dev/null'), '200 FDEX');
});

test('the last `if` that holds says what answers; steps behind it are taken all the same', () => {
  const steps = [
    switching(truth('$arg_a'), 'A'),
    when(truth('$arg_b'), set('z', '1')),
    switching(truth('$arg_c'), 'C', stop),
    set('v', '1'),
  ];
  assert.equal(told(steps, '/?a=1'), 'stay /?a=1 in A');
  assert.equal(told(steps, '/?a=1&b=1'), 'stay /?a=1&b=1');
  assert.equal(told(steps, '/?a=1&b=1&c=1'), 'stay /?a=1&b=1&c=1 in C');
  assert.equal(told(steps, '/'), 'stay /');
  assert.equal(told([switching(truth('$arg_a'), 'A', answer(200, 'x'))], '/?a=1'), '200 x in A');
  assert.equal(told([switching(truth('$arg_a'), 'A', when(truth('1'), set('z', '1')))], '/?a=1'), 'stay /?a=1 in A');
  assert.equal(told([when(truth('$arg_a'), rewrite('^', '/if', 'last')), rewrite('^', '/not', 'last')], '/?a=1'), 'search /if?a=1');
  assert.equal(told([when(truth('$arg_a'), rewrite('^', '/if', 'last')), rewrite('^', '/not', 'last')], '/'), 'search /not');
});

test('answers hold texts and addresses of the moment', () => {
  assert.equal(told([answer(301, undefined, '/x$uri')], '/a%20z'), '301 -> /x/a%20z');
  assert.equal(told([answer(302, undefined, 'https://h.example$request_uri')], '/r?a=b'), '302 -> https://h.example/r?a=b');
  assert.equal(told([answer(404)], '/'), '404');
  assert.equal(told([answer(404, 'text')], '/'), '404 text');
});

test('the eleventh search is one too many; the steps of a site never search', () => {
  const { request } = run([rewrite('^', '/a', 'last')], '/');
  const compiled = compileSteps([rewrite('^', '/a', 'last')], scope, [], (entry) => entry as unknown as CompiledRoute);
  const outcomes: StepsOutcome<CompiledRoute>[] = [];
  while (request.searches <= mostSearches) outcomes.push(runSteps(compiled, request));
  assert.deepEqual(
    outcomes.map(({ kind }) => kind),
    [...Array<string>(9).fill('search-again'), 'answer'],
  );
  assert.deepEqual(outcomes.at(-1), { kind: 'answer', route: undefined, answer: { status: 500, to: undefined, body: undefined } });
  const site = run([rewrite('^/a', '/b', 'last')], '/a', {}, 'site');
  assert.deepEqual([site.outcome.kind, site.request.path.text, site.request.searches], ['go-on', '/b', 0]);
});

test('a path made within has all its forms, also when the request was not UTF-8', () => {
  const utf8 = parsePath('/x');
  const latin = parsePath('/%E4');
  assert.ok(utf8 && latin);
  assert.deepEqual(pathFromText('/a', utf8), { raw: '/a', bytes: '/a', text: '/a' });
  assert.deepEqual(pathFromText('/ä b', utf8), { raw: '/%C3%A4%20b', bytes: '/Ã¤ b', text: '/ä b' });
  assert.deepEqual(pathFromText('/y/ä', latin), { raw: '/y/%E4', bytes: '/y/ä', text: '/y/ä' });
  assert.equal(pathFromText('/a?b#c', utf8).raw, '/a%3Fb%23c');
});

test('a step whose regular expression cannot be used is told and left out', () => {
  const problems: Problem<GatewayErrorCode>[] = [];
  const steps = [rewrite('(', '/x'), when(matches('$uri', '[', false, true), answer(403))];
  const compiled = compileSteps(steps, scope, problems, (entry) => entry as unknown as CompiledRoute);
  assert.deepEqual(
    problems.map(({ code }) => code),
    ['gateway/pattern', 'gateway/pattern'],
  );
  assert.equal(runSteps(compiled, requestOf({})).kind, 'go-on');
});
