/** Looking for other Titanics, by the clock of the test. */
import { expect, test } from 'vitest';
import { RivalWatch } from '../../src/titanic/rival-watch.ts';

const OTHERS = { waiting: 0, stalled: 0, running: 0, credit: 0, queued: 0 };

class Story {
  /** Sessions of `titanic.submit` at each look; undefined: no answer. */
  readonly counts: (number | undefined)[];
  readonly found: number[] = [];
  #callback: (() => void) | undefined;
  readonly watch = new RivalWatch({
    client: {
      services: async () => {
        const workers = this.counts.shift();
        if (workers === undefined) throw new Error('no answer');
        return [
          { name: 'upper', workers: 7, ...OTHERS },
          { name: 'titanic.submit', workers, ...OTHERS },
        ];
      },
    },
    clock: {
      now: () => 0,
      wakeAt: (_at, callback) => {
        this.#callback = callback;
        return () => (this.#callback = undefined);
      },
      atTurnEnd: (callback) => callback(),
    },
    interval: 1000,
    found: (titanics) => this.found.push(titanics),
  });

  constructor(...counts: (number | undefined)[]) {
    this.counts = counts;
  }

  get isArmed(): boolean {
    return this.#callback !== undefined;
  }

  /** Lets the interval pass, and the look be over. */
  async look(): Promise<void> {
    const callback = this.#callback;
    this.#callback = undefined;
    callback?.();
    await new Promise((resolve) => setImmediate(resolve));
  }

  async lookAll(): Promise<void> {
    this.watch.start();
    while (this.counts.length > 0) await this.look();
  }
}

test.each([
  ['one alone', [1, 1, 1, 1], []],
  ['two that are there to stay', [2, 2, 2, 2], [2]],
  ['the last session of one that died', [2, 1, 2, 1], []],
  ['a third one', [1, 2, 3], [3]],
  ['a broker that does not say', [2, undefined, 2, undefined], []],
  ['one that left and came again', [2, 2, 1, 2, 2], [2, 2]],
])('of %s', async (_name, counts, found) => {
  const story = new Story(...counts);
  await story.lookAll();
  expect(story.found).toEqual(found);
  expect(story.isArmed).toBe(true);
});

test('ends when it is told to, also in the middle of a look', async () => {
  const story = new Story(2, 2);
  story.watch.start();
  await story.look();
  const looked = story.look();
  story.watch.stop();
  await looked;
  expect(story.found).toEqual([]);
  expect(story.isArmed).toBe(false);
});
