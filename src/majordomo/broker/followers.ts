/**
 * What the active broker does so that the passive one could go on in its place.
 *
 * It tells its follower all workers and all replies that it keeps under keys, a piece at a time so that it goes
 * on serving; then that this was all, then each new one. From that word on the follower may be the next to serve. So from then on a reply under a
 * key is told only once the follower has acknowledged it, and a new worker gets work only once it is
 * known there. Without a follower it asks to serve alone, and goes on as soon as it may.
 */
import type { Epoch } from '../../core/election.ts';
import { Fifo } from '../../core/fifo.ts';
import { expiryOf, type HeartbeatSettings } from '../../core/heartbeat.ts';
import type { Address, Instant } from '../../core/machine.ts';
import type {
  FollowCommand,
  RecordCommand,
  RecordedCommand,
  ReplicaRecord,
  SessionId,
} from '../wire/commands.ts';
import { announcedBytes, patientUntil } from '../wire/large.ts';
import type { FollowerLossReason } from './broker-events.ts';
import type { KeyBook, StoredReply } from './idempotency.ts';
import type { PendingRequest } from './requests.ts';
import type { Session, SessionTable } from './sessions.ts';
import { NO_FRAMES, type Voice } from './voice.ts';

export interface FollowerSettings extends HeartbeatSettings {
  readonly noticeGrace: number;
  readonly idempotencyBytes: number;
}

/** What a record costs beside a body, in bytes, and how many bytes of them may always wait. */
const RECORD_OVERHEAD = 256;
export const LEAST_BACKLOG = 1024 * 1024;

/**
 * Records of the copy that may be on their way. All at once they would hold both brokers up: 90,000 did so for
 * more than a second on a busy machine, and who stands still for so long no longer serves.
 */
const COPY_WINDOW = 4096;

interface Entry {
  readonly record: ReplicaRecord;
  readonly bytes: number;
}

export interface Follower {
  readonly address: Address;
  readonly session: SessionId;
  /** What happened since it began to copy and has not been sent yet, in order, and its bytes. */
  readonly backlog: Fifo<Entry>;
  bytes: number;
  /** The numbers of the last record sent, of the last one it has, and of the word that this was all; 0: none. */
  sent: number;
  acknowledged: number;
  complete: number;
  isWritable: boolean;
  beatAt: Instant;
  expiresAt: Instant;
  /** When the notice that its link broke becomes its end; `Infinity` without a notice. */
  goneAt: Instant;
}

/** Waits until the follower has the record of this number; `Infinity`: until it has all, or is not needed. */
export interface Withheld {
  number: number;
  /** A reply, and whom it is for, if anybody waits, */
  readonly reply?: StoredReply;
  readonly request?: PendingRequest | undefined;
  /** or a worker that is to get work. */
  readonly session?: Session;
}

export class Followers {
  /** Plain data, for the fingerprint and for checkers. */
  readonly state = {
    /** 0 while this broker is not active. */
    epoch: 0,
    follower: undefined as Follower | undefined,
    /** Whether nobody else may serve: it may, it was asked for, or it is so. */
    alone: 'no' as 'no' | 'asked' | 'granted',
    withheld: new Fifo<Withheld>(),
    withheldBytes: 0,
  };
  readonly #released: Withheld[] = [];
  /** What the follower has still to copy. */
  #uncopied: Iterator<ReplicaRecord> = NOTHING;
  readonly #keys: KeyBook;
  readonly #sessions: SessionTable;
  readonly #settings: FollowerSettings;
  readonly #voice: Voice;

  constructor(keys: KeyBook, sessions: SessionTable, settings: FollowerSettings, voice: Voice) {
    this.#keys = keys;
    this.#sessions = sessions;
    this.#settings = settings;
    this.#voice = voice;
  }

  get nextDue(): Instant {
    const { follower } = this.state;
    if (follower === undefined) return Infinity;
    return Math.min(follower.beatAt, follower.expiresAt, follower.goneAt);
  }

  /** This broker serves from now on: what it does nobody else has yet. */
  begin(epoch: Epoch): void {
    this.state.epoch = epoch;
    this.state.alone = 'asked';
    this.#voice.emit({ type: 'holds', epoch });
    this.#voice.emit({ type: 'alone', alone: true });
  }

  /** It serves no more: what was withheld is told to nobody. */
  end(): void {
    const { state } = this;
    const { follower } = state;
    if (follower !== undefined) {
      this.#voice.send(follower.address, { type: 'disconnect', dialect: 'express' });
    }
    state.epoch = 0;
    state.follower = undefined;
    this.#uncopied = NOTHING;
    state.alone = 'no';
    for (const { session } of state.withheld)
      if (session !== undefined) session.isUnrecorded = false;
    state.withheld = new Fifo();
    state.withheldBytes = 0;
    this.#released.length = 0;
  }

  /** True if nothing may be told before the follower has it. */
  get mustWait(): boolean {
    const { alone, follower } = this.state;
    return alone !== 'granted' || (follower !== undefined && follower.complete > 0);
  }

