/**
 * One server of a Binary Star as a pure machine.
 *
 * Primary and backup are configuration, active and passive are state. Each tells the other how it is with
 * it, and whoever serves does so under an epoch that is higher than all before, which was stored before
 * anybody saw it. Who may serve is decided by clients, who vote by coming, or by voters, who grant leases.
 * This is the outer side of it: what is heard, what is said, and time. The parts, each of which
 * knows one thing, are named in `pair-parts.ts`; the states are a table, in `transitions.ts`.
 */
import type { Epoch, Guard, Standing } from '../core/election.ts';
import { fingerprintOf } from '../core/fingerprint.ts';
import { expiryOf } from '../core/heartbeat.ts';
import type { Address, Instant, Machine } from '../core/machine.ts';
import type { PairInput } from './commands.ts';
import type { PairCall, PairPort, PairRecord, PairStatus } from './failover-events.ts';
import { newPairState, type PairSettings, type PairState } from './pair-state.ts';
import { PairParts, type PairOutbox } from './pair-parts.ts';
import { isEndpoint } from './protocol.ts';
import { Hearing } from './hearing.ts';
import { Lines } from './lines.ts';
import { reachable } from './reachable.ts';
import { Seat } from './seat.ts';
import { Voice } from './voice.ts';
import { Voting } from './voting.ts';

export type { PairSettings, PairState } from './pair-state.ts';

export class PairMachine implements Machine<PairPort, PairInput, PairCall>, Guard {
  /** Plain data: a copy of it, handed to another machine, goes on from here. */
  readonly state: PairState;
  readonly #parts: PairParts;
  readonly #lines: Lines;
  readonly #seat: Seat;
  readonly #voting: Voting;
  readonly #voice: Voice;
  readonly #hearing: Hearing;

  /**
   * @param record what was stored last; undefined if nothing ever was
   * @param state that of another machine with the same settings, to go on from
   */
  constructor(
    outbox: PairOutbox,
    settings: PairSettings,
    record: PairRecord | undefined,
    state: PairState = newPairState(record),
  ) {
    this.state = state;
    this.#parts = new PairParts(outbox, settings, state);
    this.#lines = new Lines(this.#parts);
    this.#seat = new Seat(this.#parts, this.#lines);
    this.#voting = new Voting(this.#parts, this.#seat);
    this.#voice = new Voice(this.#parts, this.#seat);
    this.#hearing = new Hearing(this.#parts, this.#seat, this.#voting, this.#voice, this.#lines);
  }

  // What its user asks at any time

  epochAt(now: Instant): Epoch {
    return this.state.phase === 'active' && now < this.#servesUntil ? this.state.epoch : 0;
  }

  get highestEpoch(): Epoch {
    return this.#parts.voter.epoch;
  }

  get activeEndpoint(): string {
    if (this.state.phase === 'active') return this.state.standing.endpoint;
    const { peer } = this.#parts;
    return peer.serves(this.highestEpoch) && !peer.isSuspect ? this.#peerEndpoint : '';
  }

  seen(now: Instant, epoch: Epoch): void {
    this.handleCall(now, { type: 'seen', epoch });
  }

  asked(now: Instant): void {
    this.handleCall(now, { type: 'asked' });
  }

