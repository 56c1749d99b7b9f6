/**
 * The laws of a storage, put to it over any engine by random plans, and held against a plain Map.
 *
 * Batches are written without waiting, reads go on meanwhile, and the storage is closed, or its process
 * crashes, and is opened again. A law that does not hold is a `Violation` under its name: `one answer`,
 * `answers in order`, `reads what was written`, `restart loses nothing`, `crash keeps a prefix`,
 * `scans in order`, `status tells the truth`, `noted stays`.
 */
import fc from 'fast-check';
import type { StorageBatch, StoragePut } from '../core/batch.ts';
import { equalFrames } from '../core/frames.ts';
import type { Frames } from '../core/machine.ts';
import type { Engine } from '../storage/engine.ts';
import type { StorageOptions } from '../storage/options.ts';
import { Storage } from '../storage/storage.ts';
import { requireThat } from './violation.ts';

/** Where records are while no engine is open. */
export interface StoragePlace {
  /** An engine on what is there. The one before is closed, or was crashed. */
  open(): Engine | Promise<Engine>;
  /** For engines in simulated time: lets it pass until nothing is under way any more. */
  pass?(): void;
  /** The process ends at this moment: the engine is not closed, and calls nobody any more. */
  crash?(): void | Promise<void>;
  /** Clears away. */
  remove?(): void | Promise<void>;
}

export type StorageLawStep =
  | { readonly kind: 'write'; readonly batch: StorageBatch }
  | { readonly kind: 'read'; readonly key: string }
  /** Waits until all is answered. */
  | { readonly kind: 'settle' }
  /** Closes, without waiting for answers, and opens again. */
  | { readonly kind: 'restart' }
  /** At a place that cannot crash it is a restart. */
  | { readonly kind: 'crash' };

export interface StorageLawPlan {
  readonly steps: readonly StorageLawStep[];
  readonly options: Pick<StorageOptions, 'cacheBytes' | 'commitBytes' | 'durability'>;
}

/**
 * Puts a storage over an engine to all laws by random plans; each has a fresh place.
 * @throws an error of fast-check with the smallest plan found, whose cause is the `Violation`
 */
export async function checkStorageLaws(
  open: () => StoragePlace | Promise<StoragePlace>,
  parameters?: fc.Parameters<[StorageLawPlan]>,
): Promise<void> {
  const property = fc.asyncProperty(storageLawPlans(), async (plan) => {
    const place = await open();
    try {
      await runStorageLaws(place, plan);
    } finally {
      await place.remove?.();
    }
  });
  await fc.assert(property, { includeErrorInReport: false, ...parameters });
}

/**
 * Puts a storage to all laws by one plan.
 * @throws Violation naming the law
 */
export async function runStorageLaws(place: StoragePlace, plan: StorageLawPlan): Promise<void> {
  const run = new StorageLawRun(place, plan);
  await run.open();
  for (const step of plan.steps) await run.step(step);
  await run.step({ kind: 'settle' });
  await run.step({ kind: 'restart' });
  await run.end();
}

/** Of every order, and as awkward as keys may be. */
const KEYS = ['request:0', 'request:00', 'reply:0', ' ', '~', 'A', 'a', '"', 'x'.repeat(512)];

/** Around the sizes at which memory is handed out differently. */
const LARGE_FRAMES = [4095, 4096, 70_000].map((length) => new Uint8Array(length).fill(0xa5));

/** Plans for `runStorageLaws`. */
export function storageLawPlans(maxLength = 30): fc.Arbitrary<StorageLawPlan> {
  const frame = fc.oneof(
    { weight: 6, arbitrary: fc.uint8Array({ maxLength: 20 }) },
    { weight: 1, arbitrary: fc.constantFrom(...LARGE_FRAMES) },
  );
  const change = fc.record({
    key: fc.constantFrom(...KEYS),
    value: fc.option(fc.array(frame, { maxLength: 4 }), { nil: undefined }),
  });
  const batch = fc
    .tuple(fc.uniqueArray(change, { maxLength: 4, selector: ({ key }) => key }), fc.boolean())
    .map(([changes, urgent]) => batchOf(changes, urgent));
  const step = fc.oneof<fc.MaybeWeightedArbitrary<StorageLawStep>[]>(
    { weight: 8, arbitrary: fc.record({ kind: fc.constant('write'), batch }) },
    {
      weight: 4,
      arbitrary: fc.record({ kind: fc.constant('read'), key: fc.constantFrom(...KEYS) }),
    },
    { weight: 2, arbitrary: fc.constant({ kind: 'settle' }) },
    { weight: 1, arbitrary: fc.constant({ kind: 'restart' }) },
    { weight: 1, arbitrary: fc.constant({ kind: 'crash' }) },
  );
  return fc.record({
    steps: fc.array(step, { maxLength, size: 'max' }),
    options: fc.record({
      cacheBytes: fc.constantFrom(0, 1000, 1_000_000),
      commitBytes: fc.constantFrom(1, 1000, 1_000_000),
      durability: fc.constantFrom('fsync', 'os'),
    }),
  });
}