  /** True if so much waits to be told that nothing should be added. */
  get isFull(): boolean {
    return this.state.withheldBytes > this.#settings.idempotencyBytes;
  }

  /** A reply is kept under this key from now on: the follower is told. Returns the number of that. */
  record(now: Instant, service: string, key: string, reply: StoredReply): number {
    return this.#append(now, recordOf(now, service, key, reply), reply.bytes);
  }

  /** The same, where it must wait: the request is answered when it comes out of `takeReleased`. */
  withhold(
    now: Instant,
    service: string,
    key: string,
    reply: StoredReply,
    request?: PendingRequest,
  ): void {
    this.#withhold({ number: this.record(now, service, key, reply), request, reply });
  }

  /** One more asks for a reply that is withheld. */
  join(request: PendingRequest, reply: StoredReply): void {
    const { follower } = this.state;
    // What waits comes out in order: so not before the reply itself.
    const number = follower === undefined ? Infinity : lastOf(follower);
    this.#withhold({ number, request, reply });
  }

  /** This session began. */
  joined(now: Instant, session: Session): void {
    const worker = session.express?.worker;
    if (this.state.epoch === 0 || worker === undefined) return;
    const { service } = session;
    const number = this.#append(now, { kind: 'worker', service, worker }, RECORD_OVERHEAD);
    if (!this.mustWait) return;
    session.isUnrecorded = true;
    this.#withhold({ number, session });
  }

  /** This session has ended. */
  left(now: Instant, { service, express }: Session): void {
    const worker = express?.worker;
    if (this.state.follower === undefined || worker === undefined) return;
    for (const other of this.#sessions.ofService(service)) {
      if (other.express?.worker === worker) return;
    }
    this.#append(now, { kind: 'workerGone', worker }, RECORD_OVERHEAD);
  }

