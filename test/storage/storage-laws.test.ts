/** The storage's laws hold over engines in memory, at once and later; and find engines that break them. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Engine, Operation } from '../../src/storage/engine.ts';
import { MemoryEngine } from '../../src/storage/memory-engine.ts';
import {
  checkStorageLaws,
  runStorageLaws,
  type StorageLawPlan,
  type StoragePlace,
} from '../../src/testing/storage-laws.ts';
import { Violation } from '../../src/testing/violation.ts';
import { PuppetEngine } from './puppet-engine.ts';

const SEED = 20_261_123;

function memory(): StoragePlace {
  const engine = new MemoryEngine();
  return { open: () => engine, crash: () => undefined };
}

/** Everything takes a while; a crash keeps the commit under way, or not. */
class LaterEngine extends PuppetEngine {
  readonly #isOver: () => boolean;

  constructor(before: PuppetEngine | undefined, isOver: () => boolean) {
    super(before?.records);
    this.noted = before?.noted ?? 0;
    this.isManual = true;
    this.isSlow = true;
    this.#isOver = isOver;
  }

  override commit(...[operations, sync, done]: Parameters<Engine['commit']>): void {
    super.commit(operations, sync, done);
    this.#later(() => this.isWriting && this.finish());
  }

  override read(...[key, done]: Parameters<Engine['read']>): void {
    super.read(key, done);
    this.#later(() => this.finishReads());
  }

  #later(happen: () => void): void {
    setImmediate(() => {
      if (!this.#isOver()) happen();
    });
  }
}

function later(Kind: typeof LaterEngine = LaterEngine): StoragePlace {
  let engine: PuppetEngine | undefined;
  let lives = 0;
  return {
    open: () => {
      const life = ++lives;
      engine = new Kind(engine, () => life !== lives);
      return engine;
    },
    crash: () => {
      lives++;
      if (engine?.isWriting === true && lives % 2 === 0) engine.keep();
    },
  };
}

const put = (key: string, byte: number) => ({
  kind: 'write' as const,
  batch: { puts: [{ key, value: [Uint8Array.of(byte)] }], deletes: [] },
});

/** The place of one engine that is wrong in one way. */
function flawed(flaw: (engine: MemoryEngine) => Partial<Engine>): StoragePlace {
  const engine = new MemoryEngine();
  const bound = {
    scan: engine.scan.bind(engine),
    commit: engine.commit.bind(engine),
    read: engine.read.bind(engine),
    reopen: engine.reopen.bind(engine),
    release: engine.release.bind(engine),
    reserve: engine.reserve.bind(engine),
    note: engine.note.bind(engine),
    size: engine.size.bind(engine),
    close: engine.close.bind(engine),
  };
  const whole: Engine = Object.defineProperties(
    { ...bound, noted: 0 },
    {
      noted: { get: () => engine.noted },
      ...Object.getOwnPropertyDescriptors(flaw(engine)),
    },
  );
  return { open: () => whole, crash: () => undefined };
}

/** Writes the ledger alone. */
const lossy = (): StoragePlace =>
  flawed((engine) => ({
    commit: (operations, sync, done) => engine.commit(ledgerOnly(operations), sync, done),
  }));

const ledgerOnly = (operations: readonly Operation[]): readonly Operation[] =>
  operations.filter(({ key }) => key.startsWith('!'));

describe('the laws hold over an engine', () => {
  test('that answers at once', async () => {
    const checked = checkStorageLaws(memory, { numRuns: 200, seed: SEED });
    await expect(checked).resolves.toBeUndefined();
  });

  test('that answers later', async () => {
    const checked = checkStorageLaws(() => later(), { numRuns: 200, seed: SEED });
    await expect(checked).resolves.toBeUndefined();
  });
});

