import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InstanceSpec } from './config/model.ts';
import type { Change } from './config/plan.ts';
import { groupChanges } from './groups.ts';

const spec = (id: string, group: string, priority = 999): InstanceSpec => ({ id, group, priority }) as unknown as InstanceSpec;
const change = (kind: Change['kind'], id: string): Change => ({ kind, id, reasons: [] });

test('groups are new, gone, or have changed in anything', () => {
  const running = [spec('a', 'a'), spec('b:1', 'b'), spec('c', 'c'), spec('d', 'd'), spec('e:1', 'e')];
  const wanted = [spec('new', 'new', 5), spec('a', 'a'), spec('b:1', 'b'), spec('b:2', 'b'), spec('c', 'c'), spec('e:2', 'e')];
  const changes = [
    change('start', 'new'),
    change('stay', 'a'),
    change('stay', 'b:1'),
    change('start', 'b:2'),
    change('update', 'c'),
    change('start', 'e:2'),
    change('stop', 'd'),
    change('stop', 'e:1'),
    change('stop', 'gateway:1'),
  ];
  assert.deepEqual(groupChanges(running, wanted, changes), { added: ['new'], changed: ['b', 'c', 'e'], removed: ['d'] });
});

test('new groups come in the order in which they start', () => {
  const wanted = [spec('z', 'z'), spec('late', 'late', 1000), spec('a', 'a'), spec('x', 'team', 1), spec('y', 'team', 999)];
  assert.deepEqual(groupChanges([], wanted, []).added, ['team', 'a', 'z', 'late']);
});
