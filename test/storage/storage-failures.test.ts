/** A storage whose engine fails: a full disk, a broken one, and records that go wrong while it is open. */
import { describe, expect, test } from 'vitest';
import { StorageError } from '../../src/core/errors.ts';
import type { StorageOptions } from '../../src/storage/options.ts';
import { open, put, read, remove, type Opened } from './opened.ts';
import { PuppetEngine } from './puppet-engine.ts';

const FULL = { kind: 'full', reason: 'no space left on device' } as const;
const BROKEN = { kind: 'broken', reason: 'fsync failed' } as const;

/** Opened, with `a` in it, and nothing in the log. */
function prepared(options?: StorageOptions): { engine: PuppetEngine; opened: Opened } {
  const engine = new PuppetEngine();
  const opened = open(engine, options);
  put(opened, 'a');
  opened.log.length = 0;
  engine.commits.length = 0;
  return { engine, opened };
}

/** All that a restart finds. */
function found(engine: PuppetEngine): string[] {
  return [...open(engine.next()).found.keys()];
}

describe('on a full disk', () => {
  test('what is not there after all is refused; the reserve is given back, and reads go on', () => {
    const { engine, opened } = prepared();
    engine.failures.push(FULL);
    put(opened, 'b');
    expect(opened.log).toEqual(['full', 'b: ERR_STORAGE_FULL']);
    expect(engine.calls).toEqual(['release', 'reopen', 'read !ledger']);
    expect(opened.storage.status()).toMatchObject({
      state: 'full',
      reason: 'no space left on device',
      records: 1,
    });
    expect(['a', 'b'].map((key) => read(opened, key))).toEqual(['a', 'nothing']);
    expect(found(engine)).toEqual(['a']);
  });

  test('what is there after all is acknowledged', () => {
    const { engine, opened } = prepared();
    engine.failures.push(FULL);
    engine.isKept = true;
    put(opened, 'b');
    expect(opened.log).toEqual(['full', 'b']);
    expect(engine.noted).toBe(3);
    expect(opened.storage.status()).toMatchObject({ state: 'full', records: 2 });
    expect(read(opened, 'b')).toBe('b');
    expect(found(engine)).toEqual(['a', 'b']);
  });

  test.each([true, false])('urgent ones go on, and others do not: kept %s', (isKept) => {
    const { engine, opened } = prepared();
    engine.isManual = true;
    engine.isKept = isKept;
    put(opened, 'first');
    put(opened, 'b');
    put(opened, 'urgent1', 'x', true);
    engine.finish();
    put(opened, 'c');
    put(opened, 'urgent2', 'x', true);
    engine.fail(FULL);
    expect(engine.commits.at(-1)).toEqual(isKept ? ['urgent2'] : ['urgent1', 'urgent2']);
    engine.finish();
    const refused = isKept
      ? ['full', 'c: ERR_STORAGE_FULL', 'b', 'urgent1']
      : ['full', 'c: ERR_STORAGE_FULL', 'b: ERR_STORAGE_FULL', 'urgent1'];
    expect(opened.log).toEqual(['first', ...refused, 'urgent2']);
  });

  test('an urgent one for which even the reserve does not suffice is refused', () => {
    const { engine, opened } = prepared();
    engine.failures.push(FULL, FULL);
    remove(opened, 'a');
    expect(opened.log).toEqual(['full', '-a: ERR_STORAGE_FULL']);
    expect(opened.storage.status()).toMatchObject({ state: 'full', records: 1 });
    remove(opened, 'a');
    expect(opened.log.at(-1)).toBe('-a');
    expect(found(engine)).toEqual([]);
  });

  test('each other batch asks whether there is room, and goes on if there is', () => {
    const { engine, opened } = prepared();
    engine.failures.push(FULL);
    put(opened, 'b');
    put(opened, 'c');
    expect(opened.log.splice(0)).toEqual(['full', 'b: ERR_STORAGE_FULL', 'c: ERR_STORAGE_FULL']);
    engine.canReserve = true;
    put(opened, 'd');
    expect(opened.log.splice(0)).toEqual(['open', 'd']);
    expect(engine.calls.filter((call) => call === 'reserve')).toHaveLength(2);
    engine.failures.push(FULL);
    put(opened, 'e');
    expect(opened.log).toEqual(['full', 'e: ERR_STORAGE_FULL']);
    expect(found(engine)).toEqual(['a', 'd']);
  });

  test('an urgent batch that made room opens it again', () => {
    const { engine, opened } = prepared();
    engine.failures.push(FULL);
    put(opened, 'b');
    engine.canReserve = true;
    remove(opened, 'a');
    expect(opened.log).toEqual(['full', 'b: ERR_STORAGE_FULL', '-a', 'open']);
  });

  test('nobody overtakes: who waits for word of room is refused when an urgent one comes', () => {
    const { engine, opened } = prepared();
    engine.failures.push(FULL);
    put(opened, 'b');
    engine.canReserve = undefined;
    put(opened, 'a', 'not urgent');
    put(opened, 'c');
    expect(engine.calls.filter((call) => call === 'reserve')).toHaveLength(1);
    opened.log.length = 0;
    put(opened, 'a', 'urgent', true);
    expect(opened.log).toEqual(['a: ERR_STORAGE_FULL', 'c: ERR_STORAGE_FULL', 'a']);
    put(opened, 'd');
    engine.answerReserve(true);
    expect(opened.log.slice(3)).toEqual(['open', 'd']);
    expect(read(opened, 'a')).toBe('urgent');
  });

  test('a word of room that is older than the next failure counts for nothing', () => {
    const { engine, opened } = prepared();
    engine.failures.push(FULL);
    put(opened, 'b');
    engine.canReserve = undefined;
    put(opened, 'c');
    engine.failures.push(FULL);
    remove(opened, 'a');
    opened.log.length = 0;
    put(opened, 'd');
    engine.answerReserve(true);
    expect(opened.log).toEqual(['d: ERR_STORAGE_FULL']);
    expect(opened.storage.state).toBe('full');
  });

  test('closing waits for that word, and for the second try of urgent ones', () => {
    const { engine, opened } = prepared();
    engine.failures.push(FULL);
    put(opened, 'b');
    engine.canReserve = undefined;
    put(opened, 'c');
    opened.storage.close(() => opened.log.push('end'));
    expect(engine.isOpen).toBe(true);
    engine.answerReserve(true);
    expect(opened.log.slice(2)).toEqual(['open', 'c', 'closed', 'end']);
    expect(found(engine)).toEqual(['a', 'c']);
  });

  test('reads wait while the engine is opened anew, also those that failed of it', () => {
    const { engine, opened } = prepared({ cacheBytes: 0 });
    engine.isManual = true;
    put(opened, 'b');
    const answers: (string | undefined)[] = [];
    const ask = (key: string): void =>
      opened.storage.read(key, (error, value) => answers.push(error?.code ?? `${value?.length}`));
    engine.isSlow = true;
    engine.readError = 'the database is not open';
    ask('a');
    engine.isSlow = false;
    engine.onReopen = () => {
      ask('a');
      engine.finishReads();
      engine.readError = undefined;
    };
    engine.fail(FULL);
    expect(answers).toEqual(['1', '1']);
  });

  test('that does not open again, the storage has failed', () => {
    const { engine, opened } = prepared();
    engine.failures.push(FULL);
    engine.reopenError = new StorageError('ERR_STORAGE_CORRUPT', 'no manifest');
    put(opened, 'b', 'b', true);
    expect(opened.log).toEqual(['failed', 'b: ERR_STORAGE_FAILED']);
    expect(opened.storage.status().reason).toContain('no manifest');
  });

  test.each(['missing', 'older'])('with a ledger that is %s it has failed', (how) => {
    const { engine, opened } = prepared();
    const older = engine.records.get('!ledger')!;
    put(opened, 'more');
    opened.log.length = 0;
    engine.failures.push(FULL);
    engine.onReopen = () => {
      if (how === 'missing') engine.records.delete('!ledger');
      else engine.records.set('!ledger', older);
    };
    put(opened, 'b');
    expect(opened.log).toEqual(['failed', 'b: ERR_STORAGE_FAILED']);
  });
});

