/**
 * A Clone client and servers of a few lines, on a link that loses what it likes: whatever it shows, a
 * server had; whenever it says that it is synchronised, it is; and once nothing is lost any more it is.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { FollowerInput, FollowerOutput, WriteCommand } from '../../src/clone/commands.ts';
import { equalDigests } from '../../src/clone/digest.ts';
import { decodeText } from '../../src/core/frames.ts';
import { requireThat } from '../../src/testing/violation.ts';
import { ClientStory, PlainServer } from './client-story.ts';

type Step =
  /** Somebody else changes something. */
  | { readonly kind: 'change'; readonly what: 'set' | 'delete' | 'clear'; readonly key: string }
  /** So many of what the server says are lost, or come. */
  | { readonly kind: 'lose' | 'hear'; readonly count: number }
  /** So many of what the client says. */
  | { readonly kind: 'drop' | 'serve'; readonly count: number }
  | { readonly kind: 'write'; readonly key: string; readonly timeout: number }
  | { readonly kind: 'beat' | 'gone' | 'failover' }
  | { readonly kind: 'wait'; readonly milliseconds: number };

const KEYS = ['/x/a', '/x/b', '/x/c/d', '/y'];

const kind = <Kind extends string>(name: Kind): fc.Arbitrary<Kind> => fc.constant(name);
const key = fc.constantFrom(...KEYS);
const few = fc.integer({ min: 1, max: 4 });
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: kind('change'), what: kind('set'), key }) },
    { weight: 2, arbitrary: fc.record({ kind: kind('change'), what: kind('delete'), key }) },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: kind('change'),
        what: kind('clear'),
        key: fc.constantFrom('', '/', '/x/', '/x/c/'),
      }),
    },
    { weight: 8, arbitrary: fc.record({ kind: kind('hear'), count: few }) },
    { weight: 3, arbitrary: fc.record({ kind: kind('lose'), count: fc.constant(1) }) },
    { weight: 5, arbitrary: fc.record({ kind: kind('serve'), count: few }) },
    { weight: 1, arbitrary: fc.record({ kind: kind('drop'), count: fc.constant(1) }) },
    {
      weight: 3,
      arbitrary: fc.record({ kind: kind('write'), key, timeout: fc.constantFrom(50, 100_000) }),
    },
    {
      weight: 3,
      arbitrary: fc.record({ kind: fc.constantFrom('beat', 'beat', 'gone', 'failover') }),
    },
    {
      weight: 3,
      arbitrary: fc.record({ kind: kind('wait'), milliseconds: fc.constantFrom(1, 60, 700, 2500) }),
    },
  ),
  { maxLength: 120, size: 'max' },
);

/** How far back the history reaches. */
const HISTORY = 4;

class World {
  readonly client: ClientStory;
  server = new PlainServer();
  /** Everything any server ever had. */
  readonly #views = new Set(['']);
  /** On its way to the client, and from it. */
  #down: FollowerInput[] = [];
  #taken = 0;
  #stream = -1;
  #next = 1;
  /** Of a snapshot: the keys that are still to be sent. */
  #walk: { readonly since: number; readonly keys: string[]; count: number } | undefined;
  readonly #revisions = new Map<number, number>();
  /** Values by which writes are told apart: how often each was done. */
  readonly done: string[] = [];
  #writes = 0;

  constructor(subtree: string) {
    this.client = new ClientStory({ subtree, inFlightLimit: 3 });
    this.server.subtree = subtree;
    this.client.connect('a', 'b');
  }

  run(step: Step): void {
    switch (step.kind) {
      case 'change':
        return this.#change(() =>
          this.server.change(step.what, step.key, `${this.server.sequence}`),
        );
      case 'hear':
        for (let count = 0; count < step.count; count++) {
          this.#goOn();
          this.#hear();
        }
        return;
      case 'lose':
        this.#down.shift();
        return;
      case 'serve':
        for (let count = 0; count < step.count; count++) this.#serve();
        return;
      case 'drop':
        this.#taken = Math.min(this.#taken + 1, this.client.said.length);
        return;
      case 'write':
        this.client.set(step.key, `w${this.#writes++}`, { timeout: step.timeout });
        return this.#check();
      case 'beat':
        if (this.#stream >= 0) this.#down.push(this.server.beat(this.#walk === undefined));
        return;
      case 'gone':
        this.#cut();
        return this.#check();
      case 'failover':
        this.server = this.server.successor(this.server.epoch + 1);
        this.#cut();
        return this.#check();
      case 'wait':
        this.client.wait(step.milliseconds);
        return this.#check();
    }
  }

