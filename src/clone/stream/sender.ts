/**
 * What one follower is sent, and when it has had enough.
 *
 * There is one command object of each kind that comes often; it is filled anew for each send, as it is
 * encoded at once. So an update to ten followers costs ten encodings and no garbage.
 */
import type { Address, Instant } from '../../core/machine.ts';
import type {
  BeginCommand,
  ItemCommand,
  Sequence,
  StreamCommand,
  UpdateCommand,
} from '../commands.ts';
import { weightOf } from '../commands.ts';
import type { FeedContent } from './content.ts';
import {
  aim,
  hasRoom,
  hasRoomForItems,
  isCaughtUp,
  type Follower,
  type Loading,
} from './feed-follower.ts';
import type { History } from './history.ts';
import type { Lineage } from './lineage.ts';
import { timeLeft, type Update } from './update.ts';

export interface StreamVoice {
  /** False: its queue is full, and nothing was sent. The command is lent: it is filled anew afterwards. */
  send(to: Address, command: StreamCommand): boolean;
}

/**
 * `waits`: for room, or for what comes next. `hasMore`: it was enough for now. `leftBehind`: the next
 * update is not kept any more.
 */
export type Outcome = 'waits' | 'hasMore' | 'leftBehind';

type Refilled<Command> = { -readonly [Name in keyof Command]: Command[Name] };

