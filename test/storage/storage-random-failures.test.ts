/** Whatever fails, and when: what was acknowledged is there, and what was refused for want of room is not. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { requireThat } from '../../src/testing/violation.ts';
import { open, read, type Opened } from './opened.ts';
import { PuppetEngine } from './puppet-engine.ts';

const KEYS = ['a', 'b', 'c'];

type Step =
  | { readonly kind: 'put' | 'remove'; readonly key: string; readonly urgent: boolean }
  | { readonly kind: 'finish' }
  | { readonly kind: 'full' | 'broken'; readonly isKept: boolean }
  | { readonly kind: 'reserve'; readonly isHeld: boolean }
  | { readonly kind: 'restart' };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof<fc.MaybeWeightedArbitrary<Step>[]>(
    {
      weight: 8,
      arbitrary: fc.record({
        kind: fc.constantFrom('put', 'put', 'remove'),
        key: fc.constantFrom(...KEYS),
        urgent: fc.boolean(),
      }),
    },
    { weight: 5, arbitrary: fc.record({ kind: fc.constant('finish') }) },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constantFrom('full', 'full', 'full', 'broken'),
        isKept: fc.boolean(),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({ kind: fc.constant('reserve'), isHeld: fc.boolean() }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart') }) },
  ),
  { maxLength: 40, size: 'max' },
);

/** One storage after the other on the same records, beside a plain Map. */
class Run {
  #engine = new PuppetEngine();
  #opened: Opened;
  /** What was acknowledged. */
  readonly #truth = new Map<string, string>();
  /** What the batches say, by the line that acknowledges them. */
  #changes = new Map<string, readonly [key: string, text: string | undefined]>();
  #told = 0;
  #asked = 0;
  #texts = 0;
  /** Of a commit that broke nobody knows whether it is there. */
  #doubtful = new Map<string, string>();

  constructor() {
    this.#opened = open(this.#engine);
    this.#begin();
  }

  step(step: Step): void {
    const engine = this.#engine;
    switch (step.kind) {
      case 'put':
      case 'remove':
        this.#write(step.kind, step.key, step.urgent);
        break;
      case 'finish':
        if (engine.isWriting) engine.finish();
        break;
      case 'full':
      case 'broken':
        if (engine.isWriting) this.#fail(step.kind, step.isKept);
        break;
      case 'reserve':
        engine.answerReserve(step.isHeld);
        break;
      case 'restart':
        this.restart();
    }
    this.#account();
    if (!engine.isWriting && this.#opened.storage.state !== 'failed') this.#compare();
  }

  restart(): void {
    const { storage } = this.#opened;
    storage.close(() => undefined);
    while (storage.state !== 'closed') {
      if (this.#engine.isWriting) this.#engine.finish();
      else this.#engine.answerReserve(false);
    }
    this.#account();
    requireThat(this.#told === this.#asked, 'one answer', () => `${this.#told} of ${this.#asked}`);
    this.#engine = this.#engine.next();
    this.#opened = open(this.#engine);
    const found = show(this.#opened.found);
    const possible = [show(this.#truth), show(this.#doubtful)];
    requireThat(possible.includes(found), 'restart loses nothing', () => {
      return `${found}, not ${possible.join(' or ')}`;
    });
    this.#truth.clear();
    for (const [key, text] of this.#opened.found) this.#truth.set(key, text);
    this.#begin();
  }

  #begin(): void {
    this.#engine.isManual = true;
    this.#engine.canReserve = undefined;
    this.#doubtful = this.#truth;
    this.#changes = new Map();
    this.#told = 0;
    this.#asked = 0;
  }

  #write(kind: 'put' | 'remove', key: string, urgent: boolean): void {
    const text = `${kind}${++this.#texts}`;
    this.#asked++;
    this.#changes.set(text, [key, kind === 'put' ? text : undefined]);
    const { storage, log } = this.#opened;
    const batch =
      kind === 'put'
        ? { puts: [{ key, value: [Buffer.from(text)] }], deletes: [], urgent }
        : { puts: [], deletes: [key], urgent };
    storage.write(batch, (error) => log.push(error === undefined ? text : `refused ${error.code}`));
  }

  #fail(kind: 'full' | 'broken', isKept: boolean): void {
    const engine = this.#engine;
    engine.isKept = isKept;
    if (kind === 'broken' && isKept) engine.show();
    engine.fail({ kind, reason: 'so' });
    if (kind === 'full') return;
    this.#account();
    this.#doubtful = new Map(open(engine.next()).found);
  }

  /** Goes through what was told since. */
  #account(): void {
    for (const line of this.#opened.log.splice(0)) {
      const change = this.#changes.get(line);
      if (change !== undefined) {
        const [key, text] = change;
        if (text === undefined) this.#truth.delete(key);
        else this.#truth.set(key, text);
      }
      if (change !== undefined || line.startsWith('refused')) this.#told++;
    }
  }

  #compare(): void {
    const seen = new Map<string, string>();
    for (const key of KEYS) {
      const text = read(this.#opened, key) ?? 'no answer';
      if (text !== 'nothing') seen.set(key, text);
    }
    const [is, should] = [show(seen), show(this.#truth)];
    requireThat(is === should, 'reads what was acknowledged', () => `${is}, not ${should}`);
    const { records } = this.#opened.storage.status();
    requireThat(
      records === seen.size,
      'status tells the truth',
      () => `${records} of ${seen.size}`,
    );
  }
}

function show(records: ReadonlyMap<string, string>): string {
  return JSON.stringify([...records].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function runPlan(plan: readonly Step[]): void {
  const run = new Run();
  for (const step of plan) run.step(step);
  run.restart();
}

test('whatever fails, what was acknowledged is there', () => {
  const property = fc.property(steps, runPlan);
  expect(() => fc.assert(property, { numRuns: 1000, seed: 20_261_124 })).not.toThrow();
});
