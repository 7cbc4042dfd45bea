import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ValueMatch, VariableSpec } from '../../config/model.ts';
import type { Problem } from '../../config/problem.ts';
import { variableNames, variablePrefixes } from '../../config/variable-names.ts';
import type { GatewayErrorCode } from '../errors.ts';
import { requestOf } from '../testing-request.ts';
import {
  compilePattern,
  compileTemplate,
  constantOf,
  createScope,
  expand,
  expandEscaped,
  implementedVariables,
  matchPattern,
  plainScope,
  type Scope,
  variablesIn,
  variablesOf,
} from './variables.ts';

test('every variable that is documented has a value, and no other', () => {
  assert.deepEqual([...implementedVariables.names].sort(), Object.keys(variableNames).sort());
  assert.deepEqual([...implementedVariables.families].sort(), Object.keys(variablePrefixes).sort());
});

const valueIn = (text: string, request: Parameters<typeof requestOf>[0] = {}): string => expand(compileTemplate(text), requestOf(request));

test('facts of a request are read under their names', () => {
  const request = {
    url: '/a%20b?x=1&Y_z=2',
    headers: {
      host: 'Example.com:8080',
      'content-type': 'text/css',
      cookie: 'q=1; Session=abc ; name_x=5,q=1; session=2',
      'x-some-thing': 'v',
    },
    sent: { 'content-type': 'text/html', etag: '"e"' },
    received: { 'x-user': 'joe' },
    setCookies: ['other=1; Path=/', 'sid=42; Path=/'],
    hostLabel: 'shop',
    status: 9,
    pipelined: true,
    completed: true,
    requestLine: 'GET /a%20b HTTP/1.1',
  };
  const table: Record<string, string> = {
    $host: 'example.com',
    $http_host: 'Example.com:8080',
    $host_label: 'shop',
    $uri: '/a b',
    $document_uri: '/a b',
    $request_uri: '/a%20b?x=1&Y_z=2',
    '$args|$query_string|$is_args': 'x=1&Y_z=2|x=1&Y_z=2|?',
    '$arg_x|$arg_y_z|$arg_none': '1|2|',
    '$cookie_session|$cookie_name_x|$cookie_none': 'abc|5,q=1|',
    '$http_x_some_thing|$content_type|$http_none': 'v|text/css|',
    '$sent_http_content_type|$sent_http_etag': 'text/html|"e"',
    '$upstream_http_x_user|$upstream_cookie_sid|$upstream_addr': 'joe|42|of upstream_addr',
    '$remote_addr|$binary_remote_addr|$realip_remote_addr': '10.0.0.1|10.0.0.1|10.0.0.2',
    '$remote_port|$proxy_protocol_port': '50001|',
    '$https|$scheme|$ssl_protocol': '|http|of ssl_protocol',
    '$status|$pipe|$request_completion|$request': '009|p|OK|GET /a%20b HTTP/1.1',
    '${scheme}://${host}$uri': 'http://example.com/a b',
    $HOST: 'example.com',
  };
  for (const [text, value] of Object.entries(table)) assert.equal(valueIn(text, request), value, text);
  assert.match(valueIn('$time_local'), /^\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}$/);
  assert.match(valueIn('$time_iso8601'), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d$/);
  assert.match(valueIn('$msec $request_time $pid'), /^\d{10}\.\d{3} 0\.\d{3} \d+$/);
});

test('arguments are found as nginx finds them', () => {
  // [query, name, value]; the last three were looked up with nginx 1.22.
  const table: [string, string, string][] = [
    ['a=1&a=2', 'a', '1'],
    ['ba=1&a=2', 'a', '2'],
    ['a', 'a', ''],
    ['a&b=3', 'b', '3'],
    ['a=', 'a', ''],
    ['X=2&x=3', 'x', '2'],
    ['y%5fz=1', 'y_z', ''],
    ['ax=1&x=%41', 'x', '%41'],
  ];
  for (const [query, name, value] of table) assert.equal(valueIn(`$arg_${name}`, { url: `/?${query}` }), value, query);
});

test('what is no variable stays as it is', () => {
  assert.equal(valueIn('$nope ${nope} $ $$ 5$ $arg_ $10 a$'), '$nope ${nope} $ $$ 5$ $arg_ 0 a$');
  assert.deepEqual(variablesIn('$a ${B}c $1 $arg_x'), ['a', 'b', 'arg_x']);
});

test('in a URL the path is encoded', () => {
  const request = requestOf({ url: '/%0d%0aa%20%C3%A4' });
  assert.equal(expand(compileTemplate('$uri', plainScope, 'url'), request), '/%0D%0Aa%20%C3%A4');
  assert.equal(expand(compileTemplate('$uri'), request), '/\r\na ä');
});

test('a text without variables is known to be constant', () => {
  assert.equal(constantOf(compileTemplate('a $ b')), 'a $ b');
  assert.equal(constantOf(compileTemplate('')), '');
  assert.equal(constantOf(compileTemplate('$host')), undefined);
  assert.equal(
    expandEscaped(compileTemplate('"$host"'), requestOf({ host: '"' }), (value) => value.replace('"', '\\x22')),
    '"\\x22"',
  );
});