describe('after a commit that failed otherwise', () => {
  test('everybody is refused for good, in order, and nothing is tried again', () => {
    const { engine, opened } = prepared();
    engine.isManual = true;
    put(opened, 'b');
    put(opened, 'c');
    put(opened, 'urgent', 'x', true);
    engine.fail(BROKEN);
    put(opened, 'd');
    remove(opened, 'a');
    const refused = ['b', 'c', 'urgent', 'd', '-a'].map((key) => `${key}: ERR_STORAGE_FAILED`);
    expect(opened.log).toEqual(['failed', ...refused]);
    expect(engine.commits).toEqual([['b']]);
    expect(engine.calls).toEqual([]);
    expect(opened.storage.status()).toMatchObject({ state: 'failed', reason: 'fsync failed' });
  });

  test('reads give what was acknowledged, or an error; never what was not', () => {
    const { engine, opened } = prepared({ cacheBytes: 0 });
    put(opened, 'changed', 'old');
    engine.isManual = true;
    put(opened, 'changed', 'new');
    engine.show();
    engine.fail(BROKEN);
    expect(['a', 'changed', 'b'].map((key) => read(opened, key))).toEqual([
      'a',
      'ERR_STORAGE_FAILED',
      'nothing',
    ]);
    engine.readError = 'gone';
    expect(read(opened, 'a')).toBe('ERR_STORAGE_FAILED');
  });

  test('those who hoped for room are refused too', () => {
    const { engine, opened } = prepared();
    engine.failures.push(FULL);
    put(opened, 'b');
    engine.isManual = true;
    remove(opened, 'a');
    engine.canReserve = undefined;
    put(opened, 'c');
    opened.log.length = 0;
    engine.fail(BROKEN);
    engine.answerReserve(true);
    expect(opened.log).toEqual(['failed', '-a: ERR_STORAGE_FAILED', 'c: ERR_STORAGE_FAILED']);
    expect(opened.storage.state).toBe('failed');
  });

  test('it closes, and opened anew has what was acknowledged', () => {
    const { engine, opened } = prepared();
    engine.failures.push(BROKEN);
    put(opened, 'b');
    opened.storage.close(() => opened.log.push('end'));
    expect(opened.log).toEqual(['failed', 'b: ERR_STORAGE_FAILED', 'closed', 'end']);
    expect(found(engine)).toEqual(['a']);
  });
});