describe('the laws find an engine that', () => {
  const settle = { kind: 'settle' as const };
  const restart = { kind: 'restart' as const };
  const plan: StorageLawPlan = {
    steps: [put('a', 1), put('a', 2), put('A', 3), settle, { kind: 'read', key: 'a' }, settle],
    options: { cacheBytes: 0, commitBytes: 1000 },
  };
  const crashing = { ...plan, steps: [...plan.steps, { kind: 'crash' as const }] };

  async function lawBrokenBy(place: StoragePlace, of = plan): Promise<string> {
    try {
      await runStorageLaws(place, of);
    } catch (error) {
      if (error instanceof Violation) return error.invariant;
      throw error;
    }
    return 'none';
  }

  test('has no flaw: none', async () => {
    expect(await lawBrokenBy(flawed(() => ({})))).toBe('none');
    expect(await lawBrokenBy(later())).toBe('none');
    expect(await lawBrokenBy(later(), crashing)).toBe('none');
  });

  test('forgets an answer', async () => {
    const place = flawed((engine) => ({
      commit: (operations, sync, done) =>
        engine.commit(operations, sync, engine.noted < 2 ? done : () => undefined),
    }));
    expect(await lawBrokenBy({ ...place, pass: () => undefined })).toBe('one answer');
  });

  test('says that a commit failed', async () => {
    const place = flawed((engine) => ({
      commit: (operations, sync, done) =>
        engine.noted < 2
          ? engine.commit(operations, sync, done)
          : done({ kind: 'broken', reason: 'so' }),
    }));
    expect(await lawBrokenBy(place)).toBe('one answer');
  });

  test('scans in another order', async () => {
    const place = flawed((engine) => ({
      scan: (each, done) => {
        const all: [string, Uint8Array][] = [];
        engine.scan(
          (key, value) => all.push([key, value]),
          () => undefined,
        );
        for (const [key, value] of all.toReversed()) each(key, value);
        done(undefined);
      },
    }));
    expect(await lawBrokenBy(place)).toBe('scans in order');
  });

  test('gives a record that is not the last', async () => {
    let first: Uint8Array | undefined;
    const place = flawed((engine) => ({
      commit: (operations, sync, done) => {
        first ??= operations.find(({ key }) => key === 'a')?.value;
        engine.commit(operations, sync, done);
      },
      read: (_key, done) => done(undefined, first),
    }));
    expect(await lawBrokenBy(place)).toBe('reads what was written');
  });

  test('loses what it acknowledged', async () => {
    const unread = { ...plan, steps: [put('a', 1), settle, restart] };
    expect(await lawBrokenBy(lossy(), unread)).toBe('restart loses nothing');
  });

  test('loses commits as a whole', async () => {
    const place = flawed((engine) => ({
      commit: (operations, sync, done) =>
        engine.noted < 1 ? engine.commit(operations, sync, done) : done(undefined),
    }));
    const unread = { ...plan, steps: [put('a', 1), settle, restart] };
    expect(await lawBrokenBy(place, unread)).toBe('restart loses nothing');
  });

  test('forgets what was noted', async () => {
    let lives = 0;
    const place = flawed((engine) => ({
      close: (done) => {
        lives++;
        done();
      },
      get noted() {
        return lives > 0 ? 0 : engine.noted;
      },
    }));
    expect(await lawBrokenBy(place)).toBe('noted stays');
  });

  test('loses an acknowledged commit in a crash, ledger and all', async () => {
    class Forgetful extends LaterEngine {
      override note(): void {}
      override finish(): void {
        const before = new Map(this.records);
        super.finish();
        // The last one was never there.
        if (this.commits.length < 2) return;
        this.records.clear();
        for (const [key, value] of before) this.records.set(key, value);
      }
    }
    const unread = { ...plan, steps: [put('a', 1), settle, { kind: 'crash' as const }] };
    expect(await lawBrokenBy(later(Forgetful), unread)).toBe('crash keeps a prefix');
  });

  test('fails at random, with the smallest plan', async () => {
    const failure: unknown = await checkStorageLaws(lossy, { numRuns: 100, seed: SEED }).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(failure).toBeInstanceOf(Error);
    expect((failure as Error).cause).toBeInstanceOf(Violation);
    expect(fc.stringify(failure)).toContain('Counterexample');
  });
});
