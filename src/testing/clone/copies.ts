/**
 * How late the copies of updates came to the other server: by so much a key may live longer there, as how
 * long it has left is said when it leaves.
 */
import type { Instant } from '../../core/machine.ts';
import type { Stage } from '../stage.ts';

export class Copies {
  readonly #stage: Stage;
  /** When the copy of this revision of this key left last, and by how much its sender had it late. */
  readonly #left = new Map<string, { readonly at: Instant; readonly late: number }>();
  /** By how much each server has it late at most. */
  readonly #late = new Map<string, number>();

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  /** `server` says to the other one that `key` is this. */
  left(server: string, key: string, revision: number): void {
    const late = this.latenessOf(server, key, revision);
    this.#left.set(`${key} ${revision}`, { at: this.#stage.world.now, late });
  }

  /** `server` has heard it. */
  arrived(server: string, key: string, revision: number): void {
    const left = this.#left.get(`${key} ${revision}`);
    if (left === undefined) return;
    const late = this.#stage.world.now - left.at + left.late;
    const name = `${server} ${key} ${revision}`;
    // Of several that are under way any may be the one that counts.
    this.#late.set(name, Math.max(late, this.#late.get(name) ?? 0));
  }

  /** Milliseconds. */
  latenessOf(server: string, key: string, revision: number): number {
    return this.#late.get(`${server} ${key} ${revision}`) ?? 0;
  }
}
