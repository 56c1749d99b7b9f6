/**
 * What a passive broker copies from the active one: the replies that are kept under keys, and the roster
 * of workers that may run something under one.
 *
 * It connects to the active one and follows: all there is, then each new thing, numbered. After a hole or
 * silence it follows anew; what it has of this epoch it keeps, as the active one tells nobody of a reply
 * before it was acknowledged.
 */
import type { Epoch } from '../../core/election.ts';
import { expiryOf, type HeartbeatSettings } from '../../core/heartbeat.ts';
import type { Instant } from '../../core/machine.ts';
import type { Random } from '../../core/retry.ts';
import type { FollowerInput, RecordCommand, ReplicaRecord, SessionId } from '../wire/commands.ts';
import { SESSION_LENGTH } from '../wire/express-format.ts';
import { patientUntil } from '../wire/large.ts';
import type { KeyBook } from './idempotency.ts';
import type { Session } from './sessions.ts';
import type { Voice } from './voice.ts';

/** The workers that may have requests under keys, and the service of each. */
export type Roster = Map<SessionId, string>;

export interface ReplicaSettings extends HeartbeatSettings {
  readonly noticeGrace: number;
  readonly workerLimit: number;
  readonly random: Random;
}

export class Replica {
  /** Plain data, for the fingerprint and for checkers. */
  readonly state = {
    /** Of whom this is a copy, or becomes one; 0: of nobody. */
    epoch: 0,
    endpoint: '',
    /** False once nobody is believed to be active: what is still heard is taken, and no more. */
    isWanted: false,
    /** Of the present attempt; '' while there is none. */
    session: '',
    /** The number of the last record of it. */
    last: 0,
    /** All that there was has come once: from then on it is a copy. */
    isComplete: false,
    /** And nothing is known to be missing since. */
    isCurrent: false,
    /** When the one that is copied was heard last. */
    heardAt: -Infinity,
    roster: new Map() as Roster,
    /** The roster of the present attempt, until that is complete. */
    incoming: new Map() as Roster,
    expiresAt: Infinity,
    retryAt: Infinity,
  };
  readonly #keys: KeyBook;
  readonly #settings: ReplicaSettings;
  readonly #voice: Voice;

  constructor(keys: KeyBook, settings: ReplicaSettings, voice: Voice) {
    this.#keys = keys;
    this.#settings = settings;
    this.#voice = voice;
  }

  get nextDue(): Instant {
    return Math.min(this.state.expiresAt, this.state.retryAt);
  }

  /** True if it has all that the one it copies had, up to less than an expiry ago. */
  isHeir(now: Instant): boolean {
    const { heardAt, isCurrent } = this.state;
    return isCurrent && now <= heardAt + expiryOf(this.#settings);
  }

  /** Copies from the active broker of this epoch, who is at `endpoint`; '': nobody knows where. */
  follow(now: Instant, epoch: Epoch, endpoint: string): void {
    const { state } = this;
    state.isWanted = endpoint !== '';
    if (!state.isWanted) return;
    const isSame = epoch === state.epoch;
    if (!isSame) {
      // What was kept under another epoch may be less than what the new active one has said since.
      this.#keys.clear();
      state.roster.clear();
      state.isComplete = false;
      state.isCurrent = false;
      this.#voice.emit({ type: 'holds', epoch: 0 });
    }
    const goesOn = isSame && endpoint === state.endpoint && state.session !== '';
    state.epoch = epoch;
    state.endpoint = endpoint;
    if (!goesOn) this.#begin(now);
  }

  /** Copies no more. What it has stays, for who serves from now on. */
  stop(): void {
    const { state } = this;
    if (state.session !== '') this.#voice.closeActive();
    state.session = '';
    state.epoch = 0;
    state.isComplete = false;
    state.isCurrent = false;
    state.isWanted = false;
    state.expiresAt = Infinity;
    state.retryAt = Infinity;
  }

  /**
   * This broker serves no more, and may be the next to serve again: then it waits for the workers that it
   * had, and for those that it still waited for.
   */
  inherit(unheard: Roster, sessions: Iterable<Session>): void {
    const { state } = this;
    state.roster = unheard;
    for (const { express, service } of sessions) {
      if (express?.worker !== undefined) state.roster.set(express.worker, service);
    }
  }

  handle(now: Instant, command: FollowerInput): void {
    const { state } = this;
    switch (command.type) {
      case 'record':
        if (command.session === state.session) this.#take(now, command);
        break;
      case 'announce':
        state.expiresAt = patientUntil(state.expiresAt, now, command.bytes);
        break;
      case 'disconnect':
        state.retryAt = now + this.#settings.heartbeatInterval;
    }
  }

  /** The link broke, or the active one cannot be reached: whoever was followed does not know it again. */
  handleGone(now: Instant): void {
    const { state } = this;
    if (state.session === '') return;
    const { noticeGrace, heartbeatInterval } = this.#settings;
    const retryAt = now + (state.last > 0 ? noticeGrace : heartbeatInterval);
    state.retryAt = Math.min(state.retryAt, retryAt);
  }

  handleTimeout(now: Instant): void {
    const { state } = this;
    if (this.nextDue > now) return;
    if (state.isWanted) return this.#begin(now);
    this.#voice.closeActive();
    state.session = '';
    state.expiresAt = Infinity;
    state.retryAt = Infinity;
  }

  /** This side did not listen for a while: its silence is no evidence. */
  forgive(now: Instant): void {
    const { state } = this;
    if (state.session === '') return;
    state.expiresAt = Math.max(state.expiresAt, now + this.#settings.heartbeatInterval);
  }

  #begin(now: Instant): void {
    const { state } = this;
    const { random } = this.#settings;
    state.session = Array.from({ length: SESSION_LENGTH }, () =>
      String.fromCharCode(Math.floor(random() * 256)),
    ).join('');
    state.last = 0;
    state.incoming.clear();
    state.expiresAt = now + expiryOf(this.#settings);
    state.retryAt = Infinity;
    this.#voice.openActive(state.endpoint);
    const { session, epoch } = state;
    this.#voice.sayToActive({ type: 'follow', dialect: 'express', session, epoch });
  }

  #take(now: Instant, { number, record, session }: RecordCommand): void {
    const { state } = this;
    if (number <= state.last) return;
    const isHole = number > state.last + 1;
    // One that begins anew has gone on without this one.
    if (isHole || number === 1) state.isCurrent = false;
    if (isHole) return this.#begin(now);
    state.last = number;
    state.heardAt = now;
    state.expiresAt = now + expiryOf(this.#settings);
    state.retryAt = Infinity;
    this.#apply(now, record);
    this.#voice.sayToActive({ type: 'recorded', dialect: 'express', session, number });
  }

  #apply(now: Instant, record: ReplicaRecord): void {
    const { state } = this;
    switch (record.kind) {
      case 'reply':
        this.#keys.keep(now, record.service, record.key, record, record.ttl);
        break;
      case 'worker':
        for (const roster of [state.roster, state.incoming]) {
          if (roster.size < this.#settings.workerLimit) roster.set(record.worker, record.service);
        }
        break;
      case 'workerGone':
        state.roster.delete(record.worker);
        state.incoming.delete(record.worker);
        break;
      case 'complete': {
        state.isComplete = true;
        state.isCurrent = true;
        state.roster = new Map(state.incoming);
        const { epoch } = record;
        const { replies } = this.#keys.state;
        const workers = state.roster.size;
        this.#voice.emit({ type: 'synchronised', epoch, replies: replies.size, workers });
        this.#voice.emit({ type: 'holds', epoch });
        break;
      }
      case 'beat':
    }
  }
}
