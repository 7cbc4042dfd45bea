import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashKind, isSlow, verifyPassword } from './passwords.ts';

/** Made with `htpasswd -nb`, `openssl passwd` and crypt(3) of glibc. */
const made: readonly (readonly [kind: string, password: string, hash: string])[] = [
  ['md5-crypt', 'pa ss:wörd', '$1$abcdefgh$JyLqI2GGUl0if2lu7dYvB/'],
  ['apr1', 'pa ss:wörd', '$apr1$abcdefgh$4kwWpt/ljvZMI.U5YgsaH/'],
  ['apr1', 'pa ss:wörd', '$apr1$CXkXtHMs$1/wokdlNFoE6YqkivIsen/'],
  ['sha256-crypt', 'pa ss:wörd', '$5$abcdefgh$Mm1r/LjyAKL6Y2LESGPxuffhx8Ak5.ETYKlUpRvTA7D'],
  ['sha256-crypt', 'xx', '$5$//fnWPrnxTjo73Kw$Dwo7Lu4q2sQYsZVb2W0GxWt/43wCi/RuOAOrpKPrLEB'],
  ['sha256-crypt', 'a'.repeat(100), '$5$x$2Bj4hxpwCYDap2E9mUKBUy1vwLSpfX./wV5XElIIsm.'],
  ['sha256-crypt', 'x', '$5$rounds=1500$saltsaltsaltsalt$dwqX2NPC5FsnFweaNzgbZPUu24wHyTcMlcCMEm1pytA'],
  ['sha512-crypt', 'pa ss:wörd', '$6$abcdefgh$Kz7QXXtI0IgYBmxFR42IcBBqyrNwSuHC7dE/gva2nmQWnCGjDpx8lbS1c6tjQ2R.Bq6dao6S6CfqJtcPwslfi/'],
  ['sha512-crypt', 'x', '$6$rounds=1500$saltsalt$WiCPofcfPMjy3wafuteDzRSATw3eg736vRJM418S4LBxW6V6gOHYpDiHsjhJjlL5uELLX4HXDAqk/V8SJy4.R1'],
  ['bcrypt', 'pa ss:wörd', '$2y$05$4O/zG8f1L8acvoBtDQWc8O/VOyvSQYWEu8aofj1q5rN.FQ6lf5AAG'],
  ['sha1', 'pa ss:wörd', '{SHA}kniYfDOveJALlwGbJH1veyGzBwU='],
  ['salted-sha1', 'pa ss:wörd', '{SSHA}aL3W0zgSGi2wToQachva1rWQXNVzYWx0eQ=='],
  ['plain', 'pa ss:wörd', '{PLAIN}pa ss:wörd'],
];

test('a password is known by hashes that htpasswd, openssl and crypt(3) made, and no other password is', () => {
  for (const [kind, password, hash] of made) {
    assert.equal(hashKind(hash), kind, hash);
    assert.equal(verifyPassword(password, hash), true, hash);
    assert.equal(verifyPassword(`${password}x`, hash), false, hash);
    assert.equal(verifyPassword('', hash), false, hash);
    assert.equal(verifyPassword(password, hash.slice(0, -4)), false, hash);
  }
});

test('DES hashes, plain texts and unknown forms are refused with what to do', () => {
  const refused: Record<string, RegExp> = {
    yTeNXbhsNLAvI: /DES hash.*htpasswd -B/,
    secret: /none of bcrypt/,
    $y$j9T$abc$def: /none of/,
    '': /none of/,
  };
  for (const [hash, reason] of Object.entries(refused)) {
    const kind = hashKind(hash);
    assert.ok(typeof kind === 'object');
    assert.match(kind.refused, reason);
    assert.equal(verifyPassword('pass', hash), false);
  }
});

test('only hashes of microseconds are looked at in the turn of a request', () => {
  assert.deepEqual(
    (['plain', 'sha1', 'salted-sha1', 'apr1', 'md5-crypt', 'bcrypt', 'sha256-crypt', 'sha512-crypt'] as const).filter(isSlow),
    ['apr1', 'md5-crypt', 'bcrypt', 'sha256-crypt', 'sha512-crypt'],
  );
});
