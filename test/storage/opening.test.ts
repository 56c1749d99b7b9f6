/** What a storage makes of what it finds: sound, in quarantine, damaged, or not its own. */
import { describe, expect, test } from 'vitest';
import { StorageError } from '../../src/core/errors.ts';
import type { StorageOptions } from '../../src/storage/options.ts';
import { encodeRecord, trueChecksum } from '../../src/storage/record.ts';
import { frames, open, put, read, remove, tryToOpen } from './opened.ts';
import { PuppetEngine } from './puppet-engine.ts';

/** A closed engine with records `a`, `b` and `c`, as five commits left it. */
function filled(): PuppetEngine {
  const engine = new PuppetEngine();
  const opened = open(engine);
  for (const key of ['a', 'b', 'c', 'c']) put(opened, key, `${key} text`);
  opened.storage.close(() => undefined);
  return engine;
}

/** The message of a refusal, after its code; the engine must be closed by then. */
function refusal(engine: PuppetEngine, options?: StorageOptions): string {
  const { error, opened } = tryToOpen(engine, options);
  expect(opened).toBeUndefined();
  expect(engine.isOpen).toBe(false);
  return `${error?.code} ${error?.message}`;
}

const version = (number: number, name = 'records'): StorageOptions => ({
  format: { name, version: number },
});

describe('opening', () => {
  test('a fresh place writes what it is, and opens empty', () => {
    const engine = new PuppetEngine();
    const { storage, found } = open(engine);
    expect([...engine.records.keys()].toSorted()).toEqual(['!format', '!ledger']);
    expect(found.size).toBe(0);
    expect(engine.noted).toBe(1);
    expect(storage.status()).toEqual({
      state: 'open',
      reason: '',
      durability: 'fsync',
      records: 0,
      bytes: engine.size(),
      commits: 0,
      batches: 0,
      quarantined: [],
      accepted: [],
    });
  });

  test('hands over every record in order, and writes nothing', () => {
    const engine = filled().next();
    const { storage, found, log } = open(engine);
    expect([...found]).toEqual([
      ['a', 'a text'],
      ['b', 'b text'],
      ['c', 'c text'],
    ]);
    expect(storage.status()).toMatchObject({ records: 3, batches: 0 });
    expect(engine.syncs).toEqual([]);
    expect(log).toEqual([]);
  });

  test('after a crash between a commit and its note is as after the note', () => {
    const engine = filled().next();
    engine.noted--;
    expect(open(engine).found.size).toBe(3);
  });

  test('fails with what the engine says, and closes it', () => {
    const engine = new PuppetEngine();
    engine.scanError = new StorageError('ERR_STORAGE_CORRUPT', 'no manifest');
    expect(refusal(engine)).toBe('ERR_STORAGE_CORRUPT no manifest');
  });

  test.each([
    ['full', 'ERR_STORAGE_FULL'],
    ['broken', 'ERR_STORAGE_FAILED'],
  ] as const)('a fresh place on a disk that is %s fails', (kind, code) => {
    const engine = new PuppetEngine();
    engine.failures.push({ kind, reason: 'the disk' });
    expect(refusal(engine)).toContain(code);
    expect(open(engine.next()).found.size).toBe(0);
  });
});