interface Change {
  readonly key: string;
  /** Undefined deletes. */
  readonly value: Frames | undefined;
}

function batchOf(changes: readonly Change[], urgent: boolean): StorageBatch {
  const puts: StoragePut[] = [];
  const deletes: string[] = [];
  for (const { key, value } of changes) {
    if (value === undefined) deletes.push(key);
    else puts.push({ key, value });
  }
  return { puts, deletes, urgent };
}

type Records = ReadonlyMap<string, Frames>;

/** A read, and between which two numbers of batches it happened. */
interface ReadOutcome {
  readonly key: string;
  readonly value: Frames | undefined;
  readonly error: Error | undefined;
  readonly from: number;
  readonly to: number;
}

class StorageLawRun {
  readonly #place: StoragePlace;
  readonly #options: StorageOptions;
  #engine: Engine | undefined;
  #storage: Storage | undefined;
  /** All records after so many batches. */
  #states: Records[] = [new Map()];
  /** The numbers of batches in the order of their answers. */
  #answers: number[] = [];
  #failures: Error[] = [];
  #reads: ReadOutcome[] = [];
  #underWay = 0;
  #wake: (() => void) | undefined;
  #noted = 0;

  constructor(place: StoragePlace, { options }: StorageLawPlan) {
    this.#place = place;
    this.#options = options;
  }

