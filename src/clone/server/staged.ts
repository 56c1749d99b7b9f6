/** What was accepted and is not public yet, in order, with the map as it will be then. */
import { Fifo } from '../../core/fifo.ts';
import type { Sequence } from '../commands.ts';
import type { Update } from '../stream/update.ts';
import { growthFrom, type Accepted } from './accepted.ts';

interface Staged {
  readonly update: Update;
  /** Bytes by which the map may grow. */
  readonly growth: number;
  readonly isNew: boolean;
}

/** Bytes that a staged update costs beside its key and value, about. */
const OVERHEAD = 200;

export class StagedUpdates implements Iterable<Update> {
  readonly #accepted: Accepted;
  readonly #staged = new Fifo<Staged>();
  readonly #state = { bytes: 0, growth: 0, newKeys: 0 };

  constructor(accepted: Accepted) {
    this.#accepted = accepted;
  }

  get size(): number {
    return this.#staged.size;
  }

  get bytes(): number {
    return this.#state.bytes;
  }

  /** Bytes by which the map will grow, at most. */
  get growth(): number {
    return this.#state.growth;
  }

  /** Keys by which it will, at most. */
  get newKeys(): number {
    return this.#state.newKeys;
  }

  /** Plain data, for the fingerprint. */
  get state(): object {
    return [this.#state, this.#staged];
  }

  /** The next that may become public. */
  get first(): Update | undefined {
    return this.#staged.first?.update;
  }

  push(update: Update): void {
    const { kind, key, value } = update;
    const isSet = kind === 'set';
    const former = isSet ? this.#accepted.get(key) : undefined;
    const growth = isSet ? growthFrom(former, key, value[0]!) : 0;
    const staged = { update, growth, isNew: isSet && former === undefined };
    this.#count(staged, 1);
    this.#staged.push(staged);
    this.#accepted.add(update);
  }

  /** The first one becomes public. */
  shift(): void {
    const staged = this.#staged.first;
    if (staged === undefined) return;
    this.#remove(staged);
    this.#accepted.remove(staged.update);
  }

  /** Those after that update never were. */
  dropAfter(sequence: Sequence): Update[] {
    const dropped = Array.from(this.#staged).filter(({ update }) => update.sequence > sequence);
    if (dropped.length === 0) return [];
    for (const staged of dropped) this.#remove(staged);
    this.#accepted.restart(this);
    return dropped.map(({ update }) => update);
  }

  *[Symbol.iterator](): Generator<Update> {
    for (const { update } of this.#staged) yield update;
  }

  #remove(staged: Staged): void {
    this.#staged.delete(staged);
    this.#count(staged, -1);
  }

  #count({ update, growth, isNew }: Staged, sign: 1 | -1): void {
    const state = this.#state;
    state.bytes += sign * (update.weight + OVERHEAD);
    state.growth += sign * growth;
    if (isNew) state.newKeys += sign;
  }
}
