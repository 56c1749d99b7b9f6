/**
 * A publisher of key-value cache events as a pure machine: PUB for what is new, ROUTER for what was missed.
 *
 * Who asks is answered from the history in slices, each as far as its queue has room, up to what was the
 * newest when it asked: so an answer ends under any load, and a slow one delays nobody. One answer at a
 * time for each: a new question ends the one before. Who takes nothing of an answer for an expiry is given
 * up, or the dead would take the places of the living.
 */
import { Deadlines } from '../../core/deadlines.ts';
import { fingerprintOf } from '../../core/fingerprint.ts';
import { expiryOf, type HeartbeatSettings } from '../../core/heartbeat.ts';
import type { Address, Instant, Machine, Outbox } from '../../core/machine.ts';
import type { Sequence } from '../commands.ts';
import { History } from '../stream/history.ts';
import type { KvPublisherInput, KvPublisherOutput, KvPublisherPort } from './commands.ts';
import { EventCounts } from './event-counts.ts';
import type { ReplayPublisherCall, ReplayPublisherEvent, ReplayPublisherStatus } from './events.ts';
import { Publication, type PublicationSettings } from './publication.ts';
import type { Recovery } from './recovery.ts';

/** Messages that one answer has in a turn, and how soon it goes on, in milliseconds. */
const SLICE = 256;
const PAUSE = 1;

export interface KvPublisherSettings extends HeartbeatSettings, PublicationSettings {
  readonly historyLimit: number;
  readonly historyBytes: number;
  readonly followerLimit: number;
}

/** An answer that has not ended. */
interface Answer {
  readonly to: Address;
  next: Sequence;
  readonly last: Sequence;
  messages: number;
  /** Its queue is full: it goes on when that has room. */
  isBlocked: boolean;
}

export class KvPublisherMachine implements Machine<
  KvPublisherPort,
  KvPublisherInput,
  ReplayPublisherCall
