/**
 * The server half of streams: brings a map, or topics, to all who follow, and waits for none of them.
 *
 * Who is live is sent an update in the turn in which it is published, and has it in common with all
 * others: nothing is queued for anybody. Who has no room has a cursor instead, and goes on from the history
 * once it has; whom that reaches no more is sent a snapshot, which is a walk over the map. So a slow
 * follower costs a number.
 */
import { Deadlines } from '../../core/deadlines.ts';
import { Fifo } from '../../core/fifo.ts';
import { expiryOf, type HeartbeatSettings } from '../../core/heartbeat.ts';
import type { Address, Instant } from '../../core/machine.ts';
import type { Digest, FollowCommand, ProgressCommand, RedirectCommand } from '../commands.ts';
import { RunningDigest } from '../digest.ts';
import type { CloneServerEvent, FollowerLossReason, FollowerStatus } from '../server-events.ts';
import { Askers } from './askers.ts';
import { Channels, type Channel } from './channels.ts';
import type { FeedContent } from './content.ts';
import {
  aimAt,
  hasRoom,
  isCaughtUp,
  newFollower,
  stateOf,
  statusOf,
  type Follower,
} from './feed-follower.ts';
import type { BackupWatch } from './backup-watch.ts';
import type { History } from './history.ts';
import type { Lineage } from './lineage.ts';
import { Loaders } from './loaders.ts';
import { Sender, type StreamVoice } from './sender.ts';
import type { Update } from './update.ts';

export type { BackupWatch } from './backup-watch.ts';

export type FeedEvent = Extract<
  CloneServerEvent,
  | { readonly type: 'followerBegan' }
  | { readonly type: 'followerLeftBehind' }
  | { readonly type: 'followerLost' }
  | { readonly type: 'followerRefused' }
  | { readonly type: 'ignored' }
>;

export interface FeedVoice extends StreamVoice {
  send(to: Address, command: Parameters<StreamVoice['send']>[1] | RedirectCommand): boolean;
  emit(event: FeedEvent): void;
}

export interface FeedSettings extends HeartbeatSettings {
  readonly followerLimit: number;
}

/** Items and updates that are looked at for one follower, and for all of them, before others get a turn. */
const SLICE = 1024;
const QUANTUM = 4096;
/** Milliseconds until the rest goes on. */
const BREATH = 1;

export class Feed {
  readonly channels: Channels;
  readonly #voice: FeedVoice;
  readonly #history: History;
  readonly #lineage: Lineage;
  readonly #content: FeedContent;
  readonly #settings: FeedSettings;
  readonly #watch: BackupWatch | undefined;
  readonly #sender: Sender;
  readonly #followers = new Map<Address, Follower>();
  readonly #askers = new Askers();
  readonly #deadlines = new Deadlines<Follower>();
  /** Those who are being sent a snapshot: the history is kept longer for them. */
  readonly #loaders: Loaders;
  /** Those for whom there is work and room. */
  readonly #busy = new Fifo<Follower>();
  #backup: Follower | undefined;
  #continueAt: Instant = Infinity;
  /** For the update at hand: see `publish`. */
  #present: Update | undefined;
  #former: Digest | undefined;
  #latter: Digest | undefined;
  readonly #deliver = (channel: Channel): void => this.#deliverTo(channel);
  #now: Instant = 0;

  constructor(
    voice: FeedVoice,
    history: History,
    lineage: Lineage,
    content: FeedContent,
    settings: FeedSettings,
    watch?: BackupWatch,
  ) {
    this.#voice = voice;
    this.#history = history;
    this.#lineage = lineage;
    this.#content = content;
    this.#settings = settings;
    this.#watch = watch;
    const digestsOf = (subtrees: readonly string[]): readonly RunningDigest[] =>
      content.snapshots?.digestsOf(subtrees) ?? subtrees.map(() => new RunningDigest());
    this.channels = new Channels(content, digestsOf);
    const sender = new Sender(voice, history, lineage, content);
    this.#sender = sender;
    this.#loaders = new Loaders((follower) => sender.sentTo(follower));
  }