  /** Nothing is lost any more. */
  heal(): void {
    this.#cut();
    for (let round = 0; round < 40; round++) {
      this.client.wait(500);
      while (this.#taken < this.client.said.length) this.#serve();
      while (this.#walk !== undefined) this.#goOn();
      if (this.#stream >= 0) this.#down.push(this.server.beat());
      while (this.#down.length > 0) this.#hear();
    }
  }

  #change(make: () => FollowerInput): void {
    const before = this.server.last();
    const update = make();
    this.#views.add(this.server.view);
    if (this.#stream >= 0 && this.server.last() !== before) this.#down.push(update);
  }

  #hear(): void {
    const command = this.#down.shift();
    if (command === undefined) return;
    this.client.hear(command);
    this.#check();
  }

  /** What is said to a link that is no more is lost. */
  #cut(): void {
    this.client.gone();
    this.#down = [];
    this.#stream = -1;
    this.#walk = undefined;
    this.#taken = this.client.said.length;
  }

  #serve(): void {
    const said = this.client.said[this.#taken];
    if (said === undefined) return;
    this.#taken++;
    this.#answer(said.command);
  }

  #answer(command: FollowerOutput): void {
    if (command.type === 'write') this.#takeWrite(command);
    if (command.type !== 'follow' || command.stream <= this.#stream) return;
    const { server } = this;
    this.#stream = command.stream;
    server.stream = command.stream;
    const { position } = command;
    const reaches = position !== undefined && position.sequence >= server.sequence - HISTORY;
    this.#walk = undefined;
    if (reaches) this.#down.push(...server.continuation(position.sequence));
    else {
      this.#walk = { since: server.sequence, keys: [...server.map.keys()], count: 0 };
      this.#down.push(server.begin('snapshot'));
    }
  }

  /** One more item of a snapshot, or its end: while others change what is there. */
  #goOn(): void {
    const walk = this.#walk;
    if (walk === undefined) return;
    const next = walk.keys.shift();
    if (next === undefined) {
      this.#walk = undefined;
      this.#down.push(this.server.end(walk.count), this.server.beat());
      return;
    }
    const item = this.server.items().find(({ key: each }) => each === next);
    if (item === undefined || item.revision > walk.since) return;
    this.#down.push({ ...item, index: walk.count++ });
  }

  #takeWrite(write: WriteCommand): void {
    const { number, floor, key: to, value } = write;
    if (floor > this.#next) this.#next = floor;
    if (number > this.#next) this.#down.push({ type: 'expected', number: this.#next });
    if (number === this.#next) {
      this.#next++;
      const text = decodeText(value[0]!);
      this.done.push(text);
      this.#change(() => this.server.set(to, text));
      this.#revisions.set(number, this.server.sequence);
    }
    const revision = this.#revisions.get(number);
    if (revision === undefined) return;
    this.#down.push({ type: 'result', number, revision, isReplicated: true });
    if (this.#walk === undefined) this.#down.push(this.server.beat());
  }

  #check(): void {
    const { client, server } = this;
    const { view } = client;
    requireThat(this.#views.has(view), "the view was the server's", () => view);
    const { state, position, digest } = client.machine.status();
    if (state !== 'synchronised' || position.epoch !== server.epoch) return;
    const truth = server.views[position.sequence];
    const isEqual = position.sequence < server.sequence || equalDigests(digest, server.digest);
    requireThat(view === truth && isEqual, 'synchronised is equal', () => `${view}, not ${truth}`);
  }

  /** What became of the writes. */
  checkWrites(): void {
    const { client, done } = this;
    const outcomes = client.told('written');
    const ended = new Set(outcomes.map(({ token }) => token)).size;
    const isEnded = ended === this.#writes && outcomes.length === ended;
    requireThat(isEnded, 'every write ends once', () => client.outcomes.join());
    requireThat(new Set(done).size === done.length, 'a write is done once', () => done.join());
    const order = done.map((text) => Number(text.slice(1)));
    const isOrdered = order.every((each, index) => index === 0 || order[index - 1]! < each);
    requireThat(isOrdered, 'writes keep their order', () => done.join());
    for (const event of outcomes) {
      const isDone = done.includes(`w${event.token}`);
      const isSaid = event.outcome === 'done' || ('maybeDone' in event && event.maybeDone);
      requireThat(isSaid || !isDone, 'acknowledged is kept', () => `${event.token} was done`);
      const isKept = event.outcome !== 'done' || isDone;
      requireThat(isKept, 'acknowledged is kept', () => `${event.token} was not done`);
    }
  }
}

function check(subtree: string, seed: number, seen?: Map<string, number>): void {
  fc.assert(
    fc.property(steps, (plan) => {
      const world = new World(subtree);
      for (const step of plan) world.run(step);
      world.heal();
      expect(world.client.state).toBe('synchronised');
      expect(world.client.view).toBe(world.server.view);
      world.checkWrites();
      for (const event of world.client.events) {
        const name = 'reason' in event ? `${event.type} ${event.reason}` : event.type;
        seen?.set(name, (seen.get(name) ?? 0) + 1);
      }
    }),
    { numRuns: 400, seed },
  );
}

test('whatever is lost, everything is in the end, and nothing wrong is ever shown', () => {
  const seen = new Map<string, number>();
  check('', 20_261, seen);
  // What the plans are worth: all of this happened.
  const least = 20;
  for (const name of [
    'gapDetected',
    'gapRepaired',
    'snapshotLoaded',
    'snapshotRefused gap',
    'failedOver',
    'disconnected linkBroken',
    'ignored stale',
    'written',
  ]) {
    expect([name, (seen.get(name) ?? 0) >= least]).toEqual([name, true]);
  }
});

test('also in a subtree', () => {
  expect(check('/x/', 20_262)).toBeUndefined();
});
