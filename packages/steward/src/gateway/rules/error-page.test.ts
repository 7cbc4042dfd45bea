import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ErrorPageSpec } from '../../config/model.ts';
import { requestOf } from '../testing-request.ts';
import { compileErrorPages, errorPageFor, errorTarget, takesHeaders } from './error-page.ts';
import { plainScope } from './variables.ts';

const pages: ErrorPageSpec[] = [
  { statuses: [404], to: '/page?x=1', status: 200 },
  { statuses: [403], to: '/page' },
  { statuses: [500, 502], to: '@named' },
  { statuses: [410], to: 'http://o.example/gone' },
  { statuses: [402], to: 'http://o.example/pay', status: 301 },
  { statuses: [401], to: '/page', status: 404 },
  { statuses: [405], to: '/ret', status: 'target' },
  { statuses: [404], to: '/never' },
  { statuses: [418], to: '/e$uri' },
  { statuses: [419], to: 'https://$host$uri', status: 404 },
];

/** What nginx 1.22 did with the same error_page lines. */
test('an error leads where its first page says', () => {
  const errorPages = compileErrorPages(pages, plainScope);
  const target = (status: number) => {
    const page = errorPageFor({ errorPages }, status);
    return page === undefined ? undefined : errorTarget(page, status, requestOf({ url: '/a%20b' }));
  };
  assert.deepEqual(target(404), { kind: 'path', path: '/page', args: 'x=1', status: 200 });
  assert.deepEqual(target(403), { kind: 'path', path: '/page', args: '', status: 403 });
  assert.deepEqual(target(502), { kind: 'named', name: 'named', status: 502 });
  assert.deepEqual(target(410), { kind: 'redirect', to: 'http://o.example/gone', status: 302 });
  assert.deepEqual(target(402), { kind: 'redirect', to: 'http://o.example/pay', status: 301 });
  assert.deepEqual(target(401), { kind: 'path', path: '/page', args: '', status: 404 });
  assert.deepEqual(target(405), { kind: 'path', path: '/ret', args: '', status: undefined });
  assert.deepEqual(target(418), { kind: 'path', path: '/e/a b', args: '', status: 418 });
  assert.deepEqual(target(419), { kind: 'redirect', to: 'https://example.com/a%20b', status: 302 });
  assert.equal(target(409), undefined);
  assert.equal(compileErrorPages([], plainScope), undefined);
});

test('headers that are not for always are for these statuses alone', () => {
  const taken = Array.from({ length: 500 }, (_, index) => index + 100).filter(takesHeaders);
  assert.deepEqual(taken, [200, 201, 204, 206, 301, 302, 303, 304, 307, 308]);
});
