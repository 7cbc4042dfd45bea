import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { beginning, type Link, linkAfter, type Place, parseHead, verify } from './chain.ts';

function chainOf(count: number, anchor: Place = beginning): Link[] {
  const links: Link[] = [];
  for (let index = 0; index < count; index++) {
    const before = links.at(-1) ?? anchor;
    links.push(linkAfter(before, before.seq + 1, JSON.stringify({ seq: before.seq + 1, who: '管家', what: `thing ${index}` })));
  }
  return links;
}

const why = (links: readonly Link[], anchor: Place = beginning): string => {
  const verdict = verify(links, anchor);
  return verdict.whole ? 'whole' : `${verdict.brokenAt}: ${verdict.why}`;
};

test('a hash is made of the hash before it and the text, as anybody can', () => {
  const [first, second] = chainOf(2) as [Link, Link];
  const sha = (text: string): string => createHash('sha256').update(text, 'utf8').digest('hex');
  assert.equal(first.hash, sha(`${'0'.repeat(64)}${first.text}`));
  assert.equal(second.hash, sha(`${first.hash}${second.text}`));
});

test('a chain that nobody touched is whole, from its beginning and from an anchor', () => {
  const links = chainOf(20);
  assert.deepEqual(verify(links, beginning), { whole: true, entries: 20, head: { seq: 20, hash: links[19]?.hash } });
  assert.equal(why(links.slice(5), links[4]), 'whole');
  assert.equal(why([]), 'whole');
});

test('any character of any text or hash that is altered is found, at its entry', () => {
  const links = chainOf(6);
  for (const [index, link] of links.entries())
    for (const field of ['text', 'hash'] as const)
      for (let at = 0; at < link[field].length; at++) {
        const text = link[field];
        const altered = links.with(index, { ...link, [field]: `${text.slice(0, at)}${text[at] === '0' ? '1' : '0'}${text.slice(at + 1)}` });
        assert.match(
          why(altered),
          new RegExp(`^${index + 1}: entry ${index + 1}, or its hash, was altered`),
          `${field} of ${index}, character ${at}`,
        );
      }
});

test('a missing entry, two that changed places, one that stands twice and one from another place are found', () => {
  const links = chainOf(6);
  assert.equal(why(links.toSpliced(2, 1)), '3: entries 3 to 3 are missing');
  assert.equal(why(links.slice(1)), '1: entries 1 to 1 are missing');
  assert.equal(why([...links.slice(0, 2), links[3], links[2], ...links.slice(4)] as Link[]), '3: entries 3 to 3 are missing');
  const swapped = links.with(2, { ...(links[3] as Link), seq: 3 }).with(3, { ...(links[2] as Link), seq: 4 });
  assert.match(why(swapped), /^3: entry 3, or its hash, was altered/);
  assert.match(why(links.toSpliced(3, 0, links[2] as Link)), /^3: entry 3 stands after 3/);
  const renumbered = linkAfter(links[1] as Link, 3, JSON.stringify({ seq: 9 }));
  assert.match(why([...links.slice(0, 2), renumbered]), /^3: the text of entry 3 is that of another/);
});

test('a chain that was written anew from some entry on has another head', () => {
  const links = chainOf(6);
  let before = linkAfter(links[2] as Link, 4, JSON.stringify({ seq: 4, who: 'another' }));
  const anew = [...links.slice(0, 3), before];
  for (const seq of [5, 6]) {
    before = linkAfter(before, seq, JSON.stringify({ seq }));
    anew.push(before);
  }
  const verdict = verify(anew, beginning);
  assert.equal(verdict.whole, true);
  assert.notEqual(verdict.head.hash, links[5]?.hash);
});

test('a head is read with and without its number', () => {
  const hash = 'a'.repeat(64);
  assert.deepEqual(
    [parseHead(`12:${hash}`), parseHead(` ${hash}\n`), parseHead('12'), parseHead(`${hash}0`)],
    [{ seq: 12, hash }, { hash }, undefined, undefined],
  );
});