  status(now: Instant): PairStatus {
    const { settings, state } = this.#parts;
    const { contact, state: said } = state.peer;
    const isActive = state.phase === 'active';
    const hasLease = isActive && this.#parts.mode === 'witness';
    return {
      pair: settings.pair,
      role: settings.role,
      state: state.phase,
      epoch: isActive ? state.epoch : 0,
      highestEpoch: this.highestEpoch,
      life: state.life,
      peer: contact === 'heard' ? said : contact,
      witness: settings.witness === undefined ? 'none' : state.isWitnessHeard ? 'heard' : 'lost',
      leaseLeft: hasLease ? Math.max(0, this.#servesUntil - now) : isActive ? Infinity : 0,
      takeovers: this.#seat.takeovers,
      stepDowns: { ...this.#parts.stepDowns },
      events: { ...this.#parts.events },
    };
  }

  // The machine

  get nextTimeout(): Instant {
    const { claims, kept, peer, state, voter } = this.#parts;
    if (state.phase === 'closed') return Infinity;
    if (!state.isBegun) return -Infinity;
    return Math.min(
      state.beatAt,
      peer.nextDue,
      claims.nextDue,
      state.takeoverAt,
      state.leavesAt,
      this.#lines.nextDue,
      whenSet(kept.retryAt),
      whenSet(voter.promisedAt),
    );
  }

  fingerprint(now: Instant): string {
    return fingerprintOf(this.state, now);
  }

  handleCommand(now: Instant, port: PairPort, from: Address, command: PairInput): void {
    this.#turn(now, () => this.#hearing.hear(now, port, from, command));
  }

  handleMalformed(now: Instant, _port: PairPort, _from: Address, reason: string): void {
    this.#turn(now, () => this.#parts.emit({ type: 'malformed', reason }));
  }

  handleCall(now: Instant, call: PairCall): void {
    this.#turn(now, () => this.#obey(now, call));
  }

  handlePeerGone(now: Instant, port: PairPort, from: Address): void {
    this.#turn(now, () => {
      const { peer, settings, state } = this.#parts;
      if (port === 'witness') {
        this.#lines.witnessNoticed(now);
      } else if (port === 'peer' || from === state.peer.address) {
        if (!peer.suspect(now)) return;
        state.listensAt = now + settings.heartbeatInterval;
        // It suspects us as well: a word of ours takes that back.
        this.#voice.say(now);
      }
    });
  }

  /** What did not fit is said again, as it is now: until then the others may think that it serves alone. */
  handleWritable(now: Instant): void {
    this.#turn(now, () => this.#parts.claims.hasRoom(now));
  }

  handleStored(now: Instant, token: number, error?: Error): void {
    this.#turn(now, () => {
      const { kept, state } = this.#parts;
      const wasAlive = kept.isAlive;
      if (!kept.answered(now, token, error === undefined)) return;
      if (error !== undefined) {
        this.#parts.emit({ type: 'storeFailed', message: error.message });
        if (state.phase === 'preparing') this.#failStoring(now);
        return;
      }
      if (!wasAlive) state.beatAt = now;
      if (state.phase === 'preparing' && kept.keeps(state.epoch)) this.#seat.fire(now, 'stored');
      this.#voting.answer(now);
    });
  }

  handleTimeout(now: Instant): void {
    if (this.nextTimeout <= now) this.#turn(now, () => {});
  }

  #obey(now: Instant, call: PairCall): void {
    const { state } = this.#parts;
    switch (call.type) {
      case 'stand':
        return this.#stand(now, call.standing);
      case 'seen':
        return this.#hearing.seen(now, call.epoch);
      case 'asked':
        state.votedAt = now + expiryOf(this.#parts.settings);
        return;
      case 'promote':
        return this.#promote(now);
      case 'resign':
        return this.#seat.fire(now, 'resigned');
      case 'drain':
        state.leavesAt = now + this.#parts.settings.heartbeatInterval;
        return;
      case 'stop':
        return this.#leave(now);
    }
  }

  #stand(now: Instant, { endpoint, holds, alone }: Standing): void {
    const { standing } = this.state;
    if (endpoint !== undefined) standing.endpoint = isEndpoint(endpoint) ? endpoint : '';
    if (holds !== undefined) {
      standing.holds = holds;
      // What it did alone is no part of it any more, or the other one has it, too.
      if (this.state.phase !== 'active') standing.alone = false;
    }
    if (alone !== undefined) this.#seat.standAlone(now, alone);
  }

  /**
   * Who serves stays a moment if its lines were full: a peer that has not heard that it serves alone no more
   * would not take over.
   */
  #mayLeave(now: Instant): boolean {
    const { claims, peer, state } = this.#parts;
    if (state.leavesAt === Infinity) return false;
    const isSaid = state.said !== '' && !claims.isUnsaid;
    return isSaid || state.phase !== 'active' || !peer.isHeard || state.leavesAt <= now;
  }

  #leave(now: Instant): void {
    this.#seat.fire(now, 'closed');
    this.#voice.say(now);
    this.#parts.emit({ type: 'drained' });
  }

  #promote(now: Instant): void {
    const { claims, peer, state } = this.#parts;
    if (state.phase === 'active') return;
    if (peer.serves(this.highestEpoch)) return this.#parts.failed(now, 'held', 0);
    state.isPromoted = true;
    state.yieldsAt = -Infinity;
    if (state.phase === 'claiming') claims.hurry(now, 0);
  }

  // One turn: time comes first, then what has happened, then what follows from both.

  #turn(now: Instant, handle: () => void): void {
    if (this.state.phase === 'closed') return;
    if (!this.state.isBegun) this.#begin(now);
    this.#passTime(now);
    handle();
    if (this.#isClosed) return;
    this.#seat.pursue(now);
    this.#seat.decide(now);
    this.#forget(now);
    this.#store(now);
    this.#follow();
    this.#voice.speak(now);
    if (this.#mayLeave(now)) this.#leave(now);
  }

  get #isClosed(): boolean {
    return this.state.phase === 'closed';
  }

  #begin(now: Instant): void {
    const { peer, settings, state } = this.#parts;
    state.isBegun = true;
    this.#lines.begin(now);
    peer.begin(now);
    state.listensAt = now + settings.heartbeatInterval;
    if (settings.witness !== undefined) state.promisesOverAt = now + settings.lease;
    // Where clients vote one that is started alone serves, whatever a former life heard of.
    else state.peerServed = 0;
  }

  #passTime(now: Instant): void {
    const { peer, settings, state } = this.#parts;
    const late = now - this.nextTimeout;
    if (state.beatAt + this.#patience <= now) this.#wake(now);
    // Who was late itself has not heard the peer: that is no evidence against it.
    else if (late > settings.heartbeatInterval) peer.forgive(now, settings.heartbeatInterval);
    if (state.claims.leaseEndsAt <= now) this.#seat.fire(now, 'leaseEnded');
    const loss = peer.expire(now);
    if (loss !== undefined) {
      this.#lines.peerLost(now);
      this.#parts.emit({ type: 'peerLost', reason: loss });
    }
    this.#lines.passTime(now);
  }

  /** It has said nothing for so long that whoever listened has given it up. */
  #wake(now: Instant): void {
    const { peer, settings, state } = this.#parts;
    const milliseconds = Math.round(now - state.beatAt + settings.heartbeatInterval);
    this.#parts.emit({ type: 'wasStopped', milliseconds });
    peer.forgive(now, expiryOf(settings));
    state.listensAt = now + settings.heartbeatInterval;
    this.#lines.forgive(now);
    this.#seat.fire(now, 'stopped');
  }

  /** Milliseconds after a missed heartbeat at which this server counts as silent. */
  get #patience(): number {
    const { settings } = this.#parts;
    return expiryOf(settings) - settings.heartbeatInterval;
  }

  get #servesUntil(): Instant {
    const { claims, mode, state } = this.#parts;
    return mode === 'witness' ? claims.leaseEndsAt : state.beatAt + this.#patience;
  }

  /** What is over is all the same, however long ago. */
  #forget(now: Instant): void {
    const { kept, state, voter } = this.#parts;
    const lapsed = (at: Instant): Instant => (at > now ? at : -Infinity);
    state.votedAt = lapsed(state.votedAt);
    state.yieldsAt = lapsed(state.yieldsAt);
    state.listensAt = lapsed(state.listensAt);
    state.promisesOverAt = lapsed(state.promisesOverAt);
    state.toldAt = lapsed(state.toldAt);
    if (state.toldAt === -Infinity) state.told = '';
    kept.lapse(now);
    voter.lapse(now);
  }

  // What is stored

  #store(now: Instant): void {
    const { kept, outbox, settings, state, voter } = this.#parts;
    const epoch = Math.max(voter.epoch, state.epoch);
    const { life, peerServed } = state;
    const token = kept.write(now, { life, epoch, peerServed });
    if (token === undefined) return;
    const { pair, role } = settings;
    const record: PairRecord = { version: 1, pair, role, life, epoch, peerServed };
    outbox.store(token, record);
  }

  #failStoring(now: Instant): void {
    this.#seat.fire(now, 'storeFailed');
    this.#parts.failed(now, 'storeFailed', 0);
  }

  get #peerEndpoint(): string {
    return reachable(this.state.peer.endpoint, this.#parts.settings.peer);
  }

  /** Tells when somebody else serves, or at another place, or nobody any more. */
  #follow(): void {
    const { peer, state } = this.#parts;
    const isActive = state.phase === 'active';
    const isThere = !isActive && peer.serves(this.highestEpoch);
    const epoch = isThere ? state.peer.epoch : 0;
    const endpoint = isThere ? this.#peerEndpoint : '';
    const before = state.followed;
    const isSame = isThere === before.isThere && epoch === before.epoch;
    if (isSame && endpoint === before.endpoint) return;
    state.followed = { isThere, epoch, endpoint };
    if (isActive) return;
    this.#parts.emit({ type: 'activeChanged', epoch: epoch || this.highestEpoch, endpoint });
  }
}

/** `-Infinity` says that there is none. */
function whenSet(at: Instant): Instant {
  return at === -Infinity ? Infinity : at;
}