describe('a record that goes wrong while the storage is open', () => {
  test('is quarantined when its bytes are wrong, until it is deleted or put', () => {
    const { engine, opened } = prepared({ cacheBytes: 0 });
    put(opened, 'b');
    engine.flip('a');
    engine.flip('b');
    expect(read(opened, 'a')).toBe('ERR_STORAGE_CORRUPT');
    expect(read(opened, 'b')).toBe('ERR_STORAGE_CORRUPT');
    expect(opened.storage.status()).toMatchObject({ records: 2, quarantined: ['a', 'b'] });
    engine.flip('a');
    expect(read(opened, 'a')).toBe('ERR_STORAGE_CORRUPT');
    put(opened, 'a', 'again');
    remove(opened, 'b');
    expect(['a', 'b'].map((key) => read(opened, key))).toEqual(['again', 'nothing']);
    expect(opened.storage.status()).toMatchObject({ records: 1, quarantined: [] });
    expect(found(engine)).toEqual(['a']);
  });

  test.each(['gone', 'of another time', 'unreadable'])('is never served when it is %s', (how) => {
    const { engine, opened } = prepared({ cacheBytes: 0 });
    const former = engine.records.get('a')!;
    put(opened, 'a', 'newer');
    if (how === 'gone') engine.records.delete('a');
    if (how === 'of another time') engine.records.set('a', former);
    if (how === 'unreadable') engine.readError = 'block checksum mismatch';
    expect(read(opened, 'a')).toBe('ERR_STORAGE_CORRUPT');
    expect(opened.storage.status()).toMatchObject({ state: 'open', quarantined: [] });
  });
});