describe('a record that fails its checksum', () => {
  test('is in quarantine: never handed over, never served, and counted', () => {
    const engine = filled().next();
    engine.flip('b');
    const opened = open(engine);
    expect([...opened.found.keys()]).toEqual(['a', 'c']);
    expect(read(opened, 'b')).toBe('ERR_STORAGE_CORRUPT');
    expect(opened.storage.status()).toMatchObject({ records: 3, quarantined: ['b'] });
    put(opened, 'd');
    opened.storage.close(() => undefined);

    const again = open(engine.next());
    expect([...again.found.keys()]).toEqual(['a', 'c', 'd']);
    expect(again.storage.status()).toMatchObject({ records: 4, quarantined: ['b'] });
    expect(read(again, 'b')).toBe('ERR_STORAGE_CORRUPT');
  });

  test.each(['put', 'delete'])('leaves it by a %s', (how) => {
    const engine = filled().next();
    engine.flip('b');
    const opened = open(engine);
    if (how === 'put') put(opened, 'b', 'mended');
    else remove(opened, 'b');
    expect(read(opened, 'b')).toBe(how === 'put' ? 'mended' : 'nothing');
    expect(opened.storage.status().quarantined).toEqual([]);
    opened.storage.close(() => undefined);
    expect(open(engine.next()).found.get('b')).toBe(how === 'put' ? 'mended' : undefined);
  });

  test('stays in it while the batch that ends it is not durable, and if that fails', () => {
    const engine = filled().next();
    engine.flip('b');
    const opened = open(engine);
    engine.isManual = true;
    put(opened, 'b', 'mended');
    expect(read(opened, 'b')).toBe('ERR_STORAGE_CORRUPT');
    engine.fail({ kind: 'full', reason: 'no space' });
    expect(read(opened, 'b')).toBe('ERR_STORAGE_CORRUPT');
    expect(opened.storage.status()).toMatchObject({ records: 3, quarantined: ['b'] });
  });

  test.each(['checksum', 'version', 'body'])(
    'is in quarantine alone, whatever its flip hit: %s',
    (part) => {
      const engine = filled().next();
      const places = { version: 0, checksum: 2, body: 20 };
      for (const key of ['a', 'b']) engine.flip(key, places[part as keyof typeof places]);
      const opened = open(engine);
      expect(opened.storage.status().quarantined).toEqual(['a', 'b']);
      put(opened, 'd');
      opened.storage.close(() => undefined);
      const again = open(engine.next());
      expect(again.storage.status().quarantined).toEqual(['a', 'b']);
      remove(again, 'a');
      remove(again, 'b');
      again.storage.close(() => undefined);
      expect([...open(engine.next()).found.keys()]).toEqual(['c', 'd']);
    },
  );

  test('may have a key that nobody could have put: it can be deleted all the same', () => {
    const engine = filled().next();
    engine.records.set('!odd\n', engine.records.get('b')!);
    engine.records.delete('b');
    const opened = open(engine, { damage: 'accept' });
    expect(opened.storage.status()).toMatchObject({ records: 3, quarantined: ['!odd\n'] });
    expect(read(opened, '!odd\n')).toBe('ERR_STORAGE_CORRUPT');
    remove(opened, '!odd\n');
    expect(opened.storage.status()).toMatchObject({ records: 2, quarantined: [] });
  });

  test.each([2, 20])('that has healed since, as after a bad read, is no damage: byte %i', (at) => {
    const engine = filled().next();
    engine.flip('b', at);
    const opened = open(engine);
    put(opened, 'd');
    opened.storage.close(() => undefined);
    const next = engine.next();
    next.flip('b', at);
    expect(open(next).found.size).toBe(4);
  });
});

