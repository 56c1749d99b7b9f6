/**
 * The seat of the active one: how a server comes to it, and how it leaves.
 *
 * `fire` looks a trigger up in the table and does what stands there. What is said and stored by it goes
 * out in this order: an epoch is durable before it is claimed, claimed before it is served under.
 */
import type { Epoch, StepDownReason } from '../core/election.ts';
import type { Instant } from '../core/machine.ts';
import { Candidacy } from './candidacy.ts';
import { restOf } from './claims.ts';
import type { GrantCommand, RefusalCommand } from './commands.ts';
import { nextEpoch } from './epochs.ts';
import { claimInterval } from './lease.ts';
import type { Lines } from './lines.ts';
import type { PairParts } from './pair-parts.ts';
import { transitionOf, type Action, type Trigger } from './transitions.ts';

/** Expiries for which one who has resigned lets the other one go first. */
const YIELDING = 3;

export class Seat {
  readonly candidacy: Candidacy;
  /** How often this machine became active. */
  takeovers = 0;
  readonly #parts: PairParts;
  readonly #lines: Lines;

  constructor(parts: PairParts, lines: Lines) {
    this.#parts = parts;
    this.#lines = lines;
    this.candidacy = new Candidacy(parts);
  }

  /** True while it tries to take over. */
  get isTrying(): boolean {
    const { phase } = this.#parts.state;
    return phase === 'preparing' || phase === 'claiming';
  }

  /** Something has happened: does what the table says, if it says anything. */
  fire(now: Instant, trigger: Trigger): void {
    const { mode, state } = this.#parts;
    const transition = transitionOf(state.phase, trigger, mode);
    if (transition === undefined) return;
    const from = state.phase;
    state.phase = transition.to;
    this.#act(now, transition.action, trigger, from === 'active');
  }

  /** Claims again if that is due, or gives it up for a while where nobody answers. */
  pursue(now: Instant): void {
    const { claims, state } = this.#parts;
    if (state.claims.dueAt > now) return;
    if (claims.isIgnored(now)) this.fire(now, 'unanswered');
    if (state.claims.dueAt <= now) this.claim(now);
  }

  /** Takes over if it is time to. */
  decide(now: Instant): void {
    const { state } = this.#parts;
    const at = this.candidacy.dueAt(now);
    state.takeoverAt = at > now ? at : Infinity;
    if (at <= now) this.fire(now, 'elected');
  }

  /** A voter says yes. */
  handleGrant(now: Instant, grant: GrantCommand): void {
    const { claims, state } = this.#parts;
    const isLonger = claims.granted(now, grant);
    if (isLonger) this.fire(now, 'granted');
    if (state.phase !== 'active' || !claims.grantsAlone(grant)) return;
    this.#parts.emit({ type: 'servesAlone', epoch: state.epoch });
  }

  /** A voter says no to a claim of ours that is outstanding; what epoch it knows is known already. */
  handleRefusal(now: Instant, { reason, epoch, timeLeft }: RefusalCommand, claimed: Epoch): void {
    const { claims, settings, state, voter } = this.#parts;
    if (state.phase !== 'claiming') return;
    if (reason === 'outdated') {
      if (claimed !== state.epoch || epoch < claimed) return;
      // Also if it is our own: it is spent, whoever had it.
      voter.learn(epoch);
      this.fire(now, 'outdated');
      return;
    }
    this.#parts.failed(now, reason, settings.lease);
    if (reason === 'unsynchronised') claims.rest(now);
    else if (timeLeft > 0) claims.hurry(now, Math.max(1, timeLeft));
  }

