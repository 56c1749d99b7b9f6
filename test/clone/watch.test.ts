/** A watch by itself: what waits for its reader, and what becomes of it. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Watch, type WatchedChange } from '../../src/clone/client/watch.ts';
import type { CloneChange } from '../../src/clone/client-events.ts';
import { decodeText, encodeText } from '../../src/core/frames.ts';
import { failureOf } from './shells.ts';

function begin(
  settings: {
    subtree?: string;
    stale?: number;
    bufferLimit?: number;
    signal?: AbortSignal;
  } = {},
) {
  const left: Watch<string>[] = [];
  const host = {
    decode: (_key: string, bytes: Uint8Array) => decodeText(bytes),
    left: (watch: Watch<string>) => void left.push(watch),
  };
  const { subtree = '', stale = 0, bufferLimit = 1000, signal } = settings;
  const watch = new Watch<string>(host, { subtree, stale, bufferLimit, signal });
  // As its client does.
  signal?.addEventListener('abort', () => watch.abort());
  return { watch, left };
}

const set = (key: string, value: string, revision: number, former?: string): CloneChange => ({
  type: 'set',
  key,
  value: encodeText(value),
  revision,
  timeLeft: undefined,
  former: former === undefined ? undefined : encodeText(former),
});

const deleted = (key: string, revision: number, former: string): CloneChange => ({
  type: 'deleted',
  key,
  revision,
  former: encodeText(former),
});

/** What waits, in short. */
async function read(watch: Watch<string>): Promise<string[]> {
  const lines: string[] = [];
  watch.close();
  for await (const { type, key, value, former, revision, missed } of watch) {
    lines.push(`${revision} ${type} ${key} ${former ?? '-'}→${value ?? '-'} missed ${missed}`);
  }
  return lines;
}

describe('a reader', () => {
  test('gets each change in order, whether it comes before or after the change', async () => {
    const { watch } = begin();
    const first = watch.next();
    const second = watch.next();
    watch.add(set('/a', 'one', 1));
    watch.add(set('/a', 'two', 2, 'one'));
    watch.add(deleted('/a', 3, 'two'));
    expect((await first).value).toMatchObject({ value: 'one', former: undefined, revision: 1 });
    expect((await second).value).toMatchObject({ value: 'two', former: 'one', revision: 2 });
    expect(await read(watch)).toEqual(['3 deleted /a two→- missed 0']);
  });

  test('gets what is under its subtree, and what is newer than it', async () => {
    const { watch } = begin({ subtree: '/a/', stale: 1 });
    watch.addAll([set('/a/x', 'old', 1)]);
    watch.addAll([set('/a/x', '1', 1), set('/b', '2', 1)]);
    expect(await read(watch)).toEqual(['1 set /a/x -→1 missed 0']);
  });

  test('that is slow gets the last change of each key, beyond the bound', async () => {
    const { watch } = begin({ bufferLimit: 4 });
    watch.add(set('/a', 'a1', 1));
    watch.add(set('/b', 'b1', 2));
    watch.add(set('/a', 'a2', 3, 'a1'));
    watch.add(deleted('/c', 4, 'c0'));
    watch.add(set('/c', 'c1', 5));
    watch.add(set('/a', 'a3', 6, 'a2'));
    expect(await read(watch)).toEqual([
      '2 set /b -→b1 missed 0',
      '5 set /c c0→c1 missed 1',
      '6 set /a -→a3 missed 2',
    ]);
  });

  test('is not told of what came and went behind its back', async () => {
    const { watch } = begin({ bufferLimit: 1 });
    watch.add(set('/a', 'a1', 1));
    watch.add(set('/b', 'b1', 2));
    watch.add(deleted('/b', 3, 'b1'));
    watch.add(deleted('/a', 4, 'a1'));
    expect(await read(watch)).toEqual([]);
  });

  test('gets each one again once nothing waits', async () => {
    const { watch } = begin({ bufferLimit: 2 });
    for (const key of ['/a', '/b', '/c']) watch.add(set(key, '1', 1));
    for (const key of ['/a', '/b', '/c']) watch.add(deleted(key, 2, '1'));
    watch.add(set('/d', '1', 3));
    watch.add(set('/d', '2', 4, '1'));
    expect(await read(watch)).toEqual(['3 set /d -→1 missed 0', '4 set /d 1→2 missed 0']);
  });

  test('gets each one again once it has caught up', async () => {
    const { watch } = begin({ bufferLimit: 1 });
    watch.add(set('/a', 'a1', 1));
    watch.add(set('/a', 'a2', 2, 'a1'));
    await watch.next();
    watch.add(set('/a', 'a3', 3, 'a2'));
    expect((await watch.next()).value).toMatchObject({ value: 'a3', missed: 0 });
  });

  test('whose value is no such value can go on', async () => {
    const broken = {
      decode: () => {
        throw new SyntaxError('no');
      },
      left: () => {},
    };
    const settings = { subtree: '', stale: 0, bufferLimit: 9, signal: undefined };
    const watch = new Watch(broken, settings);
    watch.add(set('/a', 'x', 1));
    const { value } = await watch.next();
    expect(() => (value as WatchedChange<never>).value).toThrow('no');
    expect((value as WatchedChange<never>).revision).toBe(1);
  });
});

