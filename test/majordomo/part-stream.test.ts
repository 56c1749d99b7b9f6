/** The parts of a streamed reply: order, bound, end and failure. */
import { describe, expect, test } from 'vitest';
import { RequestError } from '../../src/core/errors.ts';
import { encodeText, sizeOf } from '../../src/core/frames.ts';
import { PartStream } from '../../src/majordomo/client/part-stream.ts';
import { Reply } from '../../src/majordomo/payload.ts';

const part = (text: string): Reply => new Reply('echo', [encodeText(text)], false);
const final = (text: string): Reply => new Reply('echo', [encodeText(text)], true);
const failure = new RequestError('ERR_WORKER_LOST', 'echo', 'lost');

async function readAll(stream: PartStream): Promise<string[]> {
  const texts: string[] = [];
  for await (const reply of stream) texts.push(reply.text() + (reply.final ? ' (final)' : ''));
  return texts;
}

describe('a part stream', () => {
  test('yields what was pushed before, in order, and the final part', async () => {
    const stream = new PartStream(1000);
    stream.push(part('a'));
    stream.push(part('b'));
    stream.finish(final('c'));
    expect(await readAll(stream)).toEqual(['a', 'b', 'c (final)']);
  });

  test('leaves an empty final part out', async () => {
    const stream = new PartStream(1000);
    stream.push(part('a'));
    stream.finish(final(''));
    expect(await readAll(stream)).toEqual(['a']);
  });

  test('wakes a reader that waits', async () => {
    const stream = new PartStream(1000);
    const read = readAll(stream);
    for (const text of ['a', 'b']) {
      await Promise.resolve();
      stream.push(part(text));
    }
    stream.finish(final('c'));
    expect(await read).toEqual(['a', 'b', 'c (final)']);
  });

  test('refuses what a slow reader leaves unread beyond the limit, and takes more once it read', async () => {
    const stream = new PartStream(sizeOf(part('abc').body));
    expect([stream.push(part('abc')), stream.push(part('def'))]).toEqual([true, false]);
    const reader = stream[Symbol.asyncIterator]();
    expect((await reader.next()).value?.text()).toBe('abc');
    expect(stream.push(part('def'))).toBe(true);
  });

  test('takes one part of any size while there is room at all', () => {
    const stream = new PartStream(sizeOf(part('a').body) + 1);
    const pushed = ['a', 'much too long', 'b'].map((text) => stream.push(part(text)));
    expect(pushed).toEqual([true, true, false]);
  });

  test('gives what came before a failure, then throws it', async () => {
    const stream = new PartStream(1000);
    stream.push(part('a'));
    stream.fail(failure);
    const reader = stream[Symbol.asyncIterator]();
    expect((await reader.next()).value?.text()).toBe('a');
    await expect(reader.next()).rejects.toBe(failure);
  });

  test('throws a failure at a reader that waits', async () => {
    const stream = new PartStream(1000);
    const next = stream[Symbol.asyncIterator]().next();
    stream.fail(failure);
    await expect(next).rejects.toBe(failure);
  });

  test('ends once: what comes later changes nothing', async () => {
    const stream = new PartStream(1000);
    stream.finish(final('c'));
    stream.fail(failure);
    stream.finish(final('d'));
    expect(stream.push(part('e'))).toBe(true);
    expect(await readAll(stream)).toEqual(['c (final)']);
  });

  test('tells what the reader has taken, when it takes it', async () => {
    const taken: number[] = [];
    const stream = new PartStream(1000, (bytes) => taken.push(bytes));
    for (const text of ['a', 'bc']) stream.push(part(text));
    expect(taken).toEqual([]);
    const reader = stream[Symbol.asyncIterator]();
    await reader.next();
    expect(taken).toEqual([sizeOf(part('a').body)]);
    await reader.next();
    expect(taken[1]).toBe(sizeOf(part('bc').body));
  });
});
