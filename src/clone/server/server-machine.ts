/**
 * The Clone server as a pure machine: who may say what, and what time brings.
 *
 * What it knows is the published map (`entries.ts`) and its past (`stream/history.ts`, `stream/lineage.ts`).
 * How a write gets there is in `pipeline.ts`; how it gets from there to everybody is in `stream/feed.ts`;
 * what the two servers of a pair are to each other is in `replication.ts`, of the active one, and in
 * `backup.ts`, of the passive one.
 */
import type { Epoch, Guard } from '../../core/election.ts';
import { fingerprintOf } from '../../core/fingerprint.ts';
import type { Address, Instant, Machine } from '../../core/machine.ts';
import { ServerStanding } from '../../core/server-standing.ts';
import type {
  FollowCommand,
  FollowerInput,
  RedirectCommand,
  ServerInput,
  WriteCommand,
} from '../commands.ts';
import { isSubtree } from '../key.ts';
import type { CloneServerStatus, ServerCall, ServerPort } from '../server-events.ts';
import { Feed } from '../stream/feed.ts';
import { History } from '../stream/history.ts';
import { Lineage } from '../stream/lineage.ts';
import { Accepted } from './accepted.ts';
import { Backup } from './backup.ts';
import { Entries } from './entries.ts';
import { Expiry } from './expiry.ts';
import { mapContent } from './map-content.ts';
import { Pipeline } from './pipeline.ts';
import { Publication } from './publication.ts';
import type { Recovery } from './records.ts';
import { applyRecovery } from './recovered.ts';
import { Replication } from './replication.ts';
import type { ServerSettings } from './settings.ts';
import { StockDesk } from './stock-desk.ts';
import { stockStateOf, tellStock } from './stock-state.ts';
import { StoreDesk } from './store-desk.ts';
import { Voice, type ServerOutbox } from './voice.ts';
import { Writers } from './writers.ts';

export type { ServerSettings } from './settings.ts';