function scopeOf(specs: readonly Partial<VariableSpec>[], declared: readonly string[] = []): { scope: Scope; problems: Problem[] } {
  const problems: Problem<GatewayErrorCode>[] = [];
  const full = specs.map((spec) => ({ name: 'v', from: '$arg_m', hostnames: false, cases: [], byDefault: '', ...spec }));
  return { scope: createScope(full, declared, problems), problems };
}

const when = (text: string): ValueMatch => {
  const [, sign, pattern = ''] = /^(~\*?)(.*)$/.exec(text) ?? [];
  return sign === undefined ? { kind: 'exact', text } : { kind: 'regex', pattern, anyCase: sign === '~*' };
};

const casesOf = (cases: Record<string, string>) => Object.entries(cases).map(([text, to]) => ({ when: when(text), to }));

/** Found with nginx 1.22 and the same map. */
test('a made variable takes the first case that fits', () => {
  const cases = casesOf({ abc: 'ABC', '~^re(.)$': 'got-$1', '~*^ci(?<nm>.)$': 'ci-$nm', '': 'empty' });
  const { scope } = scopeOf([{ cases, byDefault: 'dflt' }]);
  const table: Record<string, string> = { abc: 'ABC', ABC: 'ABC', reZ: 'got-Z', ciQ: 'ci-Q', CIQ: 'ci-Q', '': 'empty', zz: 'dflt' };
  for (const [value, made] of Object.entries(table)) {
    assert.equal(expand(compileTemplate('$v', scope), requestOf({ url: `/?m=${value}` })), made, value);
  }
});

/** Found with nginx 1.22 and the same map. */
test('host names are exact, then the longest wildcard in front, then behind, then regular expressions', () => {
  const cases = casesOf({
    '.dot.example': 'dot',
    '*.star.example': 'star',
    '*.a.star.example': 'longstar',
    'pre.*': 'pre',
    'pre.x.*': 'longpre',
    'exact.example': 'ex',
    '~^r': 'reg',
  });
  const { scope } = scopeOf([{ cases, byDefault: 'd', hostnames: true }]);
  const table: Record<string, string> = {
    'dot.example': 'dot',
    'x.dot.example': 'dot',
    'q.star.example': 'star',
    'q.a.star.example': 'longstar',
    'star.example': 'd',
    'pre.z': 'pre',
    'pre.x.z': 'longpre',
    'exact.example': 'ex',
    'EXACT.example': 'ex',
    'exact.example.': 'ex',
    rrr: 'reg',
    R: 'd',
  };
  for (const [value, made] of Object.entries(table)) {
    assert.equal(expand(compileTemplate('$v', scope), requestOf({ url: `/?m=${value}` })), made, value);
  }
});

test('made variables refer to each other, are worked out once, and leave $1 as it was', () => {
  let looks = 0;
  const { scope } = scopeOf([
    { name: 'outer', from: '$inner', cases: casesOf({ '~^(i)': 'o-$1-$inner' }) },
    { name: 'inner', from: '$http_x', byDefault: 'in' },
  ]);
  const request = requestOf({});
  const counted = {
    ...request,
    header: (name: string) => {
      if (name === 'x') looks++;
      return '';
    },
  };
  variablesOf(counted).groups = ['whole', 'first'];
  assert.equal(expand(compileTemplate('$outer $outer $1', scope), counted), 'o-i-in o-i-in first');
  assert.equal(looks, 1);
});

test('variables made from themselves are empty, and told', () => {
  const { scope, problems } = scopeOf([
    { name: 'a', from: '$b', byDefault: 'x' },
    { name: 'b', byDefault: '$a' },
    { name: 'c', byDefault: '[$a]' },
  ]);
  assert.deepEqual(
    problems.map(({ message }) => message),
    ['variable "a" is made from itself', 'variable "b" is made from itself'],
  );
  assert.equal(expand(compileTemplate('$c', scope), requestOf({})), '[]');
});

test('what a step sets wins over the made value; a declared name over a family', () => {
  const { scope } = scopeOf([{ byDefault: 'made' }], ['http_x', 'unset']);
  const request = requestOf({ headers: { x: 'header' } });
  const text = compileTemplate('$v|$http_x|$unset', scope);
  assert.equal(expand(text, request), 'made||');
  variablesOf(request).values[scope.slots.get('v') ?? -1] = 'set';
  assert.equal(expand(text, request), 'set||');
});

test('groups of the last pattern are $1 to $9; those with names are variables of their own', () => {
  const { scope } = scopeOf([], ['who']);
  const pattern = compilePattern({ pattern: '^/(?P<who>[a-z]+)/(x)?', anyCase: false }, scope);
  const bare = compilePattern({ pattern: 'y', anyCase: false }, scope);
  assert.ok(typeof pattern !== 'string' && typeof bare !== 'string');
  const request = requestOf({});
  const text = compileTemplate('$who|$1|$2|$9', scope);
  assert.equal(matchPattern(pattern, '/bob/', request), true);
  assert.equal(expand(text, request), 'bob|bob||');
  assert.equal(matchPattern(pattern, '/', request), false);
  assert.equal(expand(text, request), 'bob|bob||');
  assert.equal(matchPattern(bare, 'y', request), true);
  assert.equal(expand(text, request), 'bob|||');
  assert.equal(typeof compilePattern({ pattern: '(', anyCase: false }, scope), 'string');
});
