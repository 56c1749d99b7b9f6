/** A storage whose engine does what it is asked: groups, order, reads, close, and what it refuses. */
import { describe, expect, test } from 'vitest';
import type { StorageBatch } from '../../src/core/batch.ts';
import { InvalidArgumentError } from '../../src/core/errors.ts';
import { MemoryEngine } from '../../src/storage/memory-engine.ts';
import { Storage } from '../../src/storage/storage.ts';
import { frames, open, put, read, remove } from './opened.ts';
import { PuppetEngine } from './puppet-engine.ts';

function manual(): PuppetEngine {
  const engine = new PuppetEngine();
  open(engine).storage.close(() => undefined);
  const next = engine.next();
  next.isManual = true;
  return next;
}

describe('writing', () => {
  test('goes at once while nothing is under way, and together with all that came meanwhile', () => {
    const engine = manual();
    const opened = open(engine);
    for (const key of ['a', 'b', 'c', 'd']) put(opened, key);
    expect(engine.commits).toEqual([['a']]);
    expect(opened.log).toEqual([]);
    engine.finish();
    expect(opened.log).toEqual(['a']);
    expect(engine.commits).toEqual([['a'], ['b', 'c', 'd']]);
    engine.finish();
    expect(opened.log).toEqual(['a', 'b', 'c', 'd']);
    expect(opened.storage.status()).toMatchObject({ commits: 2, batches: 4, records: 4 });
  });

  test('takes no more into one commit than its bytes, but one batch always', () => {
    const engine = manual();
    const opened = open(engine, { commitBytes: 100 });
    put(opened, 'first');
    put(opened, 'large', 'x'.repeat(1000));
    for (const key of ['a', 'b', 'c', 'd', 'e', 'f', 'g']) put(opened, key, 'x'.repeat(20));
    while (engine.isWriting) engine.finish();
    expect(engine.commits).toEqual([
      ['first'],
      ['large'],
      ['a', 'b'],
      ['c', 'd'],
      ['e', 'f'],
      ['g'],
    ]);
    expect(opened.log).toEqual(['first', 'large', 'a', 'b', 'c', 'd', 'e', 'f', 'g']);
  });

  test('lets the last of two batches in one commit count', () => {
    const engine = manual();
    const opened = open(engine);
    put(opened, 'a', '1');
    put(opened, 'a', '2');
    remove(opened, 'a');
    put(opened, 'a', '3');
    engine.finish();
    engine.finish();
    expect(read(opened, 'a')).toBe('3');
    expect(opened.storage.status().records).toBe(1);
    opened.storage.close(() => undefined);
    expect([...open(engine.next()).found]).toEqual([['a', '3']]);
  });

  test('takes what is written in an answer into one commit, behind what waits', () => {
    const engine = manual();
    const opened = open(engine);
    for (const key of ['a', 'b']) {
      opened.storage.write({ puts: [{ key, value: [] }], deletes: [] }, () => {
        opened.log.push(key);
        put(opened, `${key}2`);
      });
    }
    put(opened, 'c');
    engine.finish();
    engine.finish();
    engine.finish();
    expect(engine.commits).toEqual([['a'], ['b', 'c', 'a2'], ['b2']]);
    expect(opened.log).toEqual(['a', 'b', 'c', 'a2', 'b2']);
  });

  test('in an answer nests nothing over an engine that answers at once', () => {
    const opened = open(new MemoryEngine());
    let left = 50_000;
    const again = (): void => {
      if (left-- > 0) opened.storage.write({ puts: [], deletes: ['a'] }, again);
    };
    again();
    expect(left).toBe(-1);
    expect(opened.storage.status().batches).toBe(50_000);
  });

  test('notes each commit before anybody is told of it', () => {
    const engine = manual();
    const { storage } = open(engine);
    const noted: number[] = [];
    for (const key of ['a', 'b']) {
      storage.write({ puts: [{ key, value: [] }], deletes: [] }, () => noted.push(engine.noted));
    }
    expect(engine.noted).toBe(1);
    engine.finish();
    engine.finish();
    expect(noted).toEqual([2, 3]);
  });

  test('asks for an fsync unless the user does not; then a power cut is not noted either', () => {
    const engine = new PuppetEngine();
    put(open(engine, { durability: 'os' }), 'a');
    expect(engine.syncs).toEqual([false, false]);
    expect(engine.noted).toBe(0);
    const safe = new PuppetEngine();
    const { storage } = open(safe);
    expect(safe.syncs).toEqual([true]);
    expect(storage.status().durability).toBe('fsync');
  });

  test('an empty batch is answered when all before it is durable', () => {
    const engine = manual();
    const { storage, log } = open(engine);
    storage.write({ puts: [{ key: 'a', value: [] }], deletes: [] }, () => log.push('a'));
    storage.write({ puts: [], deletes: [] }, () => log.push('empty'));
    engine.finish();
    expect(log).toEqual(['a']);
    engine.finish();
    expect(log).toEqual(['a', 'empty']);
  });

  test('keeps values of no frames, of empty ones, and of 100 MB', () => {
    const engine = new MemoryEngine();
    const { storage } = open(engine, { cacheBytes: 0 });
    const large = Buffer.alloc(100 * 1024 * 1024, 'large');
    const values = { none: [], empty: [new Uint8Array(0), new Uint8Array(0)], large: [large] };
    for (const [key, value] of Object.entries(values)) {
      storage.write({ puts: [{ key, value }], deletes: [] }, () => undefined);
    }
    const answers: unknown[] = [];
    for (const key of ['none', 'empty']) {
      storage.read(key, (_error, value) => answers.push(value?.map(({ length }) => length)));
    }
    storage.read('large', (_error, value) => answers.push(large.equals(value![0]!)));
    expect(answers).toEqual([[], [0, 0], true]);
  });
});

