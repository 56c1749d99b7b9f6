/**
 * What has to be durable before it is acted upon: the life, and the highest epoch.
 *
 * One write at a time; what changes meanwhile goes with the next one. A store that refuses is asked again
 * after a second.
 */
import type { Epoch } from '../core/election.ts';
import type { Instant } from '../core/machine.ts';
import type { Life } from './commands.ts';
import type { PairRecord } from './failover-events.ts';

/** Milliseconds until a store that has refused is asked again. */
export const STORE_RETRY = 1000;

/** What of a record may change. */
export type Written = Pick<PairRecord, 'life' | 'epoch' | 'peerServed'>;

/** Plain data: part of the machine's state. */
export interface KeptRecord {
  /** What is durable; life 0: nothing of this life. */
  life: Life;
  epoch: Epoch;
  peerServed: Epoch;
  /** What is being written. */
  writing: (Written & { readonly token: number }) | undefined;
  /** How many writes there were. */
  token: number;
  /** Not before then: the last write failed. */
  retryAt: Instant;
}

/** Nothing is durable yet, or it is of a former life. */
export function newKept(): KeptRecord {
  return {
    life: 0,
    epoch: 0,
    peerServed: 0,
    writing: undefined,
    token: 0,
    retryAt: -Infinity,
  };
}

export class RecordKeeper {
  readonly #state: KeptRecord;

  constructor(state: KeptRecord) {
    this.#state = state;
  }

  /** True if this life is known to be one more: until then nothing may be said. */
  get isAlive(): boolean {
    return this.#state.life > 0;
  }

  /** When a refused write is due again; -Infinity while none is. */
  get retryAt(): Instant {
    return this.#state.retryAt;
  }

  /** A refused write may be tried again, or needs not be any more. */
  lapse(now: Instant): void {
    if (this.#state.retryAt <= now) this.#state.retryAt = -Infinity;
  }

  /** True if no restart can forget this epoch. */
  keeps(epoch: Epoch): boolean {
    return this.isAlive && this.#state.epoch >= epoch;
  }

  /** The token under which this is to be written now; undefined if it is durable or has to wait. */
  write(now: Instant, { life, epoch, peerServed }: Written): number | undefined {
    const state = this.#state;
    if (state.writing !== undefined || now < state.retryAt) return undefined;
    const isKept = state.life === life && state.peerServed === peerServed;
    if (isKept && state.epoch >= epoch) return undefined;
    state.token++;
    state.retryAt = -Infinity;
    state.writing = { token: state.token, life, epoch, peerServed };
    return state.token;
  }

  /** The store has answered. False if it was not asked this. */
  answered(now: Instant, token: number, isStored: boolean): boolean {
    const state = this.#state;
    const { writing } = state;
    if (writing?.token !== token) return false;
    state.writing = undefined;
    state.retryAt = isStored ? -Infinity : now + STORE_RETRY;
    if (!isStored) return true;
    state.life = writing.life;
    state.epoch = writing.epoch;
    state.peerServed = writing.peerServed;
    return true;
  }
}
