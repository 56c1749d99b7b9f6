/**
 * The five laws of the machine contract (`core/machine.ts`), put to a machine by random inputs.
 *
 * The machine runs alone: what a driver would do around it is done here, with frames that are
 * scribbled over as soon as they were only borrowed, and an outbox that sometimes refuses. A law that
 * does not hold is a `Violation` under its name: `timeouts`, `totality`, `determinism`, `bounds`,
 * `one outcome`.
 */
import fc from 'fast-check';
import type { Codec } from '../core/codec.ts';
import { fingerprintOf } from '../core/fingerprint.ts';
import type { Address, Frames, Instant, Machine, Outbox } from '../core/machine.ts';
import { requireThat, Violation } from './violation.ts';

/** One thing that happens to a machine. */
export type LawInput<Port extends string, Call> =
  /** Any frames: the codec decides what they mean. */
  | {
      readonly kind: 'message';
      readonly port: Port;
      readonly from: Address;
      readonly frames: Frames;
    }
  | { readonly kind: 'call'; readonly call: Call }
  | { readonly kind: 'peerGone'; readonly port: Port; readonly from: Address }
  | { readonly kind: 'writable'; readonly port: Port; readonly to: Address }
  | { readonly kind: 'stored'; readonly token: number; readonly failed: boolean }
  /** Nothing happens until the machine's next timeout. */
  | { readonly kind: 'sleep' };

export interface LawStep<Port extends string, Call> {
  /** Milliseconds since the step before. */
  readonly after: number;
  readonly input: LawInput<Port, Call>;
}

export interface LawPlan<Port extends string, Call> {
  readonly steps: readonly LawStep<Port, Call>[];
  /** Every so-manieth send is refused; 0 refuses none. */
  readonly refuseEvery: number;
}

/** What a machine did, for its ledger. */
export type LawEffect<Output, Event> =
  | { readonly kind: 'event'; readonly event: Event }
  | { readonly kind: 'send'; readonly command: Output };

type Key = string | number;

/** Which things must end once. */
export interface Ledger<Port extends string, Output, Call, Event> {
  /** The key of what `input` asks for, if it asks for anything. Asking twice is asking once. */
  asked?(input: LawInput<Port, Call>): Key | undefined;
  /** The key of what the machine begins by itself with `effect`. */
  begun?(effect: LawEffect<Output, Event>): Key | undefined;
  /** The key of what `effect`, which came of `input`, ends. */
  ended(effect: LawEffect<Output, Event>, input: LawInput<Port, Call> | undefined): Key | undefined;
}

/** How much is somewhere, and how much may be. */
export interface Bound {
  readonly name: string;
  readonly size: number;
  readonly limit: number;
}

/** A kind of machine, with all that the laws need to know of it. */
export interface LawSubject<
  Port extends string,
  Input,
  Output,
  Call,
  Event,
  Subject extends Machine<Port, Input, Call>,
> {
  /** A fresh machine on `outbox`; the same one each time. */
  readonly build: (outbox: Outbox<Port, Output, Event>) => Subject;
  readonly codec: Codec<Port, Input, Output>;
  readonly steps: fc.Arbitrary<readonly LawStep<Port, Call>[]>;
  readonly bounds: (machine: Subject) => readonly Bound[];
  readonly ledger: Ledger<Port, Output, Call, Event>;
  /** The calls that end all that is outstanding, by themselves or in the course of time. */
  readonly ending: readonly Call[];
}

/** How many timeouts a machine may need to come to its end. */
const LONGEST_ENDING = 10_000;

/** Steps of these inputs, with the instants between them that find mistakes: none, few, and too many. */
export function lawSteps<Port extends string, Call>(
  inputs: fc.Arbitrary<LawInput<Port, Call>>,
  maxLength = 60,
): fc.Arbitrary<LawStep<Port, Call>[]> {
  const after = fc.oneof(
    { weight: 4, arbitrary: fc.constant(0) },
    { weight: 4, arbitrary: fc.integer({ min: 1, max: 50 }) },
    { weight: 1, arbitrary: fc.integer({ min: 50, max: 5000 }) },
  );
  const input = fc.oneof(
    { weight: 9, arbitrary: inputs },
    { weight: 1, arbitrary: fc.constant({ kind: 'sleep' as const }) },
  );
  return fc.array(fc.record({ after, input }), { maxLength, size: 'max' });
}

