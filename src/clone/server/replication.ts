/**
 * What the active server of a pair knows of the other one: whether what it does may become public.
 *
 *   none ──follows──► loading ──was sent all──► trailing ──has that──► joining ──has all──► synchronised
 *                                                  ▲                      │ acknowledges nothing │
 *                                                  └──────────────────────┴──────────────────────┘
 *
 * Without a backup that has all, it asks to serve alone: whoever decides then elects nobody else, and only
 * once that is known (`granted`) anything becomes public. From `joining` on nothing becomes public that the
 * backup has not acknowledged; once that has all that was public before, it may be elected again.
 */
import type { Epoch } from '../../core/election.ts';
import { expiryOf } from '../../core/heartbeat.ts';
import type { Address, Instant } from '../../core/machine.ts';
import type { FollowCommand, Sequence } from '../commands.ts';
import type { FollowerLossReason } from '../server-events.ts';
import type { BackupWatch } from '../stream/feed.ts';
import type { History } from '../stream/history.ts';
import type { ServerSettings } from './settings.ts';
import type { Voice } from './voice.ts';

export type ReplicationSettings = Pick<
  ServerSettings,
  'guard' | 'noticeGrace' | 'heartbeatInterval' | 'heartbeatLiveness'
>;

export class Replication implements BackupWatch {
  readonly #history: History;
  readonly #settings: ReplicationSettings;
  readonly #voice: Voice;
  readonly #state = {
    /** Under which it serves; 0 while it does not. */
    epoch: 0,
    phase: 'none' as 'none' | 'loading' | 'trailing' | 'joining' | 'synchronised',
    /** Whose the backup is: another life of it begins only when this one is over. */
    writer: '',
    /** What it has to acknowledge for the next phase: what was public when this one began. */
    target: 0 as Sequence,
    acknowledged: 0 as Sequence,
    /** Whether nobody else may serve: it may, it was asked for, or it is so. */
    alone: 'no' as 'no' | 'asked' | 'granted',
    /** When that is asked for, unless the backup is back before. */
    aloneAt: Infinity,
    /** When it is waited for no longer, unless it acknowledges something before; Infinity: nothing waits. */
    stallAt: Infinity,
  };

  constructor(history: History, settings: ReplicationSettings, voice: Voice) {
    this.#history = history;
    this.#settings = settings;
    this.#voice = voice;
  }

  get nextDue(): Instant {
    return Math.min(this.#state.aloneAt, this.#state.stallAt);
  }

  /** Plain data, for the fingerprint. */
  get state(): object {
    return this.#state;
  }

  get status(): 'none' | 'catchingUp' | 'synchronised' {
    const { phase } = this.#state;
    return phase === 'none' || phase === 'synchronised' ? phase : 'catchingUp';
  }

  /** There is another server. */
  get isOfPair(): boolean {
    return this.#settings.guard !== undefined;
  }

  /** It may go on although no backup has what it does. */
  get isAlone(): boolean {
    return this.#settings.guard === undefined || this.#state.alone === 'granted';
  }

  /** True if a backup may have been sent what was accepted. */
  get isWatched(): boolean {
    return this.#state.phase !== 'none';
  }

  /** True if this update need not wait for anybody. */
  mayPublish(sequence: Sequence): boolean {
    if (this.#settings.guard === undefined) return true;
    const { acknowledged, alone } = this.#state;
    return this.#isAwaited ? sequence <= acknowledged : alone === 'granted';
  }

  /** Something waits, maybe for the backup: not for ever. */
  wait(now: Instant): void {
    if (!this.#isAwaited || this.#state.stallAt < Infinity) return;
    this.#state.stallAt = now + expiryOf(this.#settings);
  }

  /** True if the other server surely has this update, and may be elected. */
  isReplicated(sequence: Sequence): boolean {
    const { phase, acknowledged } = this.#state;
    return phase === 'synchronised' && sequence <= acknowledged;
  }

  /** It serves from now on: what it does nobody else has yet. */
  begin(epoch: Epoch): void {
    this.#state.epoch = epoch;
    this.#state.alone = 'asked';
    this.#voice.emit({ type: 'holds', epoch });
    this.#voice.emit({ type: 'alone', alone: true });
  }

  /** It serves no more. */
  end(): void {
    const state = this.#state;
    state.epoch = 0;
    state.alone = 'no';
    this.#forget();
    state.aloneAt = Infinity;
  }

  /** Nobody else may serve now: who decides knows it. */
  servesAlone(epoch: Epoch): void {
    if (epoch === this.#state.epoch && this.#state.alone === 'asked') this.#state.alone = 'granted';
  }

  handleTimeout(now: Instant): void {
    if (this.#state.aloneAt <= now) this.#askAlone();
    if (this.#state.stallAt <= now) this.#stall();
  }

  /** This side did not listen for a while: what did not come meanwhile is no evidence. */
  forgive(now: Instant): void {
    const { aloneAt } = this.#state;
    if (aloneAt < Infinity)
      this.#state.aloneAt = Math.max(aloneAt, now + this.#settings.noticeGrace);
  }

  // What the feed tells of the backup

  admits(_now: Instant, _from: Address, { writer }: FollowCommand): boolean {
    const state = this.#state;
    // Who is the only one has nobody to copy it.
    if (this.#settings.guard === undefined) return false;
    if (state.phase !== 'none' && writer !== state.writer) return false;
    state.writer = writer;
    return true;
  }

  followed(now: Instant): void {
    const state = this.#state;
    state.phase = 'loading';
    state.acknowledged = 0;
    state.stallAt = Infinity;
    // It is not public while it waits for that one: if that takes long, it goes on alone.
    if (state.alone === 'no') this.#askAloneAt(now + this.#settings.noticeGrace);
  }

  caughtUp(): void {
    const state = this.#state;
    if (state.phase !== 'loading') return;
    state.phase = 'trailing';
    state.target = this.#history.published;
    this.#join();
  }

  progress(_now: Instant, sequence: Sequence): void {
    const state = this.#state;
    const sent = Math.min(sequence, this.#history.accepted);
    if (sent > state.acknowledged) state.stallAt = Infinity;
    state.acknowledged = Math.max(state.acknowledged, sent);
    this.#join();
  }

  lost(now: Instant, reason: FollowerLossReason): void {
    this.#forget();
    if (this.#state.epoch === 0) return;
    this.#voice.emit({ type: 'backupLost', reason });
    const isBrief = reason === 'linkBroken' || reason === 'displaced';
    if (this.#state.alone === 'no') {
      this.#askAloneAt(isBrief ? now + this.#settings.noticeGrace : now);
    }
    this.handleTimeout(now);
  }

  get #isAwaited(): boolean {
    const { phase } = this.#state;
    return phase === 'joining' || phase === 'synchronised';
  }

  #join(): void {
    const state = this.#state;
    // One that acknowledges is near: only for such a one anything waits.
    if (state.phase === 'trailing' && state.acknowledged >= state.target) {
      state.phase = 'joining';
      state.target = this.#history.published;
    }
    const { phase, acknowledged, target, alone } = state;
    if (phase !== 'joining' || acknowledged < target) return;
    state.phase = 'synchronised';
    state.aloneAt = Infinity;
    this.#voice.emit({ type: 'backupSynchronised', sequence: acknowledged });
    state.alone = 'no';
    if (alone !== 'no') this.#voice.emit({ type: 'alone', alone: false });
  }

  /** It lives, and takes nothing: what waits goes on without it, as soon as that is known to who decides. */
  #stall(): void {
    const state = this.#state;
    state.phase = 'trailing';
    state.target = this.#history.accepted;
    state.stallAt = Infinity;
    this.#voice.emit({ type: 'backupLost', reason: 'silent' });
    if (state.alone === 'no') this.#askAlone();
  }

  #forget(): void {
    this.#state.phase = 'none';
    this.#state.acknowledged = 0;
    this.#state.stallAt = Infinity;
  }

  #askAloneAt(at: Instant): void {
    this.#state.aloneAt = Math.min(this.#state.aloneAt, at);
  }

  #askAlone(): void {
    this.#state.aloneAt = Infinity;
    this.#state.alone = 'asked';
    this.#voice.emit({ type: 'alone', alone: true });
  }
}
