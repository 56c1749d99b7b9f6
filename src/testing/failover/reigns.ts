/**
 * Who served when, in the time of the world, and which epochs were used: what no server can know.
 *
 * With a witness at most one serves at any instant. Without one two may, for as long as something stands
 * between them, and until they have heard each other.
 */
import type { Epoch } from '../../core/election.ts';
import type { Instant } from '../../core/machine.ts';
import type { Role } from '../../failover/commands.ts';
import { requireThat } from '../violation.ts';
import type { Mode } from './plan.ts';

export interface Reign {
  readonly role: Role;
  readonly epoch: Epoch;
  /** Under it something was done that must not be lost: it was allowed to serve alone, or was copied. */
  counts: boolean;
}

/** A server, as it is now. */
export interface Throne {
  readonly role: Role;
  /** The epoch under which it would serve at this instant of the world; 0: it would not. */
  readonly epoch: Epoch;
}

const NOBODY: Reign = { role: 'primary', epoch: 0, counts: true };

export class Reigns {
  readonly all: Reign[] = [];
  readonly #mode: Mode;
  /** Without a witness: how long two may serve while nothing stands between them. */
  readonly #tolerance: number;
  /** Something stands between the two until then. */
  #troubledUntil: Instant = 0;
  #twoSince: Instant = Infinity;

  constructor(mode: Mode, tolerance: number) {
    this.#mode = mode;
    this.#tolerance = tolerance;
  }

  /** How often somebody began or ceased to serve. */
  changes = 0;

  /** What keeps the two from hearing each other was done, or lasts, until then. */
  trouble(until: Instant): void {
    this.#troubledUntil = Math.max(this.#troubledUntil, until);
  }

  began(role: Role, epoch: Epoch): void {
    this.changes++;
    const isOdd = epoch % 2 === 1;
    requireThat(isOdd === (role === 'primary'), 'epochs are unique', () => {
      return `${role} serves under ${epoch}, which is the other one's`;
    });
    for (const former of this.all) {
      requireThat(former.epoch !== epoch, 'epochs are unique', () => {
        return `${role} serves under ${epoch} again`;
      });
      const isJudged = this.#mode === 'witness' || former.role === role;
      requireThat(!isJudged || former.epoch < epoch, 'epochs ascend', () => {
        return `${role} serves under ${epoch}, after ${former.role} did under ${former.epoch}`;
      });
    }
    this.all.push({ role, epoch, counts: false });
  }

  /** What is done under this epoch counts. */
  mark(epoch: Epoch): void {
    for (const reign of this.all) if (reign.epoch === epoch) reign.counts = true;
  }

  /** The highest epoch of which `role` must have a copy to go on from; 0: it was the last one itself. */
  lastOfOther(role: Role): Epoch {
    const counting = this.all.filter(({ counts }) => counts);
    const last = counting.reduce((a, b) => (a.epoch > b.epoch ? a : b), NOBODY);
    return last.role === role ? 0 : last.epoch;
  }

  ended(): void {
    this.changes++;
  }

  /** After each step. */
  check(now: Instant, thrones: readonly Throne[]): void {
    const serving = thrones.filter(({ epoch }) => epoch > 0);
    if (serving.length < 2) {
      this.#twoSince = Infinity;
      return;
    }
    const two = serving.map(({ role, epoch }) => `${role} under ${epoch}`).join(' and ');
    requireThat(this.#mode !== 'witness', 'one serves', () => `${two} at ${now}`);
    this.#twoSince = Math.min(this.#twoSince, now);
    const limit = Math.max(this.#twoSince, this.#troubledUntil) + this.#tolerance;
    requireThat(now < limit, 'one serves', () => {
      return `${two} since ${this.#twoSince}, and nothing stands between them`;
    });
  }
}