export class ServerMachine implements Machine<ServerPort, ServerInput | FollowerInput, ServerCall> {
  /** The map, its past and its followers. */
  readonly publication: Publication;
  readonly #settings: ServerSettings;
  readonly #standing: ServerStanding;
  readonly #voice: Voice;
  readonly #writers: Writers;
  readonly #replication: Replication;
  readonly #pipeline: Pipeline;
  readonly #backup: Backup;
  readonly #stock: StockDesk;
  readonly #state = {
    phase: 'serving' as 'serving' | 'draining' | 'drained',
    /** A server without a guard serves from its first instant on. */
    beginAt: Infinity,
  };

  /** @param recovered what a former life left in the store */
  constructor(outbox: ServerOutbox, settings: ServerSettings, recovered?: Recovery) {
    this.#settings = settings;
    this.#standing = new ServerStanding(settings.guard ?? onlyOne(settings.epoch));
    const voice = new Voice(outbox);
    const entries = new Entries();
    const history = new History(settings);
    const lineage = new Lineage();
    const writers = new Writers(settings, voice);
    const expiry = new Expiry(entries);
    const replication = new Replication(history, settings, voice);
    const content = mapContent(entries, writers);
    const feed = new Feed(voice, history, lineage, content, settings, replication);
    const publication = new Publication(entries, history, lineage, feed, voice, {
      changing: (entry) => this.#stock.handleChanging(entry),
      set: (entry) => expiry.set(entry),
      deleted: (entry) => {
        this.#stock.handleChanging(entry);
        expiry.deleted(entry);
      },
      replaced: () => expiry.replaced(),
      published: (update) => tellStock(this.#stock, update),
      dropped: ({ uuid }) => this.#stock.handleDropped(uuid),
    });
    const accepted = new Accepted(publication);
    const storeDesk = new StoreDesk(accepted, writers, publication, settings, voice);
    const parts = { publication, accepted, writers, replication, expiry, storeDesk };
    this.publication = publication;
    this.#voice = voice;
    this.#writers = writers;
    this.#replication = replication;
    this.#pipeline = new Pipeline(parts, settings, voice);
    this.#backup = new Backup(parts, settings, voice);
    const stockState = stockStateOf(publication, this.#standing, this.#pipeline);
    this.#stock = new StockDesk(voice.outbox, settings, stockState);
    if (recovered !== undefined) {
      applyRecovery(recovered, parts, settings.wallClock);
      for (const fault of recovered.faults) voice.emit({ type: 'recordUnreadable', ...fault });
    }
    this.#backup.begin();
    if (settings.guard === undefined) this.#state.beginAt = 0;
  }

  get nextTimeout(): Instant {
    const { phase, beginAt } = this.#state;
    if (phase === 'drained') return Infinity;
    return Math.min(
      beginAt,
      this.publication.feed.nextDue,
      this.#pipeline.nextDue,
      this.#replication.nextDue,
      this.#backup.nextDue,
      this.#stock.nextTimeout,
    );
  }

  fingerprint(now: Instant): string {
    const { entries, history, lineage, feed } = this.publication;
    return fingerprintOf(
      [
        this.#state,
        this.#standing.reign,
        entries,
        history,
        lineage.reigns,
        feed.state,
        this.#pipeline.state,
        this.#replication.state,
        this.#backup.state,
        this.#stock.state,
      ],
      now,
    );
  }

  status(): CloneServerStatus {
    const { entries, history, lineage, feed } = this.publication;
    const { phase } = this.#state;
    const { isActive, reign: epoch } = this.#standing;
    const serving = isActive ? 'active' : 'passive';
    const states = { serving, draining: 'draining', drained: 'closed' } as const;
    return {
      state: states[phase],
      epoch,
      position: { epoch: lineage.epoch, sequence: history.published },
      digest: feed.digest,
      keys: entries.size,
      bytes: entries.bytes,
      history: { updates: history.size, bytes: history.bytes, from: history.first },
      pending: this.#pipeline.size,
      writers: this.#writers.size,
      followers: feed.followers(),
      backup: this.#replication.status,
      servesAlone: isActive && this.#replication.isAlone,
      events: { ...this.#voice.counts },
    };
  }

  // What comes in

  handleCommand(
    now: Instant,
    port: ServerPort,
    from: Address,
    command: ServerInput | FollowerInput,
  ): void {
    if (this.#state.phase === 'drained') return;
    this.#check(now);
    // The codec of each port knows no others.
    if (port === 'active') this.#backup.handle(now, command as FollowerInput);
    else this.#hear(now, from, command as ServerInput);
    this.#settle(now);
  }

  handleMalformed(_now: Instant, _port: ServerPort, from: Address, reason: string): void {
    this.#voice.emit({ type: 'malformed', from, reason });
  }

  handleCall(now: Instant, call: ServerCall): void {
    if (this.#state.phase === 'drained') return;
    this.#check(now);
    const { isActive, reign } = this.#standing;
    // Whoever leaves takes no office.
    const isStaying = this.#state.phase === 'serving';
    switch (call.type) {
      case 'activate':
        if (isStaying) this.#activate(now, call.epoch);
        break;
      case 'standBy':
        if (isActive && reign <= call.epoch) this.#stepDown(now);
        break;
      case 'follow':
        if (!isActive && isStaying) this.#backup.follow(now, call.epoch, call.endpoint);
        break;
      case 'servesAlone':
        this.#replication.servesAlone(call.epoch);
        break;
      case 'serveStock':
        this.#stock.serve(now);
        this.#pipeline.admission.isStock = true;
        break;
      case 'drain':
      case 'stop':
        this.#drain(now, call.type === 'stop');
    }
    this.#settle(now);
  }

  handlePeerGone(now: Instant, port: ServerPort, from: Address): void {
    if (this.#state.phase === 'drained') return;
    this.#check(now);
    if (port === 'active') this.#backup.handleGone(now);
    else if (port === 'peers') {
      this.publication.feed.handleGone(now, from);
      this.#pipeline.handleGone(from);
      this.#stock.handlePeerGone(from);
    }
    this.#settle(now);
  }

  handleWritable(now: Instant, port: ServerPort, to: Address): void {
    if (this.#state.phase === 'drained') return;
    this.#check(now);
    if (port === 'peers') {
      this.#pipeline.handleWritable(to);
      this.publication.feed.handleWritable(now, to);
      this.#stock.handleWritable(now, to);
    } else if (port === 'active') this.#backup.handleWritable(now);
    this.#settle(now);
  }

  handleStored(now: Instant, token: number, error?: Error): void {
    if (this.#state.phase === 'drained') return;
    this.#check(now);
    this.#pipeline.handleStored(now, token, error);
    this.#backup.handleStored(now);
    this.#settle(now);
  }

  handleTimeout(now: Instant): void {
    if (this.nextTimeout > now) return;
    if (this.#state.beginAt <= now) {
      this.#state.beginAt = Infinity;
      this.#activate(now, this.#settings.epoch);
    }
    // Who was stopped itself (SIGSTOP, a blocked loop) has not heard the others: that is no evidence.
    if (now - this.nextTimeout > this.#settings.heartbeatInterval) this.#forgive(now);
    this.#check(now);
    this.publication.feed.handleTimeout(now);
    this.#replication.handleTimeout(now);
    this.#pipeline.handleTimeout(now);
    this.#backup.handleTimeout(now);
    this.#stock.handleTimeout(now);
    this.#settle(now);
  }

  #hear(now: Instant, from: Address, command: ServerInput): void {
    if ('epoch' in command) {
      this.#standing.seen(now, command.epoch);
      this.#check(now);
    }
    const { isActive } = this.#standing;
    switch (command.type) {
      case 'icanhaz':
      case 'kvset':
        return this.#stock.handleCommand(now, from, command);
      case 'goodbye':
        return this.#handleGoodbye(now, from);
      case 'follow':
        return this.#handleFollow(now, from, command);
      case 'progress':
        if (!isActive) return this.#redirect(from);
        return this.publication.feed.progress(now, from, command);
      case 'write':
        if (!isActive) return this.#redirect(from);
        return this.#handleWrite(now, from, command);
    }
  }

  #handleFollow(now: Instant, from: Address, command: FollowCommand): void {
    const { isBackup, writer, subtree } = command;
    if (!this.#standing.isActive || this.#state.phase !== 'serving') {
      // A client that comes here votes; the other server does not.
      if (!isBackup) this.#standing.asked(now);
      return this.#redirect(from);
    }
    if (!isSubtree(subtree)) {
      this.#voice.emit({ type: 'followerRefused', from, reason: 'subtree' });
      return this.#redirect(from);
    }
    if (!isBackup) this.#writers.heard(now, writer, from);
    this.publication.feed.follow(now, from, command);
  }

  #handleWrite(now: Instant, from: Address, command: WriteCommand): void {
    const follower = this.publication.feed.heard(now, from);
    // Who it is was said in its `follow`.
    if (follower === undefined || follower.isBackup) {
      return this.#voice.emit({ type: 'ignored', from, reason: 'unexpected' });
    }
    // Who leaves answers none any more: it is asked again of whoever serves next.
    if (this.#state.phase !== 'serving') return;
    this.#pipeline.write(now, from, follower.writer, command);
  }

  #handleGoodbye(now: Instant, from: Address): void {
    const { feed } = this.publication;
    const follower = feed.heard(now, from);
    feed.goodbye(now, from);
    if (follower?.isBackup === false) this.#writers.left(follower.writer);
  }

  #redirect(from: Address): void {
    const { epoch, endpoint } = this.#elsewhere;
    this.#voice.redirect(from, epoch, endpoint);
  }

  /** Where to go; one that leaves does not know. */
  get #elsewhere(): RedirectCommand {
    const { epoch, activeEndpoint } = this.#standing;
    const endpoint = this.#state.phase === 'serving' ? activeEndpoint : '';
    return { type: 'redirect', epoch, endpoint };
  }

  // Active and passive

  /** Ahead of each input: it serves no more as soon as it may not. */
  #check(now: Instant): void {
    if (this.#standing.isDeposed(now)) this.#stepDown(now);
  }

  #activate(now: Instant, epoch: Epoch): void {
    const { lineage, history } = this.publication;
    if (!this.#standing.mayBegin(now, epoch)) return;
    if (this.#standing.isActive) this.#stepDown(now);
    this.#backup.stop(now);
    this.#standing.begin(epoch);
    lineage.begin(epoch, history.published);
    this.#voice.emit({ type: 'becameActive', epoch, sequence: history.published });
    if (this.#settings.guard !== undefined) this.#replication.begin(epoch);
    this.#pipeline.begin(now, epoch);
  }

  #stepDown(now: Instant): void {
    this.#leaveOffice(now);
    this.#backup.begin();
  }

  /** Its followers go elsewhere; what is not public was never made. */
  #leaveOffice(now: Instant): void {
    const { reign: epoch } = this.#standing;
    this.#standing.end();
    this.#pipeline.drop(now);
    this.#replication.end();
    this.#stock.standBy();
    this.publication.feed.end('standBy', this.#elsewhere);
    this.#voice.emit({ type: 'becamePassive', epoch });
  }

  #drain(now: Instant, atOnce: boolean): void {
    this.#state.phase = 'draining';
    this.#state.beginAt = Infinity;
    this.#pipeline.close();
    if (atOnce && this.#standing.isActive) this.#leaveOffice(now);
  }

  /** After each input: what may be public now is, and who is done leaves. */
  #settle(now: Instant): void {
    if (this.#standing.isActive) this.#pipeline.release(now);
    if (this.#state.phase !== 'draining') return;
    if (this.#standing.isActive) {
      if (!this.#pipeline.isIdle) return;
      this.#leaveOffice(now);
    }
    this.#backup.close(now);
    this.#state.phase = 'drained';
    this.#voice.emit({ type: 'drained' });
  }

  #forgive(now: Instant): void {
    this.publication.feed.forgive(now);
    this.#replication.forgive(now);
  }
}

/** A guard where there is one server alone: it always serves. */
function onlyOne(epoch: Epoch): Guard {
  return {
    epochAt: () => epoch,
    highestEpoch: epoch,
    activeEndpoint: '',
    seen: () => undefined,
    asked: () => undefined,
  };
}