describe('damage', () => {
  /** What was done to the records, and what is said of it. */
  const damages: [string, (engine: PuppetEngine) => void, string][] = [
    ['a lost record', ({ records }) => records.delete('b'), '1 of 3 records are missing'],
    [
      'a record that came back',
      ({ records }) => records.set('old', encodeRecord('old', frames('text'))),
      '1 records are there that had been deleted',
    ],
    [
      'an older record in place of one',
      ({ records }) => records.set('b', encodeRecord('b', frames('older'))),
      'some records are older than what was acknowledged',
    ],
    [
      'a lost record and one that came back',
      ({ records }) => {
        records.delete('b');
        records.set('old', encodeRecord('old', frames('text')));
      },
      'records are missing, and as many are there that should not be',
    ],
    [
      'a flipped key',
      ({ records }) => {
        records.set('e', records.get('a')!);
        records.delete('a');
      },
      'records are missing, and as many are there that should not be',
    ],
    [
      'an older record, with another in quarantine',
      (engine) => {
        engine.records.set('b', encodeRecord('b', frames('older')));
        engine.flip('a');
      },
      'some records are older than what was acknowledged',
    ],
    [
      'a record wholly overwritten',
      ({ records }) => records.get('a')!.fill(0x5a),
      'wholly overwritten',
    ],
    [
      'a record cut short',
      ({ records }) => records.set('a', new Uint8Array(3)),
      'wholly overwritten',
    ],
    [
      'a lost record, with another in quarantine',
      (engine) => {
        engine.records.delete('b');
        engine.flip('a');
      },
      '1 of 3 records are missing',
    ],
    [
      'a lost tail',
      (engine) => engine.noted++,
      'commits after number 5, up to 6, were acknowledged',
    ],
    ['a lost ledger', ({ records }) => records.delete('!ledger'), 'its ledger is missing'],
    ['a flipped ledger', (engine) => engine.flip('!ledger'), 'its ledger is corrupt'],
    ['a lost format', ({ records }) => records.delete('!format'), 'what it holds is missing'],
    ['a flipped format', (engine) => engine.flip('!format'), 'what it holds is corrupt'],
    ['the loss of all', ({ records }) => records.clear(), '5 commits were acknowledged'],
  ];

  test.each(damages)('by %s is refused, in words', (_what, damage, words) => {
    const engine = filled().next();
    damage(engine);
    const message = refusal(engine);
    expect(message).toContain('ERR_STORAGE_CORRUPT the storage is damaged: ');
    expect(message).toContain(words);
    expect(message).toContain("damage: 'accept'");
  });

  test.each(damages)('by %s is accepted as the truth, if so asked', (_what, damage) => {
    const engine = filled().next();
    damage(engine);
    const { noted } = engine;
    const accepting = open(engine, { damage: 'accept' });
    expect(accepting.storage.status().accepted.length).toBeGreaterThan(0);
    const left = [...accepting.found];
    expect(engine.noted).toBeGreaterThan(noted);
    const next = open(engine.next());
    expect(next.storage.status().accepted).toEqual([]);
    expect([...next.found]).toEqual(left);
    put(next, 'd');
    expect(open(engine.next()).found.size).toBe(left.length + 1);
  });

  test('of all that can be seen is told at once', () => {
    const engine = filled().next();
    engine.noted = 9;
    engine.records.delete('a');
    engine.records.delete('!format');
    const message = refusal(engine);
    for (const words of ['commits after number 5, up to 9', '1 of 3', 'what it holds']) {
      expect(message).toContain(words);
    }
  });

  test('is found also when it comes after a quarantine', () => {
    const engine = filled().next();
    engine.flip('a');
    const opened = open(engine);
    put(opened, 'd');
    opened.storage.close(() => undefined);
    const next = engine.next();
    next.records.set('b', encodeRecord('b', frames('older')));
    expect(refusal(next)).toContain('some records are older');
  });

  test('is not what a power cut takes from a storage that does not fsync', () => {
    const engine = new PuppetEngine();
    const opened = open(engine, { durability: 'os' });
    put(opened, 'a');
    const before = new Map(engine.records);
    put(opened, 'b');
    const next = new PuppetEngine(before);
    next.noted = engine.noted;
    expect([...open(next, { durability: 'os' }).found.keys()]).toEqual(['a']);
  });
});

describe('the format', () => {
  test.each([
    ['a newer version', version(2), version(1), 'a newer version (records 2, and this one reads'],
    ['another name', version(1, 'orders'), version(1), "holds 'orders', not 'records'"],
  ])('of %s is refused, also when damage is accepted', (_what, theirs, ours, words) => {
    const engine = new PuppetEngine();
    put(open(engine, theirs), 'a');
    const next = engine.next();
    const message = refusal(next, { ...ours, damage: 'accept' });
    expect(message).toContain('ERR_STORAGE_VERSION');
    expect(message).toContain(words);
    expect(next.syncs).toEqual([]);
    expect([...open(engine.next(), theirs).found.keys()]).toEqual(['a']);
  });

  test('of another storage keeps its records from being handed over', () => {
    const engine = new PuppetEngine();
    put(open(engine, version(1, 'orders')), 'a');
    expect(tryToOpen(engine.next()).found.size).toBe(0);
    expect(tryToOpen(engine.next(), version(1, 'orders')).found.size).toBe(1);
  });

  test('of a later version of this library is refused', () => {
    const engine = filled().next();
    const format = Buffer.from(engine.records.get('!format')!);
    format[0] = 2;
    format.writeInt32BE(trueChecksum('!format', format), 1);
    engine.records.set('!format', format);
    expect(refusal(engine)).toContain(
      'ERR_STORAGE_VERSION the storage was written by a newer version:',
    );
  });

  test('of an older version is brought up to date, so that the older one does not read it again', () => {
    const engine = new PuppetEngine();
    put(open(engine, version(1)), 'a');
    expect([...open(engine.next(), version(2)).found.keys()]).toEqual(['a']);
    expect(refusal(engine.next(), version(1))).toContain('ERR_STORAGE_VERSION');
  });
});
