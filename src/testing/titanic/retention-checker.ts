/** What must hold of retention: nothing is discarded without a reason, and the oldest goes first. */
import { requireThat } from '../violation.ts';
import type { RequestTruth, Truth } from './truth.ts';

export interface RetentionSettings {
  readonly retentionAge: number;
  readonly retentionCount: number;
  readonly retentionBytes: number;
  readonly bodyLimit: number;
}

export class RetentionChecker {
  readonly #truth: Truth;
  readonly #settings: RetentionSettings;
  /** What this life has seen end. */
  readonly #since: number;
  /** How many are left when this one is gone. */
  readonly #left = new Map<string, number>();

  constructor(truth: Truth, settings: RetentionSettings) {
    this.#truth = truth;
    this.#settings = settings;
    this.#since = truth.ended + 1;
  }

  /**
   * These are about to be discarded, in this order.
   * @param isWritten something else is being done with it
   */
  chosen(ids: readonly string[], isWritten: (id: string) => boolean): void {
    let kept = 0;
    for (const request of this.#truth.all) if (request.may('done', 'dead')) kept++;
    let rank = 0;
    for (const id of ids) {
      const request = this.#truth.of(id);
      if (!request.may('done', 'dead')) continue;
      this.#left.set(id, kept - ++rank);
      this.#checkOldest(request, (other) => ids.includes(other) || isWritten(other));
    }
  }

  /** Told once it is durable. */
  discarded(id: string, reason: 'age' | 'count' | 'bytes'): void {
    const request = this.#truth.of(id);
    const left = this.#left.get(id) ?? 0;
    this.#left.delete(id);
    if (request.damage !== 'none') return;
    requireThat(request.may('unknown'), 'visible is durable', () => {
      return `${id} is discarded, they tell, and ${request.state} on the disk`;
    });
    const { retentionAge, retentionCount, retentionBytes } = this.#settings;
    const limit = { age: retentionAge, count: retentionCount, bytes: retentionBytes }[reason];
    requireThat(limit < NO_LIMIT, 'nothing is discarded for nothing', () => {
      return `${id} is discarded by ${reason}, of which there is room`;
    });
    requireThat(
      reason !== 'count' || left >= retentionCount,
      'nothing is discarded for nothing',
      () => {
        return `${id} is discarded, and then only ${left} of ${retentionCount} are left`;
      },
    );
  }

  /** Of a former life only times are known, not what came first. */
  #checkOldest(
    { id, finishedOrder, commit, damage }: RequestTruth,
    isExcused: (id: string) => boolean,
  ): void {
    // What the store refused to let go of stands behind all others again.
    if (damage !== 'none' || finishedOrder < this.#since || this.#truth.hasFailed) return;
    for (const other of this.#truth.all) {
      const isKept = other.state === 'done' || other.state === 'dead';
      if (!isKept || other.damage !== 'none' || isExcused(other.id)) continue;
      const isOlder = other.finishedOrder >= this.#since && other.finishedOrder < finishedOrder;
      requireThat(!isOlder || other.commit === commit, 'the oldest is discarded first', () => {
        return `${id} is discarded, and ${other.id} is older`;
      });
    }
  }
}

/** Beyond what a run can reach. */
const NO_LIMIT = 1_000_000;