  get size(): number {
    return this.#followers.size;
  }

  /** Of all that is public. */
  get digest(): Digest {
    return this.channels.all.digest.value;
  }

  get nextDue(): Instant {
    return Math.min(this.#deadlines.next, this.#continueAt, this.#askers.nextDue);
  }

  /** Plain data, for the fingerprint. */
  get state(): object {
    return {
      followers: Array.from(this.#followers.values(), stateOf),
      busy: Array.from(this.#busy, ({ address }) => address),
      continueAt: this.#continueAt,
      digest: this.digest,
      loaders: this.#loaders.state,
      askers: this.#askers.state,
    };
  }

  followers(): FollowerStatus[] {
    return Array.from(this.#followers.values(), statusOf);
  }

  // Who follows

  /** Only while it is for this server to serve. */
  follow(now: Instant, from: Address, command: FollowCommand): void {
    const former = this.#followers.get(from);
    if (former?.writer === command.writer && command.stream <= former.stream) {
      // Repeated: the answer is on its way. A follower that misses it takes another number.
      if (command.stream === former.stream) this.#hear(now, former);
      else this.#voice.emit({ type: 'ignored', from, reason: 'stale' });
      return;
    }
    if (!this.#admits(now, from, command)) {
      this.#voice.emit({ type: 'followerRefused', from, reason: 'full' });
      this.#voice.send(from, { type: 'redirect', epoch: this.#lineage.epoch, endpoint: '' });
      return;
    }
    this.#askers.delete(from);
    const subtree = command.isBackup ? '' : command.subtree;
    if (this.#askers.waits(now, from, command, this.#costOf(subtree))) return;
    // The channel of its subtree stays, if it is the same one.
    const channel = this.channels.enter(subtree);
    if (former?.isBackup === true && !command.isBackup) this.#lose(now, former, 'displaced');
    else if (former !== undefined) this.#forget(former);
    this.#begin(now, newFollower(from, command, channel, this.#settings), command);
  }

  /** How far it is; also makes room for more. */
  progress(now: Instant, from: Address, command: ProgressCommand): void {
    const follower = this.#followers.get(from);
    const { stream, received, sequence } = command;
    if (follower?.stream !== stream || received > follower.sent) {
      const reason = follower?.stream === stream ? 'unexpected' : 'stale';
      return this.#voice.emit({ type: 'ignored', from, reason });
    }
    this.#hear(now, follower);
    follower.received = Math.max(follower.received, received);
    // What was not sent it cannot have.
    if (sequence <= this.#sender.sentTo(follower)) {
      follower.applied = Math.max(follower.applied, sequence);
    }
    if (!isCaughtUp(follower) || follower.owesBeat) this.#goOn(now, follower);
    if (follower === this.#backup) this.#watch?.progress(now, follower.applied);
  }

  /** It said something else. Undefined: it does not follow. */
  heard(now: Instant, from: Address): Follower | undefined {
    const follower = this.#followers.get(from);
    if (follower !== undefined) this.#hear(now, follower);
    return follower;
  }

  goodbye(now: Instant, from: Address): void {
    this.#askers.delete(from);
    const follower = this.#followers.get(from);
    if (follower !== undefined) this.#lose(now, follower, 'goodbye');
  }

  /** Its link broke: what was under way is lost, and it follows anew when it is back. */
  handleGone(now: Instant, from: Address): void {
    this.#askers.delete(from);
    const follower = this.#followers.get(from);
    if (follower !== undefined) this.#lose(now, follower, 'linkBroken');
  }

  handleWritable(now: Instant, from: Address): void {
    const follower = this.#followers.get(from);
    if (follower === undefined) return;
    follower.isWritable = true;
    this.#goOn(now, follower);
  }

  /** It serves no more: all are sent elsewhere, and forgotten. */
  end(reason: FollowerLossReason, redirect: RedirectCommand): void {
    for (const from of this.#askers.addresses) this.#voice.send(from, redirect);
    this.#askers.clear();
    for (const [from, follower] of Array.from(this.#followers)) {
      this.#voice.send(from, redirect);
      this.#forget(follower);
      this.#voice.emit({ type: 'followerLost', from, reason });
    }
    this.#continueAt = Infinity;
  }

  // What they are told

  /** The next update was accepted: the backup alone is told. */
  accept(now: Instant, update: Update): void {
    this.#history.accept(update);
    const backup = this.#backup;
    if (backup !== undefined && isCaughtUp(backup)) this.#sender.push(now, backup, update);
  }

  /**
   * The next accepted update becomes public.
   * @param former digest of the key's item before, if there was one
   * @param latter digest of its item from now on, if there is one
   */
  publish(now: Instant, former?: Digest, latter?: Digest): Update {
    const update = this.#history.publish();
    this.#now = now;
    this.#present = update;
    this.#former = former;
    this.#latter = latter;
    this.channels.forEachConcerned(update, this.#deliver);
    this.#present = undefined;
    const { isOver, published } = this.#history;
    if (isOver) this.#history.trim(this.#loaders.neededAt(published));
    return update;
  }

  /** Tells who has all that this is all: its last write made nothing that it would hear of. */
  confirm(from: Address): void {
    const follower = this.#followers.get(from);
    if (follower === undefined || !isCaughtUp(follower)) return;
    if (hasRoom(follower)) this.#sender.beat(follower);
    else follower.owesBeat = true;
  }

  /** One that nobody else has to have first. */
  append(now: Instant, update: Update): void {
    this.accept(now, update);
    this.publish(now);
  }

  // Time

  handleTimeout(now: Instant): void {
    for (;;) {
      const follower = this.#deadlines.takeDue(now);
      if (follower === undefined) break;
      if (follower.expiresAt <= now) this.#lose(now, follower, 'silent');
      else this.#beat(now, follower);
    }
    this.#takeAskers(now);
    if (this.#continueAt <= now) this.#run(now);
  }

  /** This side did not listen for a while: the silence of others is no evidence. */
  forgive(now: Instant): void {
    for (const follower of this.#followers.values()) {
      const atLeast = now + follower.heartbeat.heartbeatInterval;
      follower.expiresAt = Math.max(follower.expiresAt, atLeast);
    }
  }

  /** Keys that have to be looked at before somebody follows this subtree. */
  #costOf(subtree: string): number {
    return this.channels.has(subtree) ? 0 : (this.#content.snapshots?.costOf(subtree) ?? 0);
  }

  /** Those who waited for it have their channels, with one look at the map. */
  #takeAskers(now: Instant): void {
    const due = this.#askers.takeDue(now, this.#content.snapshots?.costOf('') ?? 0);
    if (due.length === 0) return;
    const subtrees = new Set(due.map(([, { subtree }]) => subtree));
    const channels = this.channels.enterAll([...subtrees]);
    for (const [from, command] of due) this.follow(now, from, command);
    for (const channel of channels) this.channels.leave(channel);
  }

  #admits(now: Instant, from: Address, command: FollowCommand): boolean {
    if (command.isBackup) return this.#watch?.admits(now, from, command) ?? false;
    return this.size < this.#settings.followerLimit || this.#followers.has(from);
  }

  #begin(now: Instant, follower: Follower, command: FollowCommand): void {
    const { address: from, isBackup, heartbeat, channel } = follower;
    const displaced = isBackup ? this.#backup : undefined;
    if (displaced !== undefined) this.#lose(now, displaced, 'displaced');
    this.#followers.set(from, follower);
    if (isBackup) this.#backup = follower;
    follower.expiresAt = now + expiryOf(heartbeat);
    follower.beatAt = now + heartbeat.heartbeatInterval;
    this.#deadlines.set(follower, follower.beatAt);
    this.#aim(follower, command);
    const { subtree } = channel;
    const mode = follower.beginning ?? 'snapshot';
    this.#voice.emit({ type: 'followerBegan', from, subtree, mode, isBackup });
    if (isBackup) this.#watch?.followed(now);
    this.#goOn(now, follower);
  }

  /** Decides from where on it is told. */
  #aim(follower: Follower, { position }: FollowCommand): void {
    const { first, published, accepted } = this.#history;
    const head = follower.isBackup ? accepted : published;
    if (position === undefined) {
      if (this.#content.snapshots !== undefined) return this.#load(follower);
      return aimAt(follower, 'continue', published);
    }
    const { sequence } = position;
    const isReached = sequence + 1 >= first && sequence <= head;
    if (isReached && this.#lineage.has(position, head)) aimAt(follower, 'continue', sequence);
    else if (this.#content.snapshots !== undefined) this.#load(follower);
    else aimAt(follower, 'lost', first - 1);
  }

  #load(follower: Follower): void {
    aimAt(follower, 'snapshot', this.#history.published);
    this.#loaders.add(follower);
  }

  #leaveBehind(follower: Follower): void {
    this.#voice.emit({ type: 'followerLeftBehind', from: follower.address });
    if (this.#content.snapshots === undefined) aimAt(follower, 'lost', this.#history.first - 1);
    else this.#load(follower);
  }

  #hear(now: Instant, follower: Follower): void {
    // Its deadline is asked again when it is due: that is cheaper than to move it each time.
    follower.expiresAt = now + expiryOf(follower.heartbeat);
  }

  #lose(now: Instant, follower: Follower, reason: FollowerLossReason): void {
    this.#forget(follower);
    this.#voice.emit({ type: 'followerLost', from: follower.address, reason });
    if (follower.isBackup) this.#watch?.lost(now, reason);
  }

  #forget(follower: Follower): void {
    this.#followers.delete(follower.address);
    this.#deadlines.delete(follower);
    this.#loaders.delete(follower);
    this.#busy.delete(follower);
    if (this.#backup === follower) this.#backup = undefined;
    this.#sender.leave(follower, 0);
    this.channels.leave(follower.channel);
  }

  #beat(now: Instant, follower: Follower): void {
    if (follower.beatAt <= now) {
      follower.beatAt = now + follower.heartbeat.heartbeatInterval;
      this.#sender.beat(follower);
    }
    this.#deadlines.set(follower, Math.min(follower.beatAt, follower.expiresAt));
  }

  #deliverTo(channel: Channel): void {
    const { digest, live } = channel;
    if (this.#former !== undefined) digest.remove(this.#former);
    if (this.#latter !== undefined) digest.add(this.#latter);
    // From the end, as one who has no room leaves.
    for (let index = live.length - 1; index >= 0; index--) {
      this.#sender.push(this.#now, live[index]!, this.#present!);
    }
  }

  // Who has something to catch up with

  #wake(now: Instant): void {
    this.#continueAt = Math.min(this.#continueAt, now + BREATH);
  }

  #run(now: Instant): void {
    this.#continueAt = Infinity;
    for (let budget = QUANTUM; budget > 0; budget -= SLICE) {
      const follower = this.#busy.first;
      if (follower === undefined) return;
      this.#goOn(now, follower);
    }
    if (this.#busy.size > 0) this.#wake(now);
  }

  /** As far as there is room, and not for too long at a time. */
  #goOn(now: Instant, follower: Follower): void {
    this.#busy.delete(follower);
    const hadAll = isCaughtUp(follower);
    const outcome = this.#sender.goOn(now, follower, SLICE);
    if (outcome === 'leftBehind') this.#leaveBehind(follower);
    if (follower.loading === undefined && follower.beginning === undefined) {
      this.#loaders.delete(follower);
    }
    if (outcome !== 'waits') {
      this.#busy.push(follower);
      this.#wake(now);
    }
    if (follower.isBackup && isCaughtUp(follower) && !hadAll) this.#watch?.caughtUp(now);
  }
}
