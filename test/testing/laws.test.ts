/** The law checks themselves: a small machine that keeps the laws passes, each planted flaw is named. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Codec } from '../../src/core/codec.ts';
import { fingerprintOf } from '../../src/core/fingerprint.ts';
import type { Address, Instant, Machine, Outbox } from '../../src/core/machine.ts';
import { checkLaws, lawSteps, type LawInput, type LawSubject } from '../../src/testing/laws.ts';
import { Violation } from '../../src/testing/violation.ts';

type Flaw =
  | 'timeout stays due'
  | 'early timeout speaks'
  | 'early timeout changes the state'
  | 'throws on an empty message'
  | 'throws on a call'
  | 'keeps borrowed bytes'
  | 'draws from a global'
  | 'forgets the bound'
  | 'forgets an outcome'
  | 'ends twice'
  | 'ends what was never asked';

interface Call {
  readonly id: number;
}
type Event = { readonly type: 'done' | 'refused'; readonly id: number } | { readonly type: 'tick' };

const LIMIT = 3;
const DURATION = 10;
let draws = 0;

/** Answers each call after a while, three at a time, and echoes the last message it got. */
class Toy implements Machine<'wire', Uint8Array, Call> {
  readonly state = {
    pending: new Map<number, { dueAt: Instant }>(),
    last: new Uint8Array(0) as Uint8Array,
    early: 0,
  };
  readonly #outbox: Outbox<'wire', Uint8Array, Event>;
  readonly #flaw: Flaw | undefined;

  constructor(outbox: Outbox<'wire', Uint8Array, Event>, flaw: Flaw | undefined) {
    this.#outbox = outbox;
    this.#flaw = flaw;
  }

  get nextTimeout(): Instant {
    return Math.min(...[...this.state.pending.values()].map(({ dueAt }) => dueAt));
  }

  fingerprint(now: Instant): string {
    return fingerprintOf(this.state, now);
  }

  handleCommand(_now: Instant, _port: 'wire', from: Address, bytes: Uint8Array): void {
    if (this.#flaw === 'throws on an empty message' && bytes.length === 0) throw new Error('empty');
    this.#outbox.send('wire', from, this.state.last);
    this.state.last = this.#flaw === 'keeps borrowed bytes' ? bytes : Uint8Array.from(bytes);
  }

  handleCall(now: Instant, { id }: Call): void {
    const { pending } = this.state;
    if (this.#flaw === 'throws on a call' && pending.size > 0) throw new Error('busy');
    if (pending.size >= LIMIT && this.#flaw !== 'forgets the bound') {
      return this.#outbox.emit({ type: 'refused', id });
    }
    const extra = this.#flaw === 'draws from a global' ? ++draws : 0;
    pending.set(id, { dueAt: now + DURATION + extra });
  }

  handleTimeout(now: Instant): void {
    if (now < this.nextTimeout) {
      if (this.#flaw === 'early timeout speaks') this.#outbox.emit({ type: 'tick' });
      if (this.#flaw === 'early timeout changes the state') this.state.early++;
    }
    for (const [id, { dueAt }] of this.state.pending) {
      if (dueAt > now) continue;
      this.state.pending.delete(id);
      if (this.#flaw === 'forgets an outcome') continue;
      this.#outbox.emit({ type: 'done', id });
      if (this.#flaw === 'ends twice') this.#outbox.emit({ type: 'done', id });
      if (this.#flaw === 'ends what was never asked') this.#outbox.emit({ type: 'done', id: -1 });
      if (this.#flaw === 'timeout stays due') return;
    }
  }

  handleMalformed(): void {}
  handlePeerGone(): void {}
  handleWritable(): void {}
  handleStored(): void {}
}

const codec: Codec<'wire', Uint8Array> = {
  decode: (_port, [frame], deliver) => {
    if (frame === undefined) return 'no frame';
    deliver(frame);
    return undefined;
  },
  encode: (_port, bytes) => ({ frames: [bytes], bytes: bytes.length }),
};

const bytes = fc.uint8Array({ maxLength: 3 });
const inputs: fc.Arbitrary<LawInput<'wire', Call>> = fc.oneof(
  fc.record({
    kind: fc.constant('message' as const),
    port: fc.constant('wire' as const),
    from: fc.constant('peer'),
    frames: fc.array(bytes, { maxLength: 2 }),
  }),
  fc.record({ kind: fc.constant('call' as const), call: fc.record({ id: fc.nat() }) }),
);

function toy(flaw?: Flaw): LawSubject<'wire', Uint8Array, Uint8Array, Call, Event, Toy> {
  return {
    build: (outbox) => new Toy(outbox, flaw),
    codec,
    steps: lawSteps(inputs).map((steps) =>
      steps.map((step, id) =>
        step.input.kind === 'call' ? { ...step, input: { kind: 'call', call: { id } } } : step,
      ),
    ),
    bounds: ({ state }) => [{ name: 'pending', size: state.pending.size, limit: LIMIT }],
    ending: [],
    ledger: {
      asked: (input) => (input.kind === 'call' ? input.call.id : undefined),
      ended: (effect) =>
        effect.kind === 'event' && effect.event.type !== 'tick' ? effect.event.id : undefined,
    },
  };
}

/** The law that a flaw breaks, as the check names it. */
function lawBrokenBy(flaw: Flaw): string {
  try {
    checkLaws(toy(flaw), { seed: 1, numRuns: 200 });
  } catch (error) {
    if (error instanceof Error && error.cause instanceof Violation) return error.cause.invariant;
    throw error;
  }
  return 'none';
}

describe('the law checks', () => {
  test('pass a machine that keeps the laws', () => {
    expect(() => checkLaws(toy(), { seed: 1, numRuns: 200 })).not.toThrow();
  });

  test.each<[Flaw, law: string]>([
    ['timeout stays due', 'timeouts'],
    ['early timeout speaks', 'timeouts'],
    ['early timeout changes the state', 'timeouts'],
    ['throws on an empty message', 'totality'],
    ['throws on a call', 'totality'],
    ['keeps borrowed bytes', 'determinism'],
    ['draws from a global', 'determinism'],
    ['forgets the bound', 'bounds'],
    ['forgets an outcome', 'one outcome'],
    ['ends twice', 'one outcome'],
    ['ends what was never asked', 'one outcome'],
  ])('find a machine that %s: %s', (flaw, law) => {
    expect(lawBrokenBy(flaw)).toBe(law);
  });
});
