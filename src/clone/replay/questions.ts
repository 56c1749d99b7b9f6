/**
 * What a subscriber asks of a replay endpoint: one question at a time, and none too often.
 *
 *   resting ──rested, wanted──► open ──end──► resting
 *                                 └─ silent, link broken: on a new socket, after a longer rest
 *
 * A question that was given up must not be taken for the next one: so that one has a new socket.
 */
import type { Instant } from '../../core/machine.ts';
import { backoffDelay, type Random } from '../../core/retry.ts';
import type { Sequence } from '../commands.ts';

export interface QuestionSettings {
  readonly replayTimeout: number;
  readonly reconnectInterval: number;
  readonly reconnectLimit: number;
  readonly random: Random;
}

export interface QuestionSocket {
  open(endpoint: string): void;
  close(): void;
  ask(from: Sequence): void;
}

export class Questions {
  readonly #settings: QuestionSettings;
  readonly #socket: QuestionSocket;
  /** Plain data. */
  readonly state = {
    endpoint: '',
    isConnected: false,
    isOpen: false,
    asked: 0,
    /** The last answer to the present question; −1 for none. */
    last: -1,
    hasProgress: false,
    deadlineAt: Infinity,
    /** Questions in a row that were not answered, or with nothing new. */
    failures: 0,
    fruitless: 0,
    restAt: -Infinity,
    wakeAt: Infinity,
  };

  constructor(settings: QuestionSettings, socket: QuestionSocket) {
    this.#settings = settings;
    this.#socket = socket;
  }

  set endpoint(endpoint: string) {
    this.state.endpoint = endpoint;
  }

  /** There is somebody to ask. */
  get canAsk(): boolean {
    return this.state.endpoint !== '';
  }

  /** A question has been asked, and its answer is not complete. */
  get isOpen(): boolean {
    return this.state.isOpen;
  }

  /** From where on the present, or last, question asked. */
  get asked(): Sequence {
    return this.state.asked;
  }

  /** The last number in its answer; −1 for none. */
  get last(): Sequence {
    return this.state.last;
  }

  /** It was answered with something new. */
  get hasProgress(): boolean {
    return this.state.hasProgress;
  }

  get nextDue(): Instant {
    return Math.min(this.state.deadlineAt, this.state.wakeAt);
  }

  /** Asks, if that is wanted and may be; true if it did. */
  review(now: Instant, isWanted: boolean, from: Sequence): boolean {
    const { state } = this;
    state.wakeAt = Infinity;
    if (!isWanted || state.isOpen || !this.canAsk) return false;
    if (state.restAt > now) {
      state.wakeAt = state.restAt;
      return false;
    }
    if (!state.isConnected) this.#socket.open(state.endpoint);
    state.isConnected = true;
    state.isOpen = true;
    state.asked = from;
    state.last = -1;
    state.hasProgress = false;
    state.deadlineAt = now + this.#settings.replayTimeout;
    this.#socket.ask(from);
    return true;
  }

  /** A part of the answer. False if it is not, or out of order. */
  heard(now: Instant, sequence: Sequence): boolean {
    const { state } = this;
    if (sequence < state.asked || sequence <= state.last) return false;
    state.last = sequence;
    state.deadlineAt = now + this.#settings.replayTimeout;
    return true;
  }

  /** There was something new in it. */
  progress(): void {
    this.state.hasProgress = true;
  }

  /** The answer is complete. Returns how many of them in a row were fruitless: had nothing that is missing. */
  end(now: Instant, isFruitless: boolean): number {
    const { state } = this;
    this.#close();
    state.failures = 0;
    if (isFruitless) state.restAt = this.#rested(now, state.fruitless++);
    else state.fruitless = 0;
    return state.fruitless;
  }

  isOverdue(now: Instant): boolean {
    return this.state.deadlineAt <= now;
  }

  /** It was not answered to the end. Returns how often in a row that was so. */
  fail(now: Instant): number {
    const { state } = this;
    this.drop();
    state.restAt = this.#rested(now, state.failures);
    return ++state.failures;
  }

  /** The rest of the answer is of no use, now or at all. */
  drop(): void {
    if (this.state.isConnected) this.#socket.close();
    this.state.isConnected = false;
    this.state.wakeAt = Infinity;
    this.#close();
  }

  /** What was is over: it may be asked at once. */
  restart(): void {
    this.drop();
    this.state.failures = 0;
    this.state.fruitless = 0;
    this.state.restAt = -Infinity;
  }

  #close(): void {
    this.state.isOpen = false;
    this.state.deadlineAt = Infinity;
  }

  #rested(now: Instant, times: number): Instant {
    const { reconnectInterval: backoff, reconnectLimit: backoffLimit, random } = this.#settings;
    return now + backoffDelay({ backoff, backoffLimit }, times, random);
  }
}
