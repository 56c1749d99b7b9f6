/** The ledger says of any history what one would say who counts all records anew. */
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodePage, encodePage, Ledger, type LedgerPage } from '../../src/storage/ledger.ts';

/** Counted anew. */
function counted(records: ReadonlyMap<string, number>): object {
  let keys = 0;
  let digest = 0;
  for (const [key, checksum] of records) {
    keys += crc32(key);
    digest += checksum >>> 0;
  }
  return { records: records.size, keys, digest };
}

const keys = fc.constantFrom('a', 'b', 'c', 'd');
const change = fc.tuple(keys, fc.option(fc.integer(), { nil: undefined }));
const step = fc.record({
  isSettled: fc.boolean(),
  changes: fc.array(change),
  quarantined: fc.option(keys, { nil: undefined }),
});

describe('a ledger', () => {
  test('agrees with a count of all records, whatever settles or is dropped', () => {
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const ledger = new Ledger();
        let records = new Map<string, number>();
        const quarantine = new Set<string>();
        const pages: LedgerPage[] = [];
        const expected: object[] = [];
        let sequence = 0;
        for (const { isSettled, changes, quarantined } of steps) {
          const next = new Map(records);
          for (const [key, checksum] of changes) {
            ledger.stage(key, checksum);
            if (checksum === undefined) next.delete(key);
            else next.set(key, checksum);
          }
          pages.push(ledger.stagedPage);
          expected.push({ sequence: sequence + 1, ...counted(next) });
          if (isSettled) {
            ledger.settle();
            sequence++;
            records = next;
            for (const [key] of changes) quarantine.delete(key);
          } else ledger.drop();
          if (quarantined !== undefined && records.has(quarantined)) {
            ledger.quarantine(quarantined, 'flipped');
            quarantine.add(quarantined);
          }
          pages.push(ledger.page);
          expected.push({ sequence, ...counted(records) });
        }
        expect(pages).toEqual(expected);
        expect(ledger.quarantined.toSorted()).toEqual([...quarantine].toSorted());
      }),
    );
  });

  test('is the same in any order', () => {
    const pages = [['a', 'b', 'c'] as const, ['c', 'a', 'b'] as const].map((order) => {
      const ledger = new Ledger();
      for (const key of order) ledger.admit(key, key.charCodeAt(0) * -7_654_321);
      return ledger.page;
    });
    expect(pages[0]).toEqual(pages[1]);
  });

  test('stays exact in a digest that goes round', () => {
    const ledger = new Ledger();
    ledger.admit('first', 1);
    for (let round = 0; round < 70_000; round++) ledger.admit(`${round}`, -1);
    const { digest } = ledger.page;
    expect(digest).toBe((1 + 70_000 * (2 ** 32 - 1)) % 2 ** 48);
    for (let round = 0; round < 70_000; round++) ledger.stage(`${round}`, undefined);
    ledger.settle();
    expect(ledger.page).toEqual({ sequence: 1, records: 1, keys: crc32('first'), digest: 1 });
  });

  test('is stored and read', () => {
    const number = fc.nat(Number.MAX_SAFE_INTEGER).map((value) => value % 2 ** 48);
    const pages: fc.Arbitrary<LedgerPage> = fc.record({
      sequence: number,
      records: number,
      keys: number,
      digest: number,
    });
    fc.assert(
      fc.property(pages, (page) => {
        expect(decodePage(encodePage(page))).toEqual(page);
      }),
    );
    expect(decodePage(undefined)).toBeUndefined();
    expect(decodePage(new Uint8Array(23))).toBeUndefined();
  });
});
