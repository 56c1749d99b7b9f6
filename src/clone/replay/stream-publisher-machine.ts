/**
 * A publisher of our own stream as a pure machine: a feed of messages instead of a map.
 *
 * Who follows is sent each message in the turn in which it is published, or from the history when it has
 * room again: nothing is queued for anybody. Whom the history does not reach is told what is lost.
 */
import type { Epoch } from '../../core/election.ts';
import { fingerprintOf } from '../../core/fingerprint.ts';
import type { HeartbeatSettings } from '../../core/heartbeat.ts';
import type { Address, Instant, Machine, Outbox } from '../../core/machine.ts';
import type { FollowCommand, FollowerInput, Sequence, ServerInput } from '../commands.ts';
import { Feed } from '../stream/feed.ts';
import { History } from '../stream/history.ts';
import { Lineage } from '../stream/lineage.ts';
import type { Update } from '../stream/update.ts';
import { EventCounts } from './event-counts.ts';
import type { ReplayPublisherCall, ReplayPublisherEvent, ReplayPublisherStatus } from './events.ts';
import { Publication, type PublicationSettings } from './publication.ts';
import type { Recovery } from './recovery.ts';

/** The ROUTER that all come to: the same as a Clone server's. */
export type StreamPublisherPort = 'peers';

export interface StreamPublisherSettings extends HeartbeatSettings, PublicationSettings {
  readonly historyLimit: number;
  readonly historyBytes: number;
  readonly followerLimit: number;
  /** Its life: higher than that of any former one. */
  readonly epoch: Epoch;
}

/** A topic is under each of its beginnings. */
const TOPICS = {
  concerns: (beginning: string, { key }: Update): boolean => key.startsWith(beginning),
  forEachSubtree: (topic: string, visit: (beginning: string) => void): void => {
    for (let length = 0; length <= topic.length; length++) visit(topic.slice(0, length));
  },
};

export class StreamPublisherMachine implements Machine<
  StreamPublisherPort,
  ServerInput,
  ReplayPublisherCall
> {
  readonly #outbox: Outbox<StreamPublisherPort, FollowerInput, ReplayPublisherEvent>;
  readonly #settings: StreamPublisherSettings;
  readonly #history: History;
  readonly #lineage = new Lineage();
  readonly #feed: Feed;
  readonly #publication: Publication;
  readonly #counts = new EventCounts<ReplayPublisherEvent>();

  /** @param recovered what a former life has left in the store; its numbers and its history go on */
  constructor(
    outbox: Outbox<StreamPublisherPort, FollowerInput, ReplayPublisherEvent>,
    settings: StreamPublisherSettings,
    recovered?: Recovery,
  ) {
    this.#outbox = outbox;
    this.#settings = settings;
    this.#history = new History(settings);
    recovered?.fill(this.#history);
    this.#lineage.replace(recovered?.reigns ?? []);
    this.#lineage.begin(settings.epoch, this.#history.published);
    const emit = (event: ReplayPublisherEvent): void => this.#emit(event);
    this.#feed = new Feed(
      { send: (to, command) => this.#outbox.send('peers', to, command), emit },
      this.#history,
      this.#lineage,
      TOPICS,
      settings,
    );
    this.#publication = new Publication(
      {
        accept: (now, update) => this.#feed.accept(now, update),
        publish: (now) => this.#feed.publish(now),
        store: (token, batch) => this.#outbox.store(token, batch),
        emit,
      },
      this.#history,
      settings,
      recovered?.oldest ?? this.#history.published + 1,
    );
  }

  get nextTimeout(): Instant {
    return Math.min(this.#feed.nextDue, this.#publication.nextDue);
  }

  /** The number of the newest accepted message. */
  get accepted(): Sequence {
    return this.#history.accepted;
  }

  fingerprint(now: Instant): string {
    const { published } = this.#history;
    const state = [this.#feed.state, this.#publication.state, published];
    return fingerprintOf([state, this.#history, this.#lineage.reigns], now);
  }

  status(): ReplayPublisherStatus {
    const { phase, pending } = this.#publication;
    const { first, published, bytes } = this.#history;
    return {
      state: phase === 'open' ? 'publishing' : phase,
      epoch: this.#settings.epoch,
      sequence: published,
      history: { messages: published - first + 1, bytes, from: first },
      pending,
      followers: this.#feed.followers(),
      events: this.#counts.all,
    };
  }

  handleCommand(
    now: Instant,
    _port: StreamPublisherPort,
    from: Address,
    command: ServerInput,
  ): void {
    if (this.#publication.phase === 'closed') return;
    switch (command.type) {
      case 'follow':
        return this.#follow(now, from, command);
      case 'progress':
        return this.#feed.progress(now, from, command);
      case 'goodbye':
        return this.#feed.goodbye(now, from);
      default:
        // There is nothing to write here.
        this.#feed.heard(now, from);
        return this.#emit({ type: 'ignored', from, reason: 'unexpected' });
    }
  }

  handleMalformed(now: Instant, _port: StreamPublisherPort, from: Address, reason: string): void {
    this.#feed.heard(now, from);
    this.#emit({ type: 'malformed', from, reason });
  }

  handleCall(now: Instant, call: ReplayPublisherCall): void {
    if (call.type === 'publish') return this.#publication.publish(now, call);
    if (call.type === 'drain') this.#publication.drain();
    else this.#publication.stop();
    this.#endIfClosed();
  }

  handlePeerGone(now: Instant, _port: StreamPublisherPort, from: Address): void {
    this.#feed.handleGone(now, from);
  }

  handleWritable(now: Instant, _port: StreamPublisherPort, to: Address): void {
    this.#feed.handleWritable(now, to);
  }

  handleStored(now: Instant, token: number, error?: Error): void {
    this.#publication.handleStored(now, token, error);
    this.#endIfClosed();
  }

  handleTimeout(now: Instant): void {
    const late = now - this.#feed.nextDue;
    if (late > this.#settings.heartbeatInterval) this.#feed.forgive(now);
    this.#feed.handleTimeout(now);
    this.#publication.handleTimeout(now);
  }

  #follow(now: Instant, from: Address, command: FollowCommand): void {
    // Nobody takes over from a publisher, and who names no life means this one.
    const { position } = command;
    const { epoch } = this.#lineage;
    const isOfAnyLife = position?.epoch === 0 && position.sequence <= this.#history.published;
    this.#feed.follow(now, from, {
      ...command,
      isBackup: false,
      position: isOfAnyLife ? { epoch, sequence: position.sequence } : position,
    });
  }

  #endIfClosed(): void {
    if (this.#publication.phase !== 'closed' || this.#feed.size === 0) return;
    const { epoch } = this.#lineage;
    this.#feed.end('standBy', { type: 'redirect', epoch, endpoint: '' });
  }

  #emit(event: ReplayPublisherEvent): void {
    this.#counts.add(event);
    this.#outbox.emit(event);
  }
}
