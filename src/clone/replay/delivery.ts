/**
 * The last step of a subscriber, in every dialect: messages go to the user with what has to be known of them,
 * and what the user has not taken yet is counted.
 */
import { byteLength } from '../../core/frames.ts';
import type { Epoch } from '../../core/election.ts';
import type { Frames } from '../../core/machine.ts';
import type { Sequence } from '../commands.ts';
import { EventCounts } from './event-counts.ts';
import type { HistoryLossReason, ReplaySubscriberEvent, SequenceRange } from './events.ts';

/** What a message costs beside its topic and its body. */
const OVERHEAD = 64;

export interface DeliverySettings {
  readonly topics: readonly string[];
}

interface Delivered {
  readonly sequence: Sequence;
  readonly epoch: Epoch;
  /** Undefined: nobody said. Such a one is for all. */
  readonly topic: string | undefined;
  readonly body: Frames;
}

export class Delivery {
  readonly #emit: (event: ReplaySubscriberEvent) => void;
  readonly #topics: readonly string[];
  readonly #counts = new EventCounts<ReplaySubscriberEvent>();
  /** Plain data. */
  readonly #state = {
    waiting: 0,
    hasBegun: false,
    isBehind: false,
    isRestart: false,
    lost: undefined as SequenceRange | undefined,
  };

  constructor(emit: (event: ReplaySubscriberEvent) => void, { topics }: DeliverySettings) {
    this.#emit = emit;
    this.#topics = topics;
  }

  get state(): unknown {
    return this.#state;
  }

  get counts(): Readonly<Partial<Record<ReplaySubscriberEvent['type'], number>>> {
    return this.#counts.all;
  }

  /** What the user has not taken. */
  get waiting(): number {
    return this.#state.waiting;
  }

  /** A message was delivered, or lost. */
  get hasBegun(): boolean {
    return this.#state.hasBegun;
  }

  /** The user was too slow, and something was left for later. */
  get isBehind(): boolean {
    return this.#state.isBehind;
  }

  /** What a message counts for the window. */
  weightOf(topic: string | undefined, body: Frames): number {
    return OVERHEAD + (topic?.length ?? 0) + byteLength(body);
  }

  /** True if it is among those that were asked for. */
  concerns(topic: string | undefined): boolean {
    return topic === undefined || this.#topics.some((beginning) => topic.startsWith(beginning));
  }

  deliver({ sequence, epoch, topic, body }: Delivered): void {
    const state = this.#state;
    state.hasBegun = true;
    state.isBehind = false;
    if (!this.concerns(topic)) return;
    const weight = this.weightOf(topic, body);
    const { lost, isRestart } = state;
    state.waiting += weight;
    state.lost = undefined;
    state.isRestart = false;
    this.tell({
      type: 'message',
      topic: topic ?? '',
      sequence,
      epoch,
      body,
      lost,
      isRestart,
      weight,
    });
  }

  /** The user has taken some. */
  consumed(weight: number): void {
    this.#state.waiting = Math.max(0, this.#state.waiting - weight);
  }

  /** These will not come. */
  lose(from: Sequence, to: Sequence, reason: HistoryLossReason): void {
    const state = this.#state;
    state.hasBegun = true;
    state.lost = { from: state.lost?.from ?? from, to };
    this.tell({ type: 'historyLost', from, to, reason });
  }

  /** Another life of the publisher; what was lost of the former one has been told. */
  restart(epoch: Epoch, isContinued: boolean): void {
    if (!isContinued) {
      this.#state.isRestart = true;
      this.#state.lost = undefined;
    }
    this.tell({ type: 'publisherRestarted', epoch, isContinued });
  }

  /** There is no room for this one: told once for each time. */
  fallBehind(sequence: Sequence): void {
    if (this.#state.isBehind) return;
    this.#state.isBehind = true;
    this.tell({ type: 'fellBehind', sequence });
  }

  tell(event: ReplaySubscriberEvent): void {
    this.#counts.add(event);
    this.#emit(event);
  }
}