/**
 * Puts a machine to all five laws by random plans.
 * @throws an error of fast-check with the smallest plan found, whose cause is the `Violation`
 */
export function checkLaws<
  Port extends string,
  Input,
  Output,
  Call,
  Event,
  Subject extends Machine<Port, Input, Call>,
>(
  subject: LawSubject<Port, Input, Output, Call, Event, Subject>,
  parameters: fc.Parameters<[LawPlan<Port, Call>]>,
): void {
  const plans = fc.record({ steps: subject.steps, refuseEvery: fc.constantFrom(0, 0, 2, 5) });
  fc.assert(
    fc.property(plans, (plan) => runLaws(subject, plan)),
    { includeErrorInReport: false, ...parameters },
  );
}

/**
 * Puts a machine to all five laws by one plan.
 * @throws Violation naming the law
 */
export function runLaws<
  Port extends string,
  Input,
  Output,
  Call,
  Event,
  Subject extends Machine<Port, Input, Call>,
>(subject: LawSubject<Port, Input, Output, Call, Event, Subject>, plan: LawPlan<Port, Call>): void {
  const first = new LawRun(subject, plan, false).run();
  const second = new LawRun(subject, plan, true).run();
  const different = first.findIndex((line, index) => line !== second[index]);
  requireThat(different === -1 && first.length === second.length, 'determinism', () => {
    const at = different === -1 ? first.length : different;
    return `line ${at} is '${first[at]}', and '${second[at]}' once borrowed frames are overwritten`;
  });
}

class LawRun<
  Port extends string,
  Input,
  Output,
  Call,
  Event,
  Subject extends Machine<Port, Input, Call>,