  /** Claims once more, from all voters. */
  claim(now: Instant): void {
    const { claims, settings, speaker, state } = this.#parts;
    const isActive = state.phase === 'active';
    const alone = isActive ? state.standing.alone : this.#willBeAlone;
    const isFirst = isActive || this.candidacy.goesFirst(now);
    const isSaid = this.#parts.sayToVoters({
      type: 'claim',
      ...speaker,
      number: claims.sent(now, state.epoch, alone),
      epoch: state.epoch,
      lease: settings.lease,
      synchronised: isFirst || !this.candidacy.isUnsynchronised,
      alone,
      // Who was elected is past the question what is lost by that: also a voter that was not asked takes it.
      forced: isActive || state.isPromoted,
    });
    if (!isSaid) claims.refusedRoom();
    this.#lines.claimed(now);
  }

  /** The user says whether what it does from now on nobody else has. */
  standAlone(now: Instant, alone: boolean): void {
    const { claims, mode, state } = this.#parts;
    state.standing.alone = alone;
    if (state.phase !== 'active') return;
    this.#parts.voter.serve(state.epoch, state.life, alone);
    if (mode === 'witness' && !(alone && state.claims.isAloneGranted)) claims.hurry(now, 0);
    else if (alone) this.#parts.emit({ type: 'servesAlone', epoch: state.epoch });
  }

  /** What it does as soon as it serves nobody else has, if there is anything to have. */
  get #willBeAlone(): boolean {
    const { standing } = this.#parts.state;
    return standing.alone || Number.isFinite(standing.holds);
  }

  #act(now: Instant, action: Action, trigger: Trigger, wasActive: boolean): void {
    switch (action) {
      case 'note':
      case 'renew':
        return;
      case 'prepare':
        return this.#prepare(now);
      case 'claim':
        return this.claim(now);
      case 'serve':
        return this.#serve(now);
      case 'stepDown':
        return this.#stepDown(now, trigger as StepDownReason);
      case 'giveUp':
        return this.#giveUp(now, trigger);
      case 'leave':
        return wasActive ? this.#stepDown(now, 'resigned') : this.#giveUp(now, trigger);
    }
  }

  #prepare(now: Instant): void {
    const { claims, kept, settings, state, voter } = this.#parts;
    const isVoted = this.candidacy.isVoted(now);
    claims.forget();
    const isReusable = state.unused > voter.epoch;
    state.epoch = isReusable ? state.unused : nextEpoch(settings.role, voter.epoch);
    state.unused = 0;
    if (isVoted) this.#parts.emit({ type: 'takeoverBegun', epoch: state.epoch });
    if (kept.keeps(state.epoch)) this.fire(now, 'stored');
  }

  #serve(now: Instant): void {
    const { claims, mode, settings, state, voter } = this.#parts;
    const { epoch, life, standing } = state;
    standing.alone = this.#willBeAlone;
    if (Number.isFinite(standing.holds)) standing.holds = epoch;
    voter.serve(epoch, life, standing.alone);
    state.peerServed = 0;
    state.isPromoted = false;
    state.yieldsAt = -Infinity;
    state.votedAt = -Infinity;
    state.told = '';
    this.takeovers++;
    this.#parts.emit({ type: 'becameActive', epoch });
    if (mode === 'witness') {
      // It may have been told of its state after it claimed; or have been refused by the other voter.
      const isKnown = !standing.alone || state.claims.aloneFrom < Infinity;
      claims.hurry(now, isKnown ? claimInterval(settings) : 0);
    } else if (standing.alone) {
      this.#parts.emit({ type: 'servesAlone', epoch });
    }
  }

  #stepDown(now: Instant, reason: StepDownReason): void {
    const { claims, mode, speaker, state } = this.#parts;
    const { epoch } = state;
    // Of an epoch under which nobody served nothing is to be had: then what is here is still the newest.
    const isOverruled = reason === 'peerActive' || state.peerServed > epoch;
    // Who has no state cannot lose any.
    if (isOverruled && Number.isFinite(state.standing.holds)) {
      state.standing.holds = 0;
      state.standing.alone = false;
    }
    state.epoch = 0;
    claims.forget();
    this.#parts.emit({ type: 'becamePassive', epoch, reason });
    if (mode === 'witness') this.#parts.sayToVoters({ type: 'release', ...speaker, epoch });
    if (reason === 'resigned') this.#yield(now);
  }

  /** Its epoch was shown to nobody who would act on it, and is good for another time. */
  #giveUp(now: Instant, trigger: Trigger): void {
    const { claims, kept, settings, state } = this.#parts;
    state.unused = state.epoch;
    state.epoch = 0;
    claims.forget();
    if (trigger === 'resigned') this.#yield(now);
    if (trigger === 'storeFailed') state.yieldsAt = kept.retryAt;
    if (trigger === 'unanswered') state.yieldsAt = now + restOf(settings);
  }

  #yield(now: Instant): void {
    const { heartbeatInterval, heartbeatLiveness } = this.#parts.settings;
    this.#parts.state.yieldsAt = now + YIELDING * heartbeatInterval * heartbeatLiveness;
    this.#parts.state.isPromoted = false;
  }
}
