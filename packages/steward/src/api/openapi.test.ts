import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import { operations } from '@steward/sdk/contract/contract';
import type { Operation } from '@steward/sdk/contract/operation';
import { openApi } from './openapi.ts';
import { type Document, referencePage } from './reference-page.ts';

const document = openApi('1.2.3') as unknown as Document & Record<string, unknown>;
const described = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method, ...operation })),
);

test('the document is valid OpenAPI 3.1 by an independent validator', async () => {
  const { valid, errors } = await new Validator().validate(JSON.parse(JSON.stringify(document)));
  assert.equal(valid, true, JSON.stringify(errors ?? '').slice(0, 2000));
});

test('it has every operation once, by its name, and every field of a path as a parameter', () => {
  assert.deepEqual(described.map(({ operationId }) => operationId).toSorted(), Object.keys(operations).toSorted());
  for (const { path, parameters, operationId } of described) {
    const fields = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    const told = parameters.filter((parameter) => parameter.in === 'path').map(({ name }) => name);
    assert.deepEqual(told.toSorted(), fields.toSorted(), operationId);
  }
});

test('it says of each operation which right it needs', () => {
  for (const [name, { needs, local }] of Object.entries(operations) as [string, Operation][]) {
    const { description = '' } = described.find(({ operationId }) => operationId === name) ?? {};
    assert.match(description, local ? /control socket/ : needs === 'nothing' ? /no right/ : new RegExp(`\`${needs}\``), name);
  }
});

test('no two operations have the same method and path, and names are those of the list', () => {
  const all = Object.entries(operations) as [string, Operation][];
  assert.equal(new Set(all.map(([, { method, path }]) => `${method} ${path.replace(/:\w+/g, ':')}`)).size, all.length);
  for (const [name, operation] of all) assert.equal(operation.name, name);
});

test('the page of the reference has a section for each operation, runs no script and lets no text become markup', () => {
  const page = referencePage({
    ...document,
    info: { title: '<script>alert(1)</script>', version: '"><img src=x>' },
  });
  for (const name of Object.keys(operations)) assert.ok(page.includes(`<section id="${name}">`), name);
  assert.doesNotMatch(page, /<script|<img/);
});

test('no operation makes Steward ask an address that the caller gives', () => {
  const asks = /^(url|uri|href|address|endpoint|webhook|callback|host|hosts)$/i;
  const fieldsOf = (shape: unknown): string[] =>
    typeof shape !== 'object' || shape === null
      ? []
      : Object.entries(shape).flatMap(([key, value]) => (key === 'properties' ? Object.keys(value as object) : []).concat(fieldsOf(value)));
  const found = (Object.entries(operations) as [string, Operation][]).flatMap(([name, { query, body, params }]) =>
    [query, body, params]
      .flatMap(fieldsOf)
      .filter((field) => asks.test(field))
      .map((field) => `${name}.${field}`),
  );
  // The name of a host whose boot list is shown or run: it is looked up in the file.
  assert.deepEqual(found, ['getBoot.host', 'runBoot.host']);
});