  /** Opens, and returns what was handed over. */
  async open(): Promise<Records> {
    const found = new Map<string, Frames>();
    const keys: string[] = [];
    const engine = await this.#place.open();
    this.#engine = engine;
    await this.#until((done) =>
      Storage.open(
        engine,
        {
          options: this.#options,
          each: (key, value) => {
            keys.push(key);
            found.set(key, value);
          },
          onState: () => undefined,
        },
        (error, storage) => {
          if (error !== undefined) this.#failures.push(error);
          this.#storage = storage;
          done();
        },
      ),
    );
    const [failure] = this.#failures;
    requireThat(failure === undefined, 'restart loses nothing', () => `refused: ${failure}`);
    requireThat(
      keys.every((key, index) => index === 0 || keys[index - 1]! < key),
      'scans in order',
      () => keys.join(', '),
    );
    requireThat(engine.noted >= this.#noted, 'noted stays', () => {
      return `${this.#noted} was noted, and is ${engine.noted}`;
    });
    this.#noted = engine.noted;
    return found;
  }

  async step(step: StorageLawStep): Promise<void> {
    switch (step.kind) {
      case 'write':
        return this.#write(step.batch);
      case 'read':
        return this.#read(step.key);
      case 'settle':
        await this.#idle();
        return this.#checkSettled();
      case 'restart':
        return this.#restart();
      case 'crash':
        return this.#place.crash === undefined ? this.#restart() : this.#crash();
    }
  }

  async end(): Promise<void> {
    await this.#until((done) => this.#storage!.close(done));
  }

  #write(batch: StorageBatch): void {
    const records = new Map(this.#states.at(-1));
    for (const { key, value } of batch.puts) records.set(key, value);
    for (const key of batch.deletes) records.delete(key);
    const number = this.#states.push(records) - 1;
    this.#underWay++;
    this.#storage!.write(batch, (error) => {
      this.#answers.push(number);
      if (error !== undefined) this.#failures.push(error);
      this.#answered();
    });
  }

  #read(key: string): void {
    const from = this.#answers.length;
    this.#underWay++;
    this.#storage!.read(key, (error, value) => {
      this.#reads.push({ key, value, error, from, to: this.#states.length - 1 });
      this.#answered();
    });
  }

  #answered(): void {
    if (--this.#underWay === 0) this.#wake?.();
  }

  async #restart(): Promise<void> {
    this.#noted = this.#engine!.noted;
    await this.#until((done) => this.#storage!.close(done));
    requireThat(this.#underWay === 0, 'one answer', () => `${this.#underWay} are missing`);
    this.#checkAnswers();
    const found = await this.open();
    const expected = this.#states.at(-1)!;
    requireThat(
      equalRecords(found, expected),
      'restart loses nothing',
      () => `${show(found)} is there, not ${show(expected)}`,
    );
    this.#begin(expected);
  }

  async #crash(): Promise<void> {
    this.#checkReads();
    this.#noted = this.#engine!.noted;
    await this.#place.crash!();
    this.#underWay = 0;
    const acknowledged = this.#answers.length;
    const found = await this.open();
    const survivor = this.#states.findLast(
      (records, number) => number >= acknowledged && equalRecords(found, records),
    );
    requireThat(survivor !== undefined, 'crash keeps a prefix', () => {
      return `${show(found)} is there after ${acknowledged} of ${this.#states.length - 1} batches`;
    });
    this.#begin(survivor);
  }

  /** A new life, with these records. */
  #begin(records: Records): void {
    this.#states = [records];
    this.#answers = [];
  }

  #checkSettled(): void {
    this.#checkAnswers();
    const { state, records, batches, quarantined } = this.#storage!.status();
    const expected = this.#states.at(-1)!.size;
    requireThat(
      state === 'open' &&
        records === expected &&
        batches === this.#answers.length &&
        quarantined.length === 0,
      'status tells the truth',
      () =>
        `${state}, ${records} of ${expected} records, ${batches} batches, quarantined: ${quarantined.join(', ')}`,
    );
  }

  #checkAnswers(): void {
    const [failure] = this.#failures;
    requireThat(failure === undefined, 'one answer', () => `refused: ${failure}`);
    requireThat(
      this.#answers.every((number, index) => number === index + 1),
      'answers in order',
      () => this.#answers.join(', '),
    );
    requireThat(this.#answers.length === this.#states.length - 1, 'one answer', () => {
      return `${this.#answers.length} answers to ${this.#states.length - 1} batches`;
    });
    this.#checkReads();
  }

  /** Each read gave what was so at some time between its question and its answer. */
  #checkReads(): void {
    for (const { key, value, error, from, to } of this.#reads) {
      requireThat(error === undefined, 'reads what was written', () => `${key}: ${error}`);
      const isTrue = this.#states
        .slice(from, to + 1)
        .some((records) => equalValues(records.get(key), value));
      requireThat(isTrue, 'reads what was written', () => {
        return `${key} was read between ${from} and ${to} as ${showValue(value)}`;
      });
    }
    this.#reads = [];
  }

  async #idle(): Promise<void> {
    this.#place.pass?.();
    if (this.#underWay === 0) return;
    requireThat(
      this.#place.pass === undefined,
      'one answer',
      () => `${this.#underWay} are missing`,
    );
    await new Promise<void>((resolve) => (this.#wake = resolve));
    this.#wake = undefined;
  }

  /** Waits for something that calls back once. */
  async #until(begin: (done: () => void) => void): Promise<void> {
    let isDone = false;
    await new Promise<void>((resolve) => {
      begin(() => {
        isDone = true;
        resolve();
      });
      if (this.#place.pass === undefined) return;
      this.#place.pass();
      resolve();
    });
    requireThat(isDone, 'one answer', () => 'it was opened, or closed, and nobody was told');
  }
}

function equalValues(a: Frames | undefined, b: Frames | undefined): boolean {
  return a === undefined || b === undefined ? a === b : equalFrames(a, b);
}

function equalRecords(a: Records, b: Records): boolean {
  return a.size === b.size && [...a].every(([key, value]) => equalValues(value, b.get(key)));
}

function show(records: Records): string {
  const entries = [...records].map(([key, value]) => `${key.slice(0, 10)} = ${showValue(value)}`);
  return `{ ${entries.join(', ')} }`;
}

function showValue(value: Frames | undefined): string {
  if (value === undefined) return 'nothing';
  return `[${value.map((frame) => Buffer.from(frame.subarray(0, 8)).toString('hex')).join(' ')}]`;
}