describe('reading', () => {
  test('gives what is durable, and not what is being written', () => {
    const engine = manual();
    const opened = open(engine);
    put(opened, 'a', 'old');
    expect(read(opened, 'a')).toBe('nothing');
    engine.finish();
    put(opened, 'a', 'new');
    expect(read(opened, 'a')).toBe('old');
    engine.finish();
    expect(read(opened, 'a')).toBe('new');
    remove(opened, 'a');
    expect(read(opened, 'a')).toBe('new');
    engine.finish();
    expect(read(opened, 'a')).toBe('nothing');
  });

  test('asks the engine once for what was not written or read lately, and never for what is not there', () => {
    const engine = new PuppetEngine();
    put(open(engine), 'a', 'text');
    const next = engine.next();
    const opened = open(next);
    put(opened, 'b', 'other');
    expect(['a', 'a', 'b', 'c'].map((key) => read(opened, key))).toEqual([
      'text',
      'text',
      'other',
      'nothing',
    ]);
    expect(next.calls).toEqual(['read a']);
  });

  test('reads again what was changed meanwhile', () => {
    const engine = new PuppetEngine();
    const opened = open(engine, { cacheBytes: 0 });
    put(opened, 'a', 'old');
    engine.isSlow = true;
    const answers: (string | undefined)[] = [];
    opened.storage.read('a', (error, value) =>
      answers.push(error?.code ?? Buffer.from(value![0]!).toString()),
    );
    put(opened, 'a', 'new');
    engine.finishReads();
    expect(answers).toEqual([]);
    engine.finishReads();
    expect(answers).toEqual(['new']);
  });

  test('waits for a commit that the engine shows already', () => {
    const engine = manual();
    const opened = open(engine, { cacheBytes: 0 });
    put(opened, 'a', 'old');
    engine.finish();
    put(opened, 'a', 'new');
    engine.show();
    const answers: (string | undefined)[] = [];
    opened.storage.read('a', (error, value) =>
      answers.push(error?.code ?? Buffer.from(value![0]!).toString()),
    );
    expect(answers).toEqual([]);
    engine.finish();
    expect(answers).toEqual(['new']);
  });
});

