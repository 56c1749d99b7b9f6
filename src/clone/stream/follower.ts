/**
 * The follower half of a stream: it asks until it has all there is, whatever becomes of links and servers.
 *
 *   off ──connected──► asking ──begin──► following ──redirect──► pausing ──► asking
 *                        ▲                   │ gap, wrong digest
 *                        └─── under a new number, the first time at once
 *
 * Whether something is missing, `intake.ts` finds out. Then all is asked for that comes after the position
 * that is visible here; whether it comes from the history or as a snapshot is the server's choice.
 *
 * What is done with updates and items is the owner's business: a replica, the backup of a pair, a
 * subscriber of a replay. The owner hears only of what is in order, of this stream, and of no old reign.
 */
import { EPOCH_LIMIT, type Epoch } from '../../core/election.ts';
import type { Instant } from '../../core/machine.ts';
import {
  weightOf,
  type BeginCommand,
  type Position,
  type RedirectCommand,
  type Sequence,
  type StreamCommand,
} from '../commands.ts';
import type { CloneClientStatus, SynchronisationLoss } from '../client-events.ts';
import { FollowLink, type FollowerSocket } from './follow-link.ts';
import type {
  DisconnectReason,
  FollowerEvent,
  FollowerOwner,
  FollowerSettings,
} from './follower-contract.ts';
import { Intake, type Verdict } from './intake.ts';
import { Progress } from './progress.ts';
import { Recovery } from './recovery.ts';

export type { FollowerEvent, FollowerOwner, FollowerSettings, FollowerSocket };

/** How often it asks for one stream before it goes elsewhere. */
const ASKING_LIMIT = 10;

