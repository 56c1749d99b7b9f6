/**
 * What each voter has promised, in the time of the world: a promise outlives the process that gave it,
 * whatever that remembers of it.
 */
import type { Epoch } from '../../core/election.ts';
import type { Instant } from '../../core/machine.ts';
import type { ClaimCommand, GrantCommand, ReleaseCommand, Role } from '../../failover/commands.ts';
import { requireThat } from '../violation.ts';

/** No clock of a plan is further from the world's. */
export const CLOCK_ERROR = 0.05;

/** Milliseconds by which two sums of the same instants may differ. */
const ROUNDING = 1e-6;

interface Promised {
  readonly claim: ClaimCommand;
  readonly until: Instant;
  isOver: boolean;
}

export class Promises {
  readonly #voter: string;
  #last: Promised | undefined;
  #highest: Epoch = 0;
  /** What was claimed in this life of the voter, and when that came. */
  readonly #claims = new Map<string, { readonly claim: ClaimCommand; readonly at: Instant }>();
  /** Who was to serve whatever is lost by that, since anything was granted. */
  #pardoned: Role | undefined;
  /** The last holder serves alone, or did, as far as this voter can know. */
  #isAlone = false;

  constructor(voter: string) {
    this.#voter = voter;
  }

  readonly #heard = new Map<Role, { readonly life: number; readonly number: number }>();

  /** The voter was started again. @param remembers whether it stores who served alone */
  restarted(remembers: boolean): void {
    this.#heard.clear();
    this.#claims.clear();
    if (!remembers) this.#isAlone = false;
  }

  /** To whom it has promised not to say yes to anybody else, as far as the world goes. */
  holderAt(now: Instant): Role | undefined {
    const last = this.#last;
    if (last === undefined || last.isOver || now >= last.until - ROUNDING) return undefined;
    return last.claim.role;
  }

  /** A claim came; true if it was said before the last one that counted, and so counts for nothing. */
  isStale(now: Instant, claim: ClaimCommand): boolean {
    const { role, life, number, epoch, alone } = claim;
    const last = this.#heard.get(role);
    if (last !== undefined && (life < last.life || (life === last.life && number <= last.number))) {
      return true;
    }
    this.#heard.set(role, { life, number });
    this.#claims.set(keyOf(claim), { claim: { ...claim }, at: now });
    const holder = this.#last?.claim;
    if (holder?.role === role && holder.epoch <= epoch && !alone) this.#isAlone = false;
    if (claim.forced) this.#pardoned = role;
    return false;
  }

  released(command: ReleaseCommand): void {
    const last = this.#last;
    if (last === undefined) return;
    const { role, life, epoch } = last.claim;
    if (command.role === role && command.life === life && command.epoch === epoch) {
      last.isOver = true;
    }
  }

  /** Returns the claim that is granted. */
  granted(now: Instant, grant: GrantCommand): ClaimCommand {
    const claimed = this.#claims.get(keyOf(grant));
    requireThat(claimed?.claim.epoch === grant.epoch, 'voters keep their word', () => {
      return `${this.#voter} grants ${grant.epoch} to ${grant.role}, which nobody claimed so`;
    });
    const { claim, at } = claimed;
    const keeps = (holds: boolean, why: string): void =>
      requireThat(holds, 'voters keep their word', () => {
        return `${this.#voter} grants ${claim.epoch} to ${claim.role}: ${why}`;
      });
    const last = this.#last;
    const holder = this.holderAt(now);
    keeps(holder === undefined || holder === claim.role, `it has promised ${last?.claim.epoch}`);
    const isSame =
      last !== undefined &&
      last.claim.role === claim.role &&
      last.claim.life === claim.life &&
      last.claim.epoch === claim.epoch;
    keeps(isSame || claim.epoch > this.#highest, `it has granted ${this.#highest}`);
    const isPardoned = claim.forced || this.#pardoned === claim.role;
    if (last !== undefined && last.claim.role !== claim.role && !isPardoned) {
      requireThat(claim.synchronised, 'unsynchronised stays passive', () => {
        return `${this.#voter} grants ${claim.epoch} to ${claim.role}, which lacks something`;
      });
      requireThat(!this.#isAlone, 'unsynchronised stays passive', () => {
        return `${this.#voter} grants ${claim.epoch} to ${claim.role}, and the other served alone`;
      });
    }
    this.#highest = Math.max(this.#highest, claim.epoch);
    this.#pardoned = undefined;
    this.#isAlone = claim.alone;
    // Of a claim that waited to be stored the promise began when it came.
    this.#last = { claim, until: at + claim.lease / (1 + CLOCK_ERROR), isOver: false };
    return claim;
  }
}

function keyOf({ role, life, number }: ClaimCommand | GrantCommand): string {
  return `${role}/${life}.${number}`;
}
