import assert from 'node:assert/strict';
import { test } from 'node:test';
import { didYouMean, nearest } from './near.ts';

const words = ['restart', 'run', 'ready', 'stop', 'stdout'];

test('a slip of a letter or two is understood', () => {
  for (const slip of ['restrat', 'resart', 'restaart', 'Restart', 'RESTARTS']) assert.equal(nearest(slip, words), 'restart', slip);
  assert.equal(nearest('rum', words), 'run');
});

test('a word that is far from all is not guessed', () => {
  for (const word of ['memory', 'x', '']) assert.equal(nearest(word, words), undefined, word);
});

test('with two equally near words the first one is named', () => {
  assert.equal(nearest('cat', ['bat', 'hat']), 'bat');
});

test('no words, no guess', () => {
  assert.equal(nearest('run', []), undefined);
  assert.equal(didYouMean('run', []), '');
});

test('the guess is said as a question', () => {
  assert.equal(didYouMean('reddy', words), ' Did you mean "ready"?');
});

test('a very long word takes no time', () => {
  const started = performance.now();
  nearest('a'.repeat(1_000_000), words);
  assert.ok(performance.now() - started < 1000);
});