test('a reader who reads when he likes is told of each change by what he knows, and ends up with the map', async () => {
  const step = fc.record({
    key: fc.constantFrom('/a', '/b', '/c', '/d'),
    isSet: fc.boolean(),
    reads: fc.constantFrom(0, 0, 0, 0, 1, 3),
  });
  const steps = fc.array(step, { maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 6 }), steps, async (bufferLimit, all) => {
      const { watch } = begin({ bufferLimit });
      const map = new Map<string, string>();
      const told: ReturnType<typeof watch.next>[] = [];
      for (const [revision, { key, isSet, reads }] of all.entries()) {
        for (let count = 0; count < reads; count++) told.push(watch.next());
        const former = map.get(key);
        const value = `${revision}`;
        if (isSet) {
          map.set(key, value);
          watch.add(set(key, value, revision, former));
        } else if (map.delete(key)) watch.add(deleted(key, revision, former!));
      }
      watch.close();
      const known = new Map<string, string>();
      for (let index = 0; ; index++) {
        const { done, value: change } = await (told[index] ?? watch.next());
        if (done === true) break;
        expect(change.former).toBe(known.get(change.key));
        if (change.type === 'set') known.set(change.key, change.value);
        else known.delete(change.key);
      }
      expect(known).toEqual(map);
    }),
    { numRuns: 300, seed: 20_260 },
  );
});

describe('it ends', () => {
  test('with the loop', async () => {
    const { watch, left } = begin();
    watch.add(set('/a', '1', 1));
    watch.add(set('/a', '2', 2, '1'));
    for await (const change of watch) {
      expect(change.revision).toBe(1);
      break;
    }
    expect(left).toEqual([watch]);
    expect(await watch.next()).toEqual({ done: true, value: undefined });
    watch.add(set('/a', '3', 3, '2'));
    expect(await watch.next()).toEqual({ done: true, value: undefined });
  });

  test('when its client closes, after what waits', async () => {
    const { watch, left } = begin();
    watch.add(set('/a', '1', 1));
    watch.close();
    expect((await watch.next()).done).toBe(false);
    expect((await watch.next()).done).toBe(true);
    expect(left).toEqual([watch]);
  });

  test('when its signal aborts, with an error, once', async () => {
    const controller = new AbortController();
    const { watch, left } = begin({ signal: controller.signal });
    const waiting = failureOf(watch.next());
    controller.abort('enough');
    const error = await waiting;
    expect(error).toMatchObject({ code: 'ERR_CANCELLED', name: 'AbortError', cause: 'enough' });
    expect(await watch.next()).toEqual({ done: true, value: undefined });
    expect(left).toEqual([watch]);
  });

  test('at once if it has aborted before', async () => {
    const { watch } = begin({ signal: AbortSignal.abort() });
    expect(watch.hasEnded).toBe(true);
    expect(await failureOf(watch.next())).toMatchObject({ code: 'ERR_CANCELLED' });
  });
});