  /** The passive broker wants to copy: from the beginning, whatever it has. */
  follow(now: Instant, address: Address, { session }: FollowCommand): void {
    this.#unnumber();
    this.#uncopied = this.#all(now);
    this.state.follower = {
      address,
      session,
      backlog: new Fifo(),
      bytes: 0,
      sent: 0,
      acknowledged: 0,
      complete: 0,
      isWritable: true,
      beatAt: now + this.#settings.heartbeatInterval,
      expiresAt: now + expiryOf(this.#settings),
      goneAt: Infinity,
    };
    this.#pump(now, this.state.follower);
  }

  /** All workers and replies, as they are when they are asked for: what comes meanwhile may be among them. */
  *#all(now: Instant): Generator<ReplicaRecord> {
    for (const { service, express } of Array.from(this.#sessions.all())) {
      const worker = express?.worker;
      if (worker !== undefined) yield { kind: 'worker', service, worker };
    }
    for (const { service, key, reply } of this.#keys.all())
      yield recordOf(now, service, key, reply);
  }

  /** The follower has all up to this number. */
  recorded(now: Instant, from: Address, { session, number }: RecordedCommand): void {
    const { state } = this;
    const { follower } = state;
    if (follower === undefined || follower.address !== from || follower.session !== session) return;
    follower.expiresAt = now + expiryOf(this.#settings);
    follower.goneAt = Infinity;
    // What was not sent it cannot have.
    if (number > follower.sent) return;
    const before = follower.acknowledged;
    follower.acknowledged = Math.max(before, number);
    const { complete } = follower;
    if (complete > 0 && before < complete && follower.acknowledged >= complete) {
      this.#voice.emit({ type: 'followerSynchronised', epoch: state.epoch });
      if (state.alone !== 'no') this.#voice.emit({ type: 'alone', alone: false });
      state.alone = 'no';
    }
    this.#pump(now, follower);
    this.#release();
  }

  /** Nobody else may serve now: who decides knows it. */
  servesAlone(epoch: Epoch): void {
    if (epoch !== this.state.epoch || this.state.alone !== 'asked') return;
    this.state.alone = 'granted';
    this.#release();
  }

  /** The link to this peer broke. */
  handleGone(now: Instant, from: Address): void {
    const { follower } = this.state;
    if (follower?.address !== from) return;
    follower.goneAt = Math.min(follower.goneAt, now + this.#settings.noticeGrace);
  }

  handleDisconnect(from: Address): void {
    if (this.state.follower?.address === from) this.#lose('disconnected');
  }

  handleWritable(now: Instant, to: Address): void {
    const { follower } = this.state;
    if (follower?.address !== to) return;
    follower.isWritable = true;
    this.#pump(now, follower);
  }

  handleTimeout(now: Instant): void {
    const { follower } = this.state;
    if (follower === undefined) return;
    if (follower.expiresAt <= now) return this.#lose('silent');
    if (follower.goneAt <= now) return this.#lose('gone');
    if (follower.beatAt > now) return;
    follower.beatAt = now + this.#settings.heartbeatInterval;
    // What waits to be sent says more than a beat.
    if (follower.backlog.size === 0 && follower.complete > 0) {
      this.#append(now, { kind: 'beat' }, RECORD_OVERHEAD);
    }
  }

  /** This side did not listen for a while: the silence of others is no evidence. */
  forgive(now: Instant): void {
    const { follower } = this.state;
    if (follower === undefined) return;
    const atLeast = now + this.#settings.heartbeatInterval;
    follower.expiresAt = Math.max(follower.expiresAt, atLeast);
    follower.goneAt = Math.max(follower.goneAt, atLeast);
  }

  /** What may be told, or given work, now. */
  takeReleased(): readonly Withheld[] {
    return this.#released.length === 0 ? NONE : this.#released.splice(0);
  }

  #withhold(one: Withheld): void {
    const { reply, request } = one;
    if (reply !== undefined) {
      reply.mayBeTold = false;
      this.state.withheldBytes += reply.bytes;
      if (request !== undefined) {
        request.answer = reply;
        // No worker has anything more to do with it.
        request.dispatch = undefined;
      }
    }
    this.state.withheld.push(one);
    // The very record may have been too much for the follower.
    if (!this.mustWait) this.#release();
  }

  /** Returns the number under which it will be sent; `Infinity` while the follower copies, or without one. */
  #append(now: Instant, record: ReplicaRecord, bytes: number): number {
    const { follower } = this.state;
    if (follower === undefined) return Infinity;
    follower.backlog.push({ record, bytes });
    follower.bytes += bytes;
    const number = lastOf(follower);
    this.#pump(now, follower);
    if (follower.bytes <= this.#settings.idempotencyBytes + LEAST_BACKLOG) return number;
    this.#voice.send(follower.address, { type: 'disconnect', dialect: 'express' });
    this.#lose('tooSlow');
    return Infinity;
  }

  /** What has happened goes first: so what waits stays little, however much there is to copy. */
  #pump(now: Instant, follower: Follower): void {
    const { backlog } = follower;
    for (;;) {
      const entry = backlog.first;
      if (entry === undefined || !follower.isWritable) break;
      if (!this.#send(now, follower, entry.record)) return;
      backlog.delete(entry);
      follower.bytes -= entry.bytes;
    }
    if (follower.complete === 0) this.#copy(now, follower);
  }

  #copy(now: Instant, follower: Follower): void {
    while (follower.isWritable && follower.sent - follower.acknowledged < COPY_WINDOW) {
      const { done, value } = this.#uncopied.next();
      if (done !== true) {
        // Taken, it must not be lost: it waits like what has just happened.
        if (!this.#send(now, follower, value)) follower.backlog.push({ record: value, bytes: 0 });
        continue;
      }
      const { epoch } = this.state;
      if (!this.#send(now, follower, { kind: 'complete', epoch })) return;
      follower.complete = follower.sent;
      for (const one of this.state.withheld) {
        if (one.number === Infinity) one.number = follower.complete;
      }
      return;
    }
  }

  #send(now: Instant, follower: Follower, record: ReplicaRecord): boolean {
    const { address, session } = follower;
    const number = follower.sent + 1;
    const command: RecordCommand = { type: 'record', dialect: 'express', session, number, record };
    const large = record.kind === 'reply' ? announcedBytes(record.body) : undefined;
    follower.isWritable = this.#voice.send(address, command);
    if (!follower.isWritable) return false;
    follower.sent = number;
    if (large !== undefined) follower.expiresAt = patientUntil(follower.expiresAt, now, large);
    return true;
  }

  #lose(reason: FollowerLossReason): void {
    const { state } = this;
    state.follower = undefined;
    this.#uncopied = NOTHING;
    this.#unnumber();
    this.#voice.emit({ type: 'followerLost', reason });
    if (state.alone === 'no') {
      state.alone = 'asked';
      this.#voice.emit({ type: 'alone', alone: true });
    }
    this.#release();
  }

  #unnumber(): void {
    for (const one of this.state.withheld) one.number = Infinity;
  }

  #release(): void {
    const { withheld, follower } = this.state;
    const isFree = !this.mustWait;
    for (;;) {
      const one = withheld.first;
      if (one === undefined || (!isFree && !(one.number <= (follower?.acknowledged ?? 0)))) return;
      withheld.delete(one);
      if (one.reply !== undefined) {
        this.state.withheldBytes -= one.reply.bytes;
        one.reply.mayBeTold = true;
      }
      this.#released.push(one);
    }
  }
}

const NONE: readonly Withheld[] = [];
const NOTHING: Iterator<ReplicaRecord> = [].values();

/** The number of the last record that there is; `Infinity` until the word that this was all has its own. */
function lastOf({ backlog, complete, sent }: Follower): number {
  return complete > 0 ? sent + backlog.size : Infinity;
}

function recordOf(now: Instant, service: string, key: string, reply: StoredReply): ReplicaRecord {
  const { body, failure, expiresAt } = reply;
  const ttl = Math.max(0, expiresAt - now);
  return {
    kind: 'reply',
    service,
    key,
    ttl,
    body: failure === undefined ? body : NO_FRAMES,
    failure,
  };
}
