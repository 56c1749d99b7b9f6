/**
 * Whether one server has reason to serve: what its user and its clients told it, against what it may
 * believe of the other one; and, with a witness, whether anything is lost by it in the eyes of the world.
 */
import type { Epoch, StepDownReason } from '../../core/election.ts';
import { expiryOf } from '../../core/heartbeat.ts';
import type { Instant } from '../../core/machine.ts';
import type { PairCall } from '../../failover/failover-events.ts';
import { requireThat } from '../violation.ts';
import type { PeerSettings, PeerView } from './peer-view.ts';
import { otherOf, type FailoverStage } from './stage.ts';

/** Milliseconds by which two sums of the same instants may differ. */
const ROUNDING = 1e-3;

export class Reasons {
  readonly #stage: FailoverStage;
  readonly #name: string;
  readonly #settings: PeerSettings;
  readonly #peer: PeerView;
  #now: Instant = 0;
  #startedAt: Instant | undefined;
  /** Its last life heard of the other one what no record tells. */
  readonly #hasForgotten: boolean;
  #holds: number;
  /** It serves alone, or did when it served last: nobody else has what it did. */
  #isAlone = false;
  #serves = false;
  #askedAt: Instant = -Infinity;
  #isPromoted = false;

  constructor(stage: FailoverStage, name: string, settings: PeerSettings, peer: PeerView) {
    this.#stage = stage;
    this.#name = name;
    this.#settings = settings;
    this.#peer = peer;
    this.#hasForgotten = stage.hasForgotten(name);
    // It says so in its first turn.
    this.#holds = stage.plan.isStateful ? 0 : Infinity;
  }

  /** The epoch of the state that it has, as it was told. */
  get holds(): number {
    return this.#holds;
  }

  /** It lacks what the other one was heard to do, and nothing makes up for that. */
  get mustWait(): boolean {
    return this.#isUnsynchronised && !this.#isPeerPassive(this.#now) && !this.#isPromoted;
  }

  begin(now: Instant): void {
    this.#now = now;
    this.#startedAt ??= now;
  }

  called(call: PairCall): void {
    if (call.type === 'asked') this.#askedAt = this.#now;
    else if (call.type === 'promote') {
      this.#isPromoted = true;
      this.#stage.promoted.add(this.#name);
    } else if (call.type === 'stand') {
      const { holds, alone } = call.standing;
      if (holds !== undefined && !this.#serves) this.#isAlone = false;
      this.#holds = holds ?? this.#holds;
      this.#isAlone = alone ?? this.#isAlone;
    }
  }

  served(): void {
    this.#serves = true;
    this.#isAlone ||= Number.isFinite(this.#holds);
    this.#isPromoted = false;
    this.#stage.promoted.delete(this.#name);
  }

  /** What it did since the other one began is worth nothing, if that did; who has no state has lost none. */
  deposed(epoch: Epoch, reason: StepDownReason): void {
    const isOverruled = reason === 'peerActive' || this.#peer.servedUnder > epoch;
    this.#serves = false;
    if (!isOverruled || !Number.isFinite(this.#holds)) return;
    this.#holds = 0;
    this.#isAlone = false;
  }

  /** With a witness nothing that counts is lost by it: what the other one still has, it has too. */
  checkHeritage(epoch: Epoch): void {
    const { holders, plan, promoted, reigns } = this.#stage;
    // A voter may remember what a former life was told.
    if (plan.mode !== 'witness' || promoted.has(this.#name) || this.#hasForgotten) return;
    const last = reigns.lastOfOther(this.#settings.role);
    const other = holders.get(otherOf(this.#name))?.() ?? 0;
    requireThat(this.#holds >= last || other < last, 'unsynchronised stays passive', () => {
      return `${this.#name} serves under ${epoch} with what there was under ${this.#holds}, not ${last}`;
    });
  }

  /** Where nobody grants leases: silence and a vote, or both are there, or a person said so. */
  check(highest: Epoch): void {
    const now = this.#now;
    const { last } = this.#peer;
    const isOver = last?.state === 'active' && last.epoch < highest;
    const isSilent = isOver || (this.#peer.mayBeLostAt(now) && now >= this.#silentSince);
    const isAsked = now <= this.#askedAt + expiryOf(this.#settings) + ROUNDING;
    const isVote = isSilent && isAsked && (this.#isPromoted || !this.#isUnsynchronised);
    const isPreferred = this.#isPeerPassive(now) && this.#isPreferred;
    const isTold = this.#isPromoted && this.#peer.beliefAt(now) !== 'active';
    const invariant =
      isSilent && isAsked && !isVote ? 'unsynchronised stays passive' : 'takes over for a reason';
    requireThat(isVote || isPreferred || isTold, invariant, () => {
      return `${this.#name} wants to serve: silent ${isSilent}, asked ${isAsked}`;
    });
  }

  /** A peer that was never heard is waited for as long as one that is silent. */
  get #silentSince(): Instant {
    const start = this.#startedAt ?? this.#now;
    return this.#peer.last === undefined ? start + expiryOf(this.#settings) - ROUNDING : start;
  }

  #isPeerPassive(now: Instant): boolean {
    const state = this.#peer.last?.state;
    const isThere = !['lost', 'unheard'].includes(this.#peer.beliefAt(now));
    return isThere && (state === 'waiting' || state === 'passive');
  }

  get #isPreferred(): boolean {
    const isPrimary = this.#settings.role === 'primary';
    if (this.#stage.isStock) return isPrimary;
    const { holds: other = Infinity, alone = false } = this.#peer.last ?? {};
    if (this.#holds !== other) return this.#holds > other;
    return this.#isAlone === alone ? isPrimary : this.#isAlone;
  }

  get #isUnsynchronised(): boolean {
    return this.#peer.servedUnder > this.#holds;
  }
}