> {
  readonly #subject: LawSubject<Port, Input, Output, Call, Event, Subject>;
  readonly #plan: LawPlan<Port, Call>;
  readonly #scribble: boolean;
  readonly #machine: Subject;
  /** All that can be seen from outside: outputs, and a fingerprint after each input. */
  readonly #lines: string[] = [];
  readonly #open = new Set<Key>();
  readonly #ended = new Set<Key>();
  #input: LawInput<Port, Call> | undefined;
  #now: Instant = 1000;
  readonly #refused: LawInput<Port, Call>[] = [];
  #isEnding = false;
  #sends = 0;

  constructor(
    subject: LawSubject<Port, Input, Output, Call, Event, Subject>,
    plan: LawPlan<Port, Call>,
    scribble: boolean,
  ) {
    this.#subject = subject;
    this.#plan = plan;
    this.#scribble = scribble;
    this.#machine = subject.build({
      open: (port, endpoint) => this.#note(`open ${port} ${endpoint}`),
      close: (port, flush) => this.#note(`close ${port} ${flush === true}`),
      send: (port, to, command) => this.#send(port, to, command),
      store: (token, batch) => this.#note(`store ${token} ${fingerprintOf(batch, this.#now)}`),
      emit: (event) => {
        this.#note(`emit ${fingerprintOf(event, this.#now)}`);
        this.#account({ kind: 'event', event });
      },
    });
  }

  /** Runs the plan and the ending; returns what was seen. */
  run(): readonly string[] {
    for (const { after, input } of this.#plan.steps) {
      this.#now += after;
      const { nextTimeout } = this.#machine;
      if (input.kind === 'sleep' && nextTimeout < Infinity) {
        this.#now = Math.max(this.#now, nextTimeout);
      }
      this.#step(input);
    }
    // From now on there is room, and whoever was refused is told, as the driver does.
    this.#isEnding = true;
    for (const input of this.#refused) this.#step(input);
    for (const call of this.#subject.ending) this.#step({ kind: 'call', call });
    for (let count = 0; this.#open.size > 0; count++) {
      const [key] = this.#open;
      const { nextTimeout } = this.#machine;
      requireThat(nextTimeout < Infinity && count < LONGEST_ENDING, 'one outcome', () => {
        return `${key} never ends`;
      });
      this.#now = Math.max(this.#now, nextTimeout);
      this.#step({ kind: 'sleep' });
    }
    return this.#lines;
  }

  #step(input: LawInput<Port, Call>): void {
    // Time comes first, as in the driver.
    this.#passTime();
    this.#input = input;
    const key = this.#subject.ledger.asked?.(input);
    if (key !== undefined && !this.#ended.has(key)) this.#open.add(key);
    this.#guard(input.kind, () => this.#apply(input));
    this.#input = undefined;
    this.#note(`${input.kind} ${this.#machine.fingerprint(this.#now)}`);
    this.#checkEarlyTimeout();
    for (const { name, size, limit } of this.#subject.bounds(this.#machine)) {
      requireThat(size <= limit, 'bounds', () => `${name}: ${size} of ${limit}`);
    }
  }

  #passTime(): void {
    const machine = this.#machine;
    if (machine.nextTimeout > this.#now) return;
    this.#guard('timeout', () => machine.handleTimeout(this.#now));
    requireThat(machine.nextTimeout > this.#now, 'timeouts', () => {
      return `after handleTimeout(${this.#now}) the next one is at ${machine.nextTimeout}`;
    });
    this.#note(`timeout ${machine.fingerprint(this.#now)}`);
  }

  /** A timeout that is not due must change nothing. */
  #checkEarlyTimeout(): void {
    const machine = this.#machine;
    if (machine.nextTimeout <= this.#now) return;
    const before = machine.fingerprint(this.#now);
    const { length } = this.#lines;
    this.#guard('an early timeout', () => machine.handleTimeout(this.#now));
    requireThat(this.#lines.length === length, 'timeouts', () => {
      return `handleTimeout before nextTimeout gave '${this.#lines[length]}'`;
    });
    requireThat(machine.fingerprint(this.#now) === before, 'timeouts', () => {
      return 'handleTimeout before nextTimeout changed the state';
    });
  }

  #apply(input: LawInput<Port, Call>): void {
    const machine = this.#machine;
    switch (input.kind) {
      case 'message':
        return this.#receive(input.port, input.from, input.frames);
      case 'call':
        return machine.handleCall(this.#now, input.call);
      case 'peerGone':
        return machine.handlePeerGone(this.#now, input.port, input.from);
      case 'writable':
        return machine.handleWritable(this.#now, input.port, input.to);
      case 'stored': {
        const error = input.failed ? new Error('the disk is full') : undefined;
        return machine.handleStored(this.#now, input.token, error);
      }
      case 'sleep':
        return;
    }
  }

  #receive(port: Port, from: Address, given: Frames): void {
    const frames = given.map((frame) => Uint8Array.from(frame));
    const reason = this.#subject.codec.decode(port, frames, (command) =>
      this.#machine.handleCommand(this.#now, port, from, command),
    );
    if (reason !== undefined) this.#machine.handleMalformed(this.#now, port, from, reason);
    if (this.#scribble) for (const frame of frames) frame.fill(0xdb);
  }

  #send(port: Port, to: Address, command: Output): boolean {
    const { refuseEvery } = this.#plan;
    const refused = !this.#isEnding && refuseEvery > 0 && ++this.#sends % refuseEvery === 0;
    if (refused) this.#refused.push({ kind: 'writable', port, to });
    const { frames } = this.#subject.codec.encode(port, command, undefined);
    const wire = frames.map((frame) => Buffer.from(frame).toString('hex')).join(' ');
    this.#note(`${refused ? 'refused' : 'send'} ${port} ${to} ${wire}`);
    if (!refused) this.#account({ kind: 'send', command });
    return !refused;
  }

  #account(effect: LawEffect<Output, Event>): void {
    const { ledger } = this.#subject;
    const begun = ledger.begun?.(effect);
    if (begun !== undefined) this.#open.add(begun);
    const ended = ledger.ended(effect, this.#input);
    if (ended === undefined) return;
    requireThat(this.#open.delete(ended), 'one outcome', () => {
      return this.#ended.has(ended) ? `${ended} ends a second time` : `${ended} was never begun`;
    });
    this.#ended.add(ended);
  }

  #guard(what: string, handle: () => void): void {
    try {
      handle();
    } catch (error) {
      if (error instanceof Violation) throw error;
      const stack = error instanceof Error ? error.stack : String(error);
      throw new Violation('totality', `on ${what}: ${stack}`);
    }
  }

  #note(line: string): void {
    this.#lines.push(line);
  }
}
