/**
 * What a server is told of how far its follower is: what came gives credit, what is applied can be relied on.
 *
 * Both sides add up the same weights, from 0 in each stream. It is said when a share of the window was
 * used, and with each heartbeat, so that one that was lost on the way is made good by the next.
 */
import type { Instant } from '../../core/machine.ts';
import type { Sequence } from '../commands.ts';

/** Credit is given back when so much of the window was used. */
const CREDIT_SHARE = 4;

/** Milliseconds that it waits for more of the same turn. */
const DELAY = 0.5;

export class Progress {
  readonly #settings: { readonly window: number };
  /** Plain data, for the fingerprint. */
  readonly state = {
    /** Weight that came in the stream, and that the server was told of. */
    received: 0,
    told: 0,
    /** Weight that came in this stream or an earlier one, and gives no credit yet. */
    withheld: 0,
    /** Of a backup: all up to here is durable. */
    acknowledged: 0 as Sequence,
    toldAt: -Infinity,
    dueAt: Infinity,
  };

  constructor(settings: { readonly window: number }) {
    this.#settings = settings;
  }

  /** A stream begins. */
  restart(): void {
    this.state.received = 0;
    this.state.told = 0;
    this.state.dueAt = Infinity;
  }

  count(weight: number): void {
    this.state.received += weight;
  }

  /** What the server may know to have arrived. */
  get credited(): number {
    const { received, withheld, told } = this.state;
    return Math.max(told, received - withheld);
  }

  /** True if the server should know it soon. */
  get isOwed(): boolean {
    return this.credited - this.state.told >= this.#settings.window / CREDIT_SHARE;
  }

  acknowledge(sequence: Sequence): void {
    this.state.acknowledged = Math.max(this.state.acknowledged, sequence);
  }

  /** What was acknowledged beyond this is there no more. */
  goBack(sequence: Sequence): void {
    this.state.acknowledged = Math.min(this.state.acknowledged, sequence);
  }

  /** True: it is to be said now. Else it was said in this turn, and is due at the end of it. */
  isDueNow(now: Instant): boolean {
    const { state } = this;
    if (state.toldAt < now) return true;
    state.dueAt = Math.min(state.dueAt, now + DELAY);
    return false;
  }

  /** It is said now. */
  noteTelling(now: Instant): void {
    this.state.toldAt = now;
    this.state.dueAt = Infinity;
  }

  /** It was sent. */
  noteTold(credited: number): void {
    this.state.told = credited;
  }
}
