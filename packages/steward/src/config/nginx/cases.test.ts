import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { readCases, surroundingsOf } from '../golden.ts';
import { formatProblems } from '../problem.ts';
import { readNginx } from './nginx.ts';

for (const golden of readCases(join(import.meta.dirname, 'cases'), '/etc/nginx', 'site.conf')) {
  test(`nginx: ${golden.name}`, () => {
    const { config, problems, sources, folder } = readNginx(golden.sources[0], surroundingsOf(golden.sources));
    assert.equal(formatProblems(problems, sources), golden.problems);
    if (golden.config !== undefined) assert.deepEqual(config, golden.config);
    assert.equal(folder, '/etc/nginx');
  });
}
