import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTyping } from './hidden-input.ts';

const typed = (...keys: string[]): ReturnType<ReturnType<typeof createTyping>> => {
  const type = createTyping();
  return keys.map(type).find((outcome) => outcome !== undefined);
};

test('what is typed ends with Enter, in one piece or many', () => {
  assert.deepEqual(typed('secret\r'), { text: 'secret' });
  assert.deepEqual(typed('s', 'e', 'c\n'), { text: 'sec' });
  assert.deepEqual(typed('pässwörd 中💥', '\r'), { text: 'pässwörd 中💥' });
  assert.equal(typed('not', ' yet'), undefined);
});

test('backspace takes back a whole character, Ctrl-U all of them, Ctrl-C everything', () => {
  assert.deepEqual(typed('ab💥\x7f\x7f\r'), { text: 'a' });
  assert.deepEqual(typed('\x7f\bx\r'), { text: 'x' });
  assert.deepEqual(typed('wrong\x15right\r'), { text: 'right' });
  assert.equal(typed('abc\x03'), 'interrupted');
  assert.deepEqual(typed('abc\x04'), { text: 'abc' });
});