> {
  readonly #outbox: Outbox<KvPublisherPort, KvPublisherOutput, ReplayPublisherEvent>;
  readonly #settings: KvPublisherSettings;
  readonly #history: History;
  readonly #publication: Publication;
  readonly #answers = new Map<Address, Answer>();
  /** Until when those who are blocked may be. */
  readonly #blocked = new Deadlines<Answer>();
  readonly #counts = new EventCounts<ReplayPublisherEvent>();
  /** When answers go on. */
  #continueAt: Instant = Infinity;

  /** @param recovered what a former life has left in the store; its numbers go on */
  constructor(
    outbox: Outbox<KvPublisherPort, KvPublisherOutput, ReplayPublisherEvent>,
    settings: KvPublisherSettings,
    recovered?: Recovery,
  ) {
    this.#outbox = outbox;
    this.#settings = settings;
    this.#history = new History(settings);
    // The first message has the number 0.
    this.#history.restart(-1);
    recovered?.fill(this.#history);
    const oldest = recovered?.oldest ?? this.#history.published + 1;
    const owner = {
      accept: (_now: Instant, update: Parameters<History['accept']>[0]) =>
        this.#history.accept(update),
      publish: () => this.#publish(),
      store: (token: number, batch: unknown) => this.#outbox.store(token, batch),
      emit: (event: ReplayPublisherEvent) => this.#emit(event),
    };
    this.#publication = new Publication(owner, this.#history, settings, oldest);
  }

  get nextTimeout(): Instant {
    return Math.min(this.#continueAt, this.#blocked.next, this.#publication.nextDue);
  }

  /** The number of the newest accepted message. */
  get accepted(): Sequence {
    return this.#history.accepted;
  }

  fingerprint(now: Instant): string {
    const { published } = this.#history;
    const publication = this.#publication.state;
    const state = { published, publication, continueAt: this.#continueAt };
    const blockedAt = Array.from(this.#answers.values(), (answer) => this.#blocked.at(answer));
    return fingerprintOf([state, this.#history, this.#answers, { blockedAt }], now);
  }

  status(): ReplayPublisherStatus {
    const { phase, pending } = this.#publication;
    const { first, published, bytes } = this.#history;
    const followers = Array.from(this.#answers.values(), ({ to, next }) => ({
      address: to,
      subtree: '',
      state: 'catchingUp' as const,
      isBackup: false,
      sequence: next - 1,
      inFlight: 0,
    }));
    return {
      state: phase === 'open' ? 'publishing' : phase,
      epoch: 0,
      sequence: published,
      history: { messages: published - first + 1, bytes, from: first },
      pending,
      followers,
      events: this.#counts.all,
    };
  }

  handleCommand(
    now: Instant,
    _port: KvPublisherPort,
    from: Address,
    command: KvPublisherInput,
  ): void {
    if (this.#publication.phase === 'closed') return;
    if (!this.#answers.has(from) && this.#answers.size >= this.#settings.followerLimit) {
      return this.#emit({ type: 'replayRefused', from });
    }
    const answer: Answer = {
      to: from,
      next: command.from,
      last: this.#history.published,
      messages: 0,
      isBlocked: false,
    };
    this.#forget(from);
    this.#answers.set(from, answer);
    this.#go(now, answer);
  }

  handleMalformed(_now: Instant, _port: KvPublisherPort, from: Address, reason: string): void {
    this.#emit({ type: 'malformed', from, reason });
  }

  handleCall(now: Instant, call: ReplayPublisherCall): void {
    if (call.type === 'publish') return this.#publication.publish(now, call);
    if (call.type === 'drain') this.#publication.drain();
    else this.#publication.stop();
    if (this.#publication.phase === 'closed') this.#end();
  }

  handlePeerGone(_now: Instant, port: KvPublisherPort, from: Address): void {
    if (port === 'replay') this.#forget(from);
  }

  handleWritable(now: Instant, _port: KvPublisherPort, to: Address): void {
    const answer = this.#answers.get(to);
    if (answer === undefined) return;
    answer.isBlocked = false;
    this.#blocked.delete(answer);
    this.#go(now, answer);
  }

  handleStored(now: Instant, token: number, error?: Error): void {
    this.#publication.handleStored(now, token, error);
    if (this.#publication.phase === 'closed') this.#end();
  }

  handleTimeout(now: Instant): void {
    this.#publication.handleTimeout(now);
    for (;;) {
      const answer = this.#blocked.takeDue(now);
      if (answer === undefined) break;
      this.#answers.delete(answer.to);
      this.#emit({ type: 'followerLost', from: answer.to, reason: 'silent' });
    }
    if (this.#continueAt > now) return;
    this.#continueAt = Infinity;
    for (const answer of this.#answers.values()) if (!answer.isBlocked) this.#go(now, answer);
  }

  #publish(): ReturnType<History['publish']> {
    const update = this.#history.publish();
    const { key: topic, sequence, value } = update;
    this.#outbox.send('publisher', '', { type: 'event', topic, sequence, body: value[0]! });
    this.#history.trim(this.#history.published);
    return update;
  }

  /** As much of an answer as there is room for. */
  #go(now: Instant, answer: Answer): void {
    const history = this.#history;
    answer.next = Math.max(answer.next, history.first);
    for (let slice = SLICE; slice > 0 && answer.next <= answer.last; slice--) {
      const { key: topic, value } = history.get(answer.next)!;
      const body = value[0]!;
      const sequence = answer.next;
      if (!this.#say(now, answer, { type: 'answer', topic, sequence, body })) return;
      answer.next++;
      answer.messages++;
    }
    if (answer.next <= answer.last) {
      this.#continueAt = Math.min(this.#continueAt, now + PAUSE);
      return;
    }
    const topic = history.get(history.published)?.key ?? '';
    if (!this.#say(now, answer, { type: 'end', topic })) return;
    this.#answers.delete(answer.to);
    this.#emit({ type: 'replayed', from: answer.to, messages: answer.messages });
  }

  #say(now: Instant, answer: Answer, command: KvPublisherOutput): boolean {
    answer.isBlocked = !this.#outbox.send('replay', answer.to, command);
    if (answer.isBlocked) this.#blocked.set(answer, now + expiryOf(this.#settings));
    return !answer.isBlocked;
  }

  #forget(from: Address): void {
    const answer = this.#answers.get(from);
    if (answer === undefined) return;
    this.#blocked.delete(answer);
    this.#answers.delete(from);
  }

  #end(): void {
    for (const from of Array.from(this.#answers.keys())) this.#forget(from);
    this.#continueAt = Infinity;
  }

  #emit(event: ReplayPublisherEvent): void {
    this.#counts.add(event);
    this.#outbox.emit(event);
  }
}