export class Follower {
  readonly #settings: FollowerSettings;
  readonly #socket: FollowerSocket;
  readonly #owner: FollowerOwner;
  readonly #link: FollowLink;
  readonly #progress: Progress;
  readonly #recovery: Recovery;
  readonly #intake: Intake;
  readonly #state = {
    phase: 'off' as 'off' | 'asking' | 'pausing' | 'following',
    /** When it asks again. */
    phaseAt: Infinity,
    /** Never reset, so that nothing of an earlier stream is taken for one of this. */
    stream: 0,
    asks: 0,
    /** After which position; -1 for none. */
    asked: -1,
    /** A server has begun a stream on this link. */
    isServed: false,
    /** The highest epoch seen, and the one it was served under last. */
    highest: 0,
    servedUnder: 0,
    /** When it is given up that more will come, although there is more. */
    stallAt: Infinity,
  };

  constructor(socket: FollowerSocket, settings: FollowerSettings, owner: FollowerOwner) {
    this.#socket = socket;
    this.#settings = settings;
    this.#owner = owner;
    this.#link = new FollowLink(socket, settings);
    this.#progress = new Progress(settings);
    this.#recovery = new Recovery(settings);
    this.#intake = new Intake(owner, this.#recovery);
  }

  /** Plain data, for the fingerprint. */
  get states(): readonly object[] {
    const parts = [this.#link, this.#progress, this.#recovery, this.#intake];
    return [this.#state, ...parts.map(({ state }) => state)];
  }

  get nextTimeout(): Instant {
    const { phaseAt, stallAt } = this.#state;
    return Math.min(this.#link.nextTimeout, this.#progress.state.dueAt, phaseAt, stallAt);
  }

  /** Of what is visible, which nothing that is under way changes. Zeros before the first. */
  get position(): Position {
    return this.#intake.position;
  }

  /** Under the present reign all up to here is visible; -1: it is of another, wrong, or no stream has begun. */
  get shown(): Sequence {
    const { phase, servedUnder } = this.#state;
    const { epoch, isUsable, sequence } = this.#intake.state;
    return phase === 'following' && epoch === servedUnder && isUsable ? sequence : -1;
  }

  get isSynchronised(): boolean {
    return this.#intake.state.isSynchronised;
  }

  /** Under which it is, or was last, served; 0: never. */
  get epoch(): Epoch {
    return this.#state.servedUnder;
  }

  get endpoint(): string {
    return this.#link.endpoint;
  }

  get redirectedTo(): string {
    return this.#link.sentTo;
  }

  /** Milliseconds of silence after which the server counts as lost; 0 before the first. */
  get expiry(): number {
    return this.#link.expiry;
  }

  get phase(): CloneClientStatus['state'] {
    const { phase, isServed } = this.#state;
    const { isLoading, isSynchronised } = this.#intake.state;
    if (this.#link.state.phase === 'closed') return 'closed';
    if (phase === 'off') return 'disconnected';
    if (!isServed) return 'connecting';
    if (isLoading) return 'loading';
    return isSynchronised ? 'synchronised' : 'catchingUp';
  }

  // What its owner asks for

  /** More endpoints. */
  connect(now: Instant, endpoints: readonly string[]): void {
    if (this.#link.connect(now, endpoints)) this.#ask(now);
  }

  /** This endpoint alone; '' for none. Where it is there already nothing happens. */
  moveTo(now: Instant, endpoint: string): void {
    if (endpoint !== '' && endpoint === this.endpoint && this.#link.state.phase !== 'idle') return;
    this.#end(now, 'redirected', true);
    if (this.#link.moveTo(now, endpoint)) this.#ask(now);
  }

  /** What is there before it connects; undefined: nothing that can be gone on from. */
  startFrom(position: Position | undefined): void {
    this.#intake.startFrom(position);
    const { sequence } = this.#intake.state;
    this.#progress.acknowledge(sequence);
    this.#progress.goBack(sequence);
  }

  /** Somebody showed this epoch: whoever serves under a lower one is left when it is heard. */
  noteEpoch(epoch: Epoch): void {
    if (epoch <= EPOCH_LIMIT) this.#state.highest = Math.max(this.#state.highest, epoch);
  }

  /** Of a backup: all up to here is applied, and durable. */
  acknowledge(now: Instant, sequence: Sequence): void {
    this.#progress.acknowledge(sequence);
    this.#tellSoon(now);
  }

  /** So much that came is not consumed yet: there is no new credit for it. */
  withhold(weight: number): void {
    this.#progress.state.withheld += weight;
  }

  /** So much of what was withheld is consumed. */
  release(now: Instant, weight: number): void {
    const { state } = this.#progress;
    state.withheld = Math.max(0, state.withheld - weight);
    this.#giveCredit(now);
  }

  /** For good. */
  stop(now: Instant, farewell: boolean): void {
    this.#end(now, 'closed', farewell);
    this.#link.stop(farewell);
  }

  // Inputs

  handleCommand(now: Instant, command: StreamCommand | RedirectCommand): void {
    const { phase, stream } = this.#state;
    if (phase === 'off') return this.#ignore(now, 'unexpected');
    this.#link.heard(now);
    if (command.type === 'redirect') return this.#takeRedirect(now, command);
    if (command.stream !== stream || phase === 'pausing') return this.#ignore(now, 'stale');
    if (command.type === 'begin') return this.#takeBegin(now, command);
    if (phase === 'asking') {
      // What it began with was lost on the way.
      this.#ignore(now, 'unexpected');
      return this.#recover(now);
    }
    this.#progress.count(weightOf(command));
    const isNews = command.type !== 'beat' || this.#state.stallAt === Infinity;
    if (isNews) this.#state.stallAt = now + this.#link.expiry;
    this.#act(now, this.#intake.take(now, command));
    this.#giveCredit(now);
  }

  #act(now: Instant, verdict: Verdict): void {
    switch (verdict) {
      case 'inOrder':
        return;
      case 'caughtUp':
        this.#state.stallAt = Infinity;
        this.#link.succeed();
        return;
      case 'broken':
        return this.#recover(now);
      case 'overfull':
        // Perhaps another server has less, or this one later.
        return this.#leave(now, 'closed');
    }
  }

  /** Something came that has no stream. */
  heard(now: Instant): void {
    if (this.#state.phase === 'following') this.#link.heard(now);
  }

  handlePeerGone(now: Instant): void {
    if (this.#link.isUp) this.#leave(now, 'linkBroken');
  }

  handleWritable(now: Instant): void {
    this.#tellSoon(now);
  }

  handleTimeout(now: Instant): void {
    const late = now - this.nextTimeout;
    if (late > this.#link.state.agreed.heartbeatInterval) this.#forgive(now);
    while (this.nextTimeout <= now) this.#step(now);
  }

  /** Does one thing that is due. */
  #step(now: Instant): void {
    if (this.#link.wake(now)) return this.#ask(now);
    if (this.#link.isSilent(now)) return this.#leave(now, 'silent');
    const { phase, phaseAt, stallAt } = this.#state;
    if (phaseAt <= now) return phase === 'pausing' ? this.#ask(now) : this.#askAgain(now);
    return stallAt <= now ? this.#handleStall(now) : this.#tell(now);
  }

  /** There is more, and it does not come: a beat was lost, and its credit with it. */
  #handleStall(now: Instant): void {
    if (this.#progress.state.withheld === 0) return this.#recover(now);
    this.#state.stallAt = now + this.#link.expiry;
  }

  // A stream

  #ask(now: Instant): void {
    const state = this.#state;
    state.stream++;
    state.asks = 0;
    state.stallAt = Infinity;
    state.phase = 'asking';
    this.#progress.restart();
    this.#link.expect(now);
    this.#askAgain(now);
  }

  #askAgain(now: Instant): void {
    const state = this.#state;
    if (state.asks++ === ASKING_LIMIT) return this.#leave(now, 'silent');
    const { subtree, window, kind, writer, heartbeatInterval, heartbeatLiveness } = this.#settings;
    const { stream, highest: epoch } = state;
    const { isUsable, sequence } = this.#intake.state;
    state.asked = isUsable ? sequence : -1;
    state.phaseAt = now + heartbeatInterval;
    this.#socket.send({
      type: 'follow',
      stream,
      subtree,
      position: isUsable ? this.position : undefined,
      window,
      epoch,
      isBackup: kind === 'backup',
      writer,
      heartbeatInterval,
      heartbeatLiveness,
    });
  }

  #takeBegin(now: Instant, begin: BeginCommand): void {
    const state = this.#state;
    if (begin.epoch > EPOCH_LIMIT) return this.#ignore(now, 'unexpected');
    // Nobody takes over from a publisher of messages: there a lower one is of a clock that was put back.
    const isOld = begin.epoch < state.highest && this.#settings.kind !== 'messages';
    if (isOld) return this.#leaveOutdated(now);
    state.highest = begin.epoch;
    if (!this.#isAnswer(begin)) {
      this.#ignore(now, 'unexpected');
      return this.#recover(now);
    }
    this.#link.agree(now, begin);
    this.#progress.count(weightOf(begin));
    state.phase = 'following';
    state.phaseAt = Infinity;
    state.stallAt = now + this.#link.expiry;
    this.#progress.goBack(begin.mode === 'snapshot' ? 0 : begin.sequence);
    this.#intake.begin(now, begin);
    this.#owner.handleBegin(now, begin);
    this.#noteServed(now, begin);
    if (this.#settings.kind === 'backup') this.#tellSoon(now);
  }

  /** Only a snapshot may begin in the middle of a stream. */
  #isAnswer({ mode, sequence }: BeginCommand): boolean {
    const { phase, asked } = this.#state;
    const isForMessages = this.#settings.kind === 'messages';
    if (mode === 'snapshot') return !isForMessages;
    if (phase !== 'asking') return false;
    if (mode === 'lost') return isForMessages;
    return sequence === asked || (isForMessages && asked < 0);
  }

  #noteServed(now: Instant, { epoch, mode }: BeginCommand): void {
    const state = this.#state;
    const { endpoint } = this;
    const { isServed, servedUnder: former } = state;
    state.isServed = true;
    state.servedUnder = epoch;
    if (!isServed) this.#emit(now, { type: 'connected', endpoint, epoch });
    if (former === 0 || former === epoch) return;
    const isContinued = mode === 'continue';
    this.#emit(now, { type: 'failedOver', epoch, endpoint, isContinued });
  }

  // What goes wrong

  /** A new reign was seen: the server learns of it before it is left. */
  #leaveOutdated(now: Instant): void {
    this.#ignore(now, 'outdated');
    this.#tell(now);
    this.#leave(now, 'outdated');
  }

  /** The stream is given up, and asked for anew: at once, unless that has failed before. */
  #recover(now: Instant): void {
    this.#intake.discard(now);
    this.#intake.lose(now, 'gap');
    const delay = this.#recovery.next();
    if (delay === 0) this.#ask(now);
    else this.#pause(now + delay);
  }

  #pause(until: Instant): void {
    const state = this.#state;
    state.phase = 'pausing';
    state.phaseAt = until;
    state.stallAt = Infinity;
    this.#progress.restart();
    this.#link.expectNothing();
  }

  #takeRedirect(now: Instant, { epoch, endpoint }: RedirectCommand): void {
    const { isServed, phase } = this.#state;
    const { endpoint: from } = this;
    this.noteEpoch(epoch);
    // It said so before.
    if (phase === 'pausing' && !isServed && !this.#link.isElsewhere(endpoint)) return;
    const moved = this.#link.redirect(now, endpoint);
    this.#drop(now, 'redirected');
    if (isServed) this.#emit(now, { type: 'disconnected', endpoint: from, reason: 'redirected' });
    if (moved === 'there') this.#ask(now);
    else if (moved === 'nowhere') this.#pause(now + this.#link.standingDelay);
  }

  /** Nobody is followed any more. */
  #end(now: Instant, reason: DisconnectReason, farewell: boolean): void {
    const { isServed } = this.#state;
    const { endpoint } = this;
    if (farewell && this.#link.isUp) this.#socket.send({ type: 'goodbye' });
    this.#drop(now, reason === 'closed' ? undefined : 'redirected');
    if (isServed) this.#emit(now, { type: 'disconnected', endpoint, reason });
  }

  /** It is over with this server. */
  #leave(now: Instant, reason: DisconnectReason): void {
    const { isServed } = this.#state;
    const { endpoint } = this;
    const farewell = reason === 'outdated' || reason === 'closed';
    if (farewell) this.#socket.send({ type: 'goodbye' });
    if (reason === 'linkBroken') this.#link.leaveBroken(now);
    else if (reason === 'silent') this.#link.leaveSilent(now);
    else this.#link.leave(now, farewell);
    this.#drop(now, reason === 'closed' ? 'snapshot' : reason);
    if (!isServed && reason !== 'outdated') return;
    this.#emit(now, { type: 'disconnected', endpoint, reason });
  }

  /** The stream is over, and the link with it. */
  #drop(now: Instant, reason: SynchronisationLoss | undefined): void {
    const state = this.#state;
    this.#intake.discard(now);
    this.#intake.lose(now, reason);
    state.phase = 'off';
    state.isServed = false;
    state.phaseAt = Infinity;
    state.stallAt = Infinity;
    this.#progress.restart();
  }

  /** This side was stopped: that nothing was heard is no evidence against the server. */
  #forgive(now: Instant): void {
    const state = this.#state;
    this.#link.forgive(now);
    const { heartbeatInterval } = this.#link.state.agreed;
    if (state.stallAt < Infinity) state.stallAt = Math.max(state.stallAt, now + heartbeatInterval);
  }

  // What is said

  #giveCredit(now: Instant): void {
    if (this.#progress.isOwed) this.#tellSoon(now);
  }

  /** At once, and then once more for all that comes in the same turn. */
  #tellSoon(now: Instant): void {
    if (this.#state.phase !== 'following') return;
    if (this.#progress.isDueNow(now)) this.#tell(now);
  }

  #tell(now: Instant): void {
    const progress = this.#progress;
    const { stream, highest: epoch } = this.#state;
    const { isLoading, sequence: visible } = this.#intake.state;
    const { credited: received } = progress;
    const { acknowledged } = progress.state;
    const applied = isLoading ? 0 : visible;
    const sequence = this.#settings.kind === 'backup' ? acknowledged : applied;
    this.#link.beaten(now);
    progress.noteTelling(now);
    const isSent = this.#socket.send({ type: 'progress', stream, received, sequence, epoch });
    if (isSent) progress.noteTold(received);
  }

  #ignore(now: Instant, reason: 'stale' | 'outdated' | 'unexpected'): void {
    this.#emit(now, { type: 'ignored', reason });
  }

  #emit(now: Instant, event: FollowerEvent): void {
    this.#owner.handleEvent(now, event);
  }
}