export class Sender {
  readonly #voice: StreamVoice;
  readonly #history: History;
  readonly #lineage: Lineage;
  readonly #content: FeedContent;
  readonly #update: Refilled<UpdateCommand> = {
    type: 'update',
    stream: 0,
    sequence: 0,
    predecessor: 0,
    kind: 'set',
    key: '',
    ttl: undefined,
    timeLeft: undefined,
    origin: undefined,
    value: [],
  };
  readonly #item: Refilled<ItemCommand> & { value: Uint8Array[] } = {
    type: 'item',
    stream: 0,
    index: 0,
    key: '',
    revision: 0,
    ttl: undefined,
    timeLeft: undefined,
    value: [],
  };

  constructor(voice: StreamVoice, history: History, lineage: Lineage, content: FeedContent) {
    this.#voice = voice;
    this.#history = history;
    this.#lineage = lineage;
    this.#content = content;
  }

  /** The newest update, to one who has all before it; who has no room for it is live no more. */
  push(now: Instant, follower: Follower, update: Update): void {
    if (hasRoom(follower) && this.#sendUpdate(now, follower, update)) return;
    this.leave(follower, update.sequence);
  }

  /** It is live no more: what it is sent next, if anything, is `cursor`. */
  leave(follower: Follower, cursor: Sequence): void {
    if (!follower.isLive) return;
    follower.isLive = false;
    follower.owesBeat = false;
    follower.cursor = cursor;
    const { live } = follower.channel;
    const index = live.indexOf(follower);
    if (index < 0) return;
    const other = live.pop()!;
    if (other !== follower) live[index] = other;
  }

  /** All up to here has been sent. */
  sentTo(follower: Follower): Sequence {
    return follower.isLive ? this.#headOf(follower) : follower.cursor - 1;
  }

  /** A sign of life, room or not: what it says is small, and who never answers is given up. */
  beat(follower: Follower): void {
    if (follower.beginning !== undefined) return;
    const { stream, last, channel } = follower;
    const hasAll = isCaughtUp(follower);
    const sequence = this.sentTo(follower);
    const isPublic = sequence === this.#history.published;
    const isKnown = hasAll && isPublic && this.#content.snapshots !== undefined;
    const isSent = this.#send(follower, {
      type: 'beat',
      stream,
      epoch: this.#lineage.epoch,
      sequence,
      predecessor: last,
      digest: isKnown ? channel.digest.value : undefined,
      isCaughtUp: hasAll,
    });
    follower.owesBeat = hasAll && !isSent;
  }

  /** Sends what there is room for, and takes at most so many steps of each kind. */
  goOn(now: Instant, follower: Follower, steps: number): Outcome {
    if (!this.#begin(follower)) return 'waits';
    // Twice for a backup: what is accepted and not public it is told only after its snapshot.
    for (;;) {
      const outcome = this.#goOnUpdates(now, follower, steps);
      if (outcome !== 'ended') return outcome;
      if (!follower.isLive) this.#enliven(follower);
      if (follower.loading === undefined) break;
      const loaded = this.#goOnLoading(now, follower, follower.loading, steps);
      if (loaded !== 'ended') return loaded;
      if (follower.isBackup) this.leave(follower, this.#history.published + 1);
      follower.loading = undefined;
      follower.owesBeat = true;
    }
    if (follower.owesBeat) this.beat(follower);
    return 'waits';
  }

  #enliven(follower: Follower): void {
    const { isBackup, loading, channel } = follower;
    follower.isLive = true;
    follower.owesBeat = loading === undefined;
    // A backup that has its snapshot is told what is accepted, not what is published.
    if (!isBackup || loading !== undefined) channel.live.push(follower);
  }

  /** The last update that it may be told now. */
  #headOf({ isBackup, loading }: Follower): Sequence {
    const { accepted, published } = this.#history;
    return isBackup && loading === undefined ? accepted : published;
  }

  /** False: it is still to begin. */
  #begin(follower: Follower): boolean {
    const { stream, heartbeat, beginning } = follower;
    if (beginning !== undefined) {
      if (!hasRoom(follower)) return false;
      const { first, published } = this.#history;
      // It may have waited for room: what it begins with is what is here now.
      if (beginning === 'snapshot') aim(follower, published);
      else if (beginning === 'lost') aim(follower, first - 1);
      const begin: BeginCommand = {
        type: 'begin',
        stream,
        mode: beginning,
        epoch: this.#lineage.epoch,
        sequence: follower.last,
        predecessor: follower.last,
        ...heartbeat,
      };
      if (!this.#send(follower, begin)) return false;
      follower.beginning = undefined;
      follower.loading = this.#loadingOf(follower, beginning);
      follower.owesLineage = follower.isBackup;
    }
    if (!follower.owesLineage) return true;
    const { reigns } = this.#lineage;
    follower.owesLineage = !this.#send(follower, { type: 'lineage', stream, reigns });
    return !follower.owesLineage;
  }

  #loadingOf({ channel, last }: Follower, beginning: BeginCommand['mode']): Loading | undefined {
    const { snapshots } = this.#content;
    if (beginning !== 'snapshot' || snapshots === undefined) return undefined;
    const walk = snapshots.walk(channel.subtree, last);
    return { walk, since: last, writers: undefined, told: 0, index: 0 };
  }

  #goOnUpdates(now: Instant, follower: Follower, steps: number): Outcome | 'ended' {
    if (follower.isLive) return 'ended';
    const { subtree } = follower.channel;
    const head = this.#headOf(follower);
    for (let left = steps; follower.cursor <= head; left--) {
      if (left === 0) return 'hasMore';
      const update = this.#history.get(follower.cursor);
      if (update === undefined) return 'leftBehind';
      if (this.#content.concerns(subtree, update)) {
        if (!hasRoom(follower) || !this.#sendUpdate(now, follower, update)) return 'waits';
      }
      follower.cursor++;
    }
    return 'ended';
  }

  #goOnLoading(
    now: Instant,
    follower: Follower,
    loading: Loading,
    steps: number,
  ): Outcome | 'ended' {
    const { walk } = loading;
    for (let left = steps; !walk.isOver; left--) {
      if (left === 0) return 'hasMore';
      const { item } = walk;
      if (item !== undefined) {
        const command = this.#item;
        command.stream = follower.stream;
        command.index = loading.index;
        command.key = item.key;
        command.revision = item.revision;
        command.ttl = item.ttl;
        command.timeLeft = timeLeft(now, item.expiresAt);
        command.value[0] = item.value;
        if (!hasRoomForItems(follower) || !this.#send(follower, command)) return 'waits';
        loading.index++;
      }
      walk.step();
    }
    return this.#endLoading(follower, loading);
  }

  /** After the items: the writers, and that this was all. */
  #endLoading(follower: Follower, loading: Loading): Outcome | 'ended' {
    const { stream, isBackup, last, channel } = follower;
    const { snapshots } = this.#content;
    loading.writers ??= isBackup && snapshots !== undefined ? [...snapshots.writers()] : [];
    while (loading.told < loading.writers.length) {
      const writer = loading.writers[loading.told]!;
      const { index } = loading;
      if (!hasRoom(follower)) return 'waits';
      if (!this.#send(follower, { type: 'writer', stream, index, ...writer })) return 'waits';
      loading.told++;
      loading.index++;
    }
    const isSent =
      hasRoom(follower) &&
      this.#send(follower, {
        type: 'end',
        stream,
        count: loading.index,
        sequence: this.#history.published,
        predecessor: last,
        digest: channel.digest.value,
      });
    return isSent ? 'ended' : 'waits';
  }

  #sendUpdate(now: Instant, follower: Follower, update: Update): boolean {
    const command = this.#update;
    const { origin, weight } = update;
    command.stream = follower.stream;
    command.sequence = update.sequence;
    command.predecessor = follower.last;
    command.kind = update.kind;
    command.key = update.key;
    command.ttl = update.ttl;
    command.timeLeft = update.ttl === undefined ? undefined : timeLeft(now, update.expiresAt);
    command.origin =
      origin !== undefined && (follower.isBackup || origin.writer === follower.writer)
        ? origin
        : undefined;
    command.value = update.value;
    if (!this.#voice.send(follower.address, command)) {
      follower.isWritable = false;
      return false;
    }
    follower.sent += weight;
    follower.last = update.sequence;
    return true;
  }

  #send(follower: Follower, command: StreamCommand): boolean {
    if (!this.#voice.send(follower.address, command)) {
      follower.isWritable = false;
      return false;
    }
    follower.sent += weightOf(command);
    return true;
  }
}
