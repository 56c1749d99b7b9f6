/**
 * What a client or worker knows of the reigns of its brokers: whoever has seen an epoch refuses lower ones.
 *
 * A broker that shows an epoch is one of a pair. The epoch is carried to the other one, which so learns
 * that its own reign is over.
 */
import { EPOCH_LIMIT, type Epoch } from '../core/election.ts';

/**
 * Milliseconds for which a client stays with a passive broker that knows nobody who serves; for so long that
 * one tells it when it serves itself.
 */
export const STANDING_PATIENCE = 1000;

/** `outdated`: its time was over before; `implausible`: a lie, or bytes gone wrong. */
export type EpochVerdict = 'higher' | 'same' | 'outdated' | 'implausible';

export class SeenEpochs {
  /** Plain data, for the fingerprint of the machine that it is part of. */
  readonly state = {
    /** Some broker showed an epoch. */
    isPair: false,
    highest: 0 as Epoch,
  };

  /** True once some broker was known to be one of a pair. */
  get isPair(): boolean {
    return this.state.isPair;
  }

  /** 0: none was ever seen. */
  get highest(): Epoch {
    return this.state.highest;
  }

  /** What HELLO and READY say. */
  get shown(): Epoch | undefined {
    return this.state.highest === 0 ? undefined : this.state.highest;
  }

  /** A broker showed this epoch: whoever it is, it knows better than its clients. */
  judge(epoch: Epoch): EpochVerdict {
    const { state } = this;
    if (epoch > EPOCH_LIMIT) return 'implausible';
    state.isPair = true;
    if (epoch < state.highest) return 'outdated';
    if (epoch === state.highest) return 'same';
    state.highest = epoch;
    return 'higher';
  }
}
