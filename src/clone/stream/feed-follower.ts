/** One who follows a stream, as its server sees it. */
import { slowerOf, type HeartbeatSettings } from '../../core/heartbeat.ts';
import type { Address, Instant } from '../../core/machine.ts';
import type { BeginCommand, FollowCommand, Sequence, WriterId } from '../commands.ts';
import type { FollowerStatus } from '../server-events.ts';
import type { Channel } from './channels.ts';
import type { SnapshotWalk, WriterState } from './content.ts';

/** A snapshot on its way: first the items, then the writers. */
export interface Loading {
  readonly walk: SnapshotWalk;
  /** Items are as of here; all later updates are sent as such. */
  readonly since: Sequence;
  /** After the items a backup is told of these; the first `told` it has been. */
  writers: readonly WriterState[] | undefined;
  told: number;
  /** Of items and writers. */
  index: number;
}

export interface Follower {
  readonly address: Address;
  readonly writer: WriterId;
  readonly stream: number;
  readonly isBackup: boolean;
  readonly channel: Channel;
  /** Bytes that may be on their way. */
  readonly window: number;
  /** What the two sides agree on. */
  readonly heartbeat: HeartbeatSettings;
  /** How its stream is to begin, until that is said. */
  beginning: BeginCommand['mode'] | undefined;
  /** A backup is told the lineage after each `begin`. */
  owesLineage: boolean;
  loading: Loading | undefined;
  /** It has all updates that it may have: new ones are sent at once, also among the items of a snapshot. */
  isLive: boolean;
  /** The next update to look at; of no meaning while it is live. */
  cursor: Sequence;
  /** The last update that was sent. */
  last: Sequence;
  /** Bytes sent in this stream, and those that have arrived. */
  sent: number;
  received: number;
  /** The last update that it says it has applied. */
  applied: Sequence;
  isWritable: boolean;
  /** It is to be told that there is no more. */
  owesBeat: boolean;
  beatAt: Instant;
  expiresAt: Instant;
}

/** What items may take of a window, so that updates need not wait for them. */
const SHARE_OF_ITEMS = 0.5;

export function newFollower(
  address: Address,
  command: FollowCommand,
  channel: Channel,
  ours: HeartbeatSettings,
): Follower {
  return {
    address,
    writer: command.writer,
    stream: command.stream,
    isBackup: command.isBackup,
    channel,
    window: Math.max(1, command.window),
    heartbeat: slowerOf(ours, command),
    beginning: undefined,
    owesLineage: false,
    loading: undefined,
    isLive: false,
    cursor: 0,
    last: 0,
    sent: 0,
    received: 0,
    applied: 0,
    isWritable: true,
    owesBeat: false,
    beatAt: Infinity,
    expiresAt: Infinity,
  };
}

/** What it is sent next follows `last`. */
export function aim(follower: Follower, last: Sequence): void {
  follower.isLive = false;
  follower.loading = undefined;
  follower.cursor = last + 1;
  follower.last = last;
}

/** The same, of a stream that is still to begin. */
export function aimAt(follower: Follower, mode: BeginCommand['mode'], last: Sequence): void {
  aim(follower, last);
  follower.beginning = mode;
}

/** True if it has all that it may have. */
export function isCaughtUp({ isLive, loading }: Follower): boolean {
  return isLive && loading === undefined;
}

/** True if it may be sent one more update. */
export function hasRoom(follower: Follower): boolean {
  return follower.isWritable && follower.sent - follower.received < follower.window;
}

/** True if it may be sent one more part of a snapshot. */
export function hasRoomForItems({ isWritable, sent, received, window }: Follower): boolean {
  return isWritable && sent - received < window * SHARE_OF_ITEMS;
}

export function statusOf(follower: Follower): FollowerStatus {
  const { address, channel, isBackup, applied, sent, received, loading } = follower;
  const isLoading = loading !== undefined || follower.beginning === 'snapshot';
  return {
    address,
    subtree: channel.subtree,
    state: isCaughtUp(follower) ? 'live' : isLoading ? 'snapshot' : 'catchingUp',
    isBackup,
    sequence: applied,
    inFlight: sent - received,
  };
}

/** Plain data, for the fingerprint. */
export function stateOf(follower: Follower): object {
  const { channel, loading, ...rest } = follower;
  return {
    ...rest,
    subtree: channel.subtree,
    loading: loading && {
      since: loading.since,
      index: loading.index,
      told: loading.told,
      at: loading.walk.item?.key,
      isOver: loading.walk.isOver,
    },
  };
}