describe('closing', () => {
  test('writes what was given before, refuses what comes after, and tells all who wait', () => {
    const engine = manual();
    const opened = open(engine);
    put(opened, 'a');
    put(opened, 'b');
    opened.storage.close(() => opened.log.push('first'));
    opened.storage.close(() => opened.log.push('second'));
    put(opened, 'c');
    expect(read(opened, 'a')).toBe('ERR_STORAGE_FAILED');
    engine.finish();
    expect(engine.isOpen).toBe(true);
    engine.finish();
    opened.storage.close(() => opened.log.push('third'));
    expect(opened.log).toEqual([
      'c: ERR_STORAGE_FAILED',
      'a',
      'b',
      'closed',
      'first',
      'second',
      'third',
    ]);
    expect(opened.storage.state).toBe('closed');
    expect(opened.storage.status().bytes).toBeUndefined();
    expect([...open(engine.next()).found.keys()]).toEqual(['a', 'b']);
  });

  test('waits for reads', () => {
    const engine = new PuppetEngine();
    const opened = open(engine, { cacheBytes: 0 });
    put(opened, 'a');
    engine.isSlow = true;
    opened.storage.read('a', (_error, value) => opened.log.push(`read ${value!.length}`));
    opened.storage.close(() => opened.log.push('end'));
    expect(engine.isOpen).toBe(true);
    engine.finishReads();
    expect(opened.log).toEqual(['a', 'read 1', 'closed', 'end']);
  });

  test('in an answer waits for the others of that commit', () => {
    const engine = manual();
    const opened = open(engine);
    put(opened, 'first');
    opened.storage.write({ puts: [], deletes: [] }, () =>
      opened.storage.close(() => opened.log.push('end')),
    );
    put(opened, 'last');
    engine.finish();
    engine.finish();
    expect(opened.log).toEqual(['first', 'last', 'closed', 'end']);
  });
});

describe('a batch is refused at the call', () => {
  const value = frames('text');
  test.each<[string, unknown, string]>([
    ['that is none', undefined, 'a batch must be an object'],
    ['without deletes', { puts: [] }, 'arrays puts and deletes'],
    ['with a put that is none', { puts: [undefined], deletes: [] }, 'a put has a key and a value'],
    ['with an empty key', { puts: [{ key: '', value }], deletes: [] }, 'unlike ""'],
    ['with a long key', { puts: [{ key: 'x'.repeat(513), value }], deletes: [] }, '1 to 512'],
    ["with a key of the storage's own", { puts: [], deletes: ['!ledger'] }, 'unlike "!ledger"'],
    ['with a key that is not ASCII', { puts: [], deletes: ['é'] }, 'unlike "é"'],
    ['with a line in its key', { puts: [], deletes: ['a\n'] }, 'unlike "a\\n"'],
    ['with a key that is no text', { puts: [], deletes: [7] }, 'unlike a number'],
    ['with a value that is no array', { puts: [{ key: 'a', value: 'x' }], deletes: [] }, 'of "a"'],
    ['with a frame that is text', { puts: [{ key: 'a', value: ['x'] }], deletes: [] }, 'of "a"'],
    ['with a key twice', { puts: [{ key: 'a', value }], deletes: ['b', 'a'] }, 'unlike "a"'],
  ])('%s', (_what, batch, words) => {
    const { storage, log } = open(new MemoryEngine());
    const call = (): void => storage.write(batch as StorageBatch, () => log.push('told'));
    expect(call).toThrow(InvalidArgumentError);
    expect(call).toThrow(words);
    expect(log).toEqual([]);
    expect(storage.status().batches).toBe(0);
  });

  test('and so is the key of a read, and an option', () => {
    const engine = new MemoryEngine();
    const { storage } = open(engine);
    expect(() => storage.read('!format', () => undefined)).toThrow(InvalidArgumentError);
    expect(() =>
      Storage.open(
        engine,
        { options: { cacheBytes: -1 }, each: () => undefined, onState: () => undefined },
        () => undefined,
      ),
    ).toThrow("option 'cacheBytes'");
  });
});
