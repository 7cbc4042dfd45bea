import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasOpenVariable, hasVariable, isFreeName, variablesIn, variablesOfEntry, variablesOfSite } from './text-variables.ts';

test('names are found with and without braces, in any letter case', () => {
  assert.deepEqual(variablesIn('$scheme://${Host}:8080$request_uri?a=$1&b=$$'), ['scheme', 'host', 'request_uri', '1']);
  assert.deepEqual(variablesIn('costs 5$, or $, or $0'), []);
  assert.deepEqual(variablesIn('$1foo$10${10}$_a'), ['1', '1', '10', '_a']);
  assert.ok(hasVariable('a$b') && hasVariable('${') && !hasVariable('a$') && !hasVariable('$-'));
  assert.ok(hasOpenVariable('${') && hasOpenVariable('${a-b}') && hasOpenVariable('${a') && !hasOpenVariable('${a}$'));
});

test('a file may take names that the gateway does not use', () => {
  assert.deepEqual(['mine', 'args', 'limit_rate', 'host', 'http_x', 'arg_x', '1', 'args2'].map(isFreeName), [
    true,
    true,
    true,
    false,
    false,
    false,
    false,
    true,
  ]);
});

test('a site makes variables by set, authRequest, and named groups wherever an expression stands', () => {
  const site = {
    hosts: ['~^(?<shop>.+)\\.example$', 'a.example'],
    authRequest: { uri: '/auth', set: { User: '$upstream_http_x_user' } },
    steps: [{ set: { a: '1' } }, { if: { value: '$a', matches: '(?P<b>x)' }, steps: [{ rewrite: '(?<c>y)', to: '/' }] }],
    routes: [
      {
        path: '~* (?<D>z)',
        steps: [{ if: { value: '$a', notMatchesAnyCase: '(?<e>x)' }, route: { respond: 'x', steps: [{ set: { f: '' } }] } }],
        rewriteLocation: [{ from: '~(?<g>x)', to: '/' }],
        rewriteCookies: [{ attribute: 'path' as const, from: '~*(?<h>x)', to: '/' }],
        accessExcept: { methods: ['GET'], authRequest: { uri: '/', set: { i: '' } } },
        routes: [{ path: '~ (?<j>x)' }],
      },
    ],
  };
  assert.deepEqual([...variablesOfSite(site)].sort(), ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'shop', 'user']);
  assert.deepEqual(variablesOfEntry('Kind', { from: '$uri', cases: { '~^/(?<first>\\w)': '$first', plain: 'x' } }), ['kind', 'first']);
});
