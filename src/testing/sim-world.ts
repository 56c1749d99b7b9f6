/**
 * A simulated world: virtual time, one source of randomness, and what happened.
 *
 * Nothing in it waits: `step` jumps to the next event. The same random source and the same calls
 * give the same history, event by event, which `trace` proves.
 */
import type { Instant } from '../core/machine.ts';
import type { Random } from '../core/retry.ts';
import { type Effects, noEffects } from './effects.ts';
import { EventHeap, ScheduledEvent } from './event-heap.ts';
import { SimProcess, type SimProcessOptions } from './sim-process.ts';
import { TraceHash, type Transcript } from './transcript.ts';

export interface SimWorldOptions {
  /** Decides everything that is left to chance: `seededRandom(seed)`. */
  readonly random: Random;
  /** Records readable lines; leave it out for speed. */
  readonly transcript?: Transcript;
}

/** Virtual time and everything that lives in it. */
export class SimWorld {
  readonly random: Random;
  readonly transcript: Transcript | undefined;
  readonly effects: Effects = noEffects();
  readonly trace = new TraceHash();
  readonly #future = new EventHeap();
  readonly #alive = new Map<string, SimProcess>();
  #now: Instant = 0;
  #steps = 0;

  constructor(options: SimWorldOptions) {
    this.random = options.random;
    this.transcript = options.transcript;
  }

  /** Milliseconds since the beginning of this world, which no process sees: each has its own clock. */
  get now(): Instant {
    return this.#now;
  }

  /** How many events have run. */
  get steps(): number {
    return this.#steps;
  }

  /** When the next event is due, or `Infinity`. */
  get next(): Instant {
    return this.#future.next;
  }

  /** Runs `callback` at `at`, or now if that is past; after everything already set for then. */
  schedule(at: Instant, callback: () => void): ScheduledEvent {
    const event = new ScheduledEvent(callback);
    this.#future.push(at > this.#now ? at : this.#now, event);
    return event;
  }

  /** Runs `callback` after `delay` milliseconds. */
  after(delay: number, callback: () => void): ScheduledEvent {
    return this.schedule(this.#now + delay, callback);
  }

  /** Runs the next event; false if there is none. */
  step(): boolean {
    const at = this.#future.next;
    const event = this.#future.pop();
    if (event === undefined) return false;
    this.#now = at;
    this.#steps++;
    event.run();
    return true;
  }

  /** Runs every event up to and including `until`, which then is now. */
  run(until: Instant): void {
    while (this.#future.next <= until && this.step());
    if (until > this.#now && until < Infinity) this.#now = until;
  }

  /** Starts an operating-system process. Once it is over, its name is free for the next one. */
  start(name: string, options: SimProcessOptions = {}): SimProcess {
    const former = this.#alive.get(name);
    if (former !== undefined && !former.isOver) throw new Error(`${name} is already running`);
    const process = new SimProcess(this, name, options);
    this.#alive.set(name, process);
    this.note(`${name} starts`);
    return process;
  }

  /** Takes down that something happened: a fault, a notice, an event of the pattern under test. */
  note(text: string): void {
    this.trace.addNumber(this.#now);
    this.trace.addText(text);
    this.transcript?.event(this.#now, text);
  }
}
