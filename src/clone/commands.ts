/**
 * What a Clone server and those who follow it say to each other.
 *
 * Our own peers speak over one link, DEALER to ROUTER: one ordered, packed stream that carries the
 * snapshot, the updates, the acknowledgements and the writes. Stock peers (12/CHP) use three sockets.
 * The machines know the commands alone; `wire/` says how they look.
 */
import type { Epoch } from '../core/election.ts';
import type { Frames } from '../core/machine.ts';

/** Numbers the updates of a server, and of those that take over from it, from 1; never reset while state lasts. */
export type Sequence = number;

/** A point in the history of the state: what is there after `sequence`, which was made under `epoch`. */
export interface Position {
  readonly epoch: Epoch;
  readonly sequence: Sequence;
}

/** Equal for equal maps: eight bytes as two unsigned 32-bit numbers. See `digest.ts`. */
export interface Digest {
  readonly high: number;
  readonly low: number;
}

/** Who writes, across reconnects and failovers: 8 random bytes, one character (latin1) each. */
export type WriterId = string;

/** Why a write was refused. It was not done, and will not be. */
export const WRITE_REFUSALS = [
  /** The key has another revision than `ifMatch`. */
  'conflict',
  /** The key or the subtree is none. */
  'invalidKey',
  /** Empty, or larger than the server takes. */
  'invalidValue',
  /** The server has as many keys, or bytes, as it may. */
  'full',
  /** The server has too many writers, or too much of this one in its hands: try again later. */
  'busy',
  /** The storage did not take it. */
  'storageFailed',
] as const;

export type WriteRefusal = (typeof WRITE_REFUSALS)[number];

/** Who made an update; absent: the server itself (an expiry), or a stock peer. */
export interface Origin {
  readonly writer: WriterId;
  readonly number: number;
  /** Of this writer nobody asks about lower ones any more. */
  readonly floor?: number | undefined;
}

// From those who follow

/**
 * I want the stream from here on. Begins a stream: what belongs to an earlier one of this link is over. It
 * is repeated until it is answered, under the same number.
 */
export interface FollowCommand {
  readonly type: 'follow';
  /** Chosen by the follower; ascends on each of its links. What comes under another number is ignored. */
  readonly stream: number;
  /** `''` for everything, `/a/b/` for what is under it, `/a/b` for this one key. A topic prefix in replay. */
  readonly subtree: string;
  /** What it has; absent: nothing. A replay: what it wants to go on from; absent: from the newest on. */
  readonly position?: Position | undefined;
  /** Bytes (`weightOf`) that may be on their way before `progress` says that they have arrived. */
  readonly window: number;
  /** The highest epoch it has seen, 0 for none. */
  readonly epoch: Epoch;
  /** It is the other server of a pair, and is to take over: it gets origins, writers and the lineage. */
  readonly isBackup: boolean;
  /** Who writes on this link. */
  readonly writer: WriterId;
  /** What the two sides agree on is the slower of both. */
  readonly heartbeatInterval: number;
  readonly heartbeatLiveness: number;
}

/** So far I am. Also its heartbeat. */
export interface ProgressCommand {
  readonly type: 'progress';
  readonly stream: number;
  /** The sum of `weightOf` of all that has arrived in this stream. */
  readonly received: number;
  /** All up to here is applied; of a backup with a store: is durable. */
  readonly sequence: Sequence;
  /** The highest epoch it has seen. */
  readonly epoch: Epoch;
}

export type WriteKind = 'set' | 'delete' | 'clear';

/** Please do this, once. It is repeated, under the same number, until there is a `result`. */
export interface WriteCommand {
  readonly type: 'write';
  /** Counts what this writer asks for from 1; done in this order. */
  readonly number: number;
  /** The lowest that it still wants a result for: what is below may be forgotten. */
  readonly floor: number;
  readonly kind: WriteKind;
  /** Of `clear`: a subtree. */
  readonly key: string;
  /** Milliseconds until it is deleted; absent: never. */
  readonly ttl?: number | undefined;
  /** Only if the key has this revision; 0: only if there is no such key. Not for `clear`. */
  readonly ifMatch?: Sequence | undefined;
  /** One frame of at least one byte for `set`, none otherwise. */
  readonly value: Frames;
}

/** I leave: do not wait for me. */
export interface GoodbyeCommand {
  readonly type: 'goodbye';
}

export type ServerInput =
  FollowCommand | ProgressCommand | WriteCommand | GoodbyeCommand | IcanhazCommand | KvsetCommand;

// From the server

/** Not served here: try there; '' if nobody is known. Also said when it stops serving. */
export interface RedirectCommand {
  readonly type: 'redirect';
  readonly epoch: Epoch;
  readonly endpoint: string;
}

/** The stream begins. */
export interface BeginCommand {
  readonly type: 'begin';
  readonly stream: number;
  /**
   * `continue`: updates follow the position that was asked for. `snapshot`: items follow, with the updates
   * of the meantime among them, then `end`; what the follower has is of no use. It comes in the middle of a
   * stream too, when a slow follower has been left behind by the history. `lost` (replay): what was asked
   * for is not there any more, updates follow the position given here.
   */
  readonly mode: 'continue' | 'snapshot' | 'lost';
  /** Under which epoch this server serves. */
  readonly epoch: Epoch;
  /** Of a snapshot: items are as of here. Else: what follows follows this. */
  readonly sequence: Sequence;
  /** The last update under the subtree up to there; what follows names it as its predecessor. */
  readonly predecessor: Sequence;
  readonly heartbeatInterval: number;
  readonly heartbeatLiveness: number;
}

/** One key of a snapshot. */
export interface ItemCommand {
  readonly type: 'item';
  readonly stream: number;
  /** Counts the items of this snapshot from 0. */
  readonly index: number;
  readonly key: string;
  readonly revision: Sequence;
  /** Milliseconds it was given, and those it has left; absent: it does not expire. */
  readonly ttl?: number | undefined;
  readonly timeLeft?: number | undefined;
  /** One frame. */
  readonly value: Frames;
}

/** To a backup, within a snapshot: what is known of a writer. */
export interface WriterCommand {
  readonly type: 'writer';
  readonly stream: number;
  /** Goes on with the count of the items. */
  readonly index: number;
  readonly writer: WriterId;
  /** What it is to ask for next. */
  readonly next: number;
  /** Number and revision of those done that it may still ask about, ascending. */
  readonly done: readonly (readonly [number: number, revision: Sequence])[];
}

/** To a backup: which epoch began after which sequence, oldest first. At the begin of each of its streams. */
export interface LineageCommand {
  readonly type: 'lineage';
  readonly stream: number;
  readonly reigns: readonly Reign[];
}

export interface Reign {
  readonly epoch: Epoch;
  /** What it took over: its own updates come after this. */
  readonly base: Sequence;
}

/** The snapshot is complete: so many items (and writers), and with the updates among them this is the map. */
export interface EndCommand {
  readonly type: 'end';
  readonly stream: number;
  readonly count: number;
  readonly sequence: Sequence;
  readonly predecessor: Sequence;
  readonly digest: Digest;
}

/** One change. Its sequence is the revision of the key. */
export interface UpdateCommand {
  readonly type: 'update';
  readonly stream: number;
  readonly sequence: Sequence;
  /** The update before it under the follower's subtree: who has not got that one has a gap. */
  readonly predecessor: Sequence;
  readonly kind: WriteKind;
  /** Of `clear`: a subtree. Of replay: a topic. */
  readonly key: string;
  readonly ttl?: number | undefined;
  readonly timeLeft?: number | undefined;
  /** To the writer itself, and to a backup. */
  readonly origin?: Origin | undefined;
  /** One frame for `set`, none otherwise; any number in replay. */
  readonly value: Frames;
}

/**
 * There is nothing more up to here. Said when a stream has caught up, each heartbeat, and never ahead of an
 * update that it covers. It says what is so, and changes nothing: who lacks something asks for it.
 */
export interface BeatCommand {
  readonly type: 'beat';
  readonly stream: number;
  readonly epoch: Epoch;
  /** The newest of all. */
  readonly sequence: Sequence;
  /** The newest under the follower's subtree: it must have got that one. */
  readonly predecessor: Sequence;
  /** Of the subtree at `sequence`; absent in replay, and to a backup whose stream is ahead of what is public. */
  readonly digest?: Digest | undefined;
  /** False while there is more than the window lets through. */
  readonly isCaughtUp: boolean;
}

/** How a write ended. */
export interface ResultCommand {
  readonly type: 'result';
  readonly number: number;
  /** Absent: it was done. */
  readonly refusal?: WriteRefusal | undefined;
  /** Of what was done; of a conflict: the revision that the key has, 0 for none. */
  readonly revision: Sequence;
  /** Milliseconds after which a `full` or `busy` one may be tried again. */
  readonly retryAfter?: number | undefined;
  /** The other server of the pair has it too. */
  readonly isReplicated: boolean;
}

/** A write of this writer is missing: please go on from this number. */
export interface ExpectedCommand {
  readonly type: 'expected';
  readonly number: number;
}

export type ServerOutput =
  | RedirectCommand
  | BeginCommand
  | ItemCommand
  | WriterCommand
  | LineageCommand
  | EndCommand
  | UpdateCommand
  | BeatCommand
  | ResultCommand
  | ExpectedCommand
  | KvsyncCommand
  | KthxbaiCommand
  | KvpubCommand
  | HugzCommand;

/** What comes in a stream and is counted for its window. */
export type StreamCommand =
  | BeginCommand
  | ItemCommand
  | WriterCommand
  | LineageCommand
  | EndCommand
  | UpdateCommand
  | BeatCommand;

// 12/CHP

/** A stock client asks for a snapshot. */
export interface IcanhazCommand {
  readonly type: 'icanhaz';
  readonly subtree: string;
}

/** A stock client sets a key, or deletes it with an empty value. */
export interface KvsetCommand {
  readonly type: 'kvset';
  readonly key: string;
  /** 16 bytes as latin1, or ''. */
  readonly uuid: string;
  /** Milliseconds; absent: it does not expire. */
  readonly ttl?: number | undefined;
  readonly value: Uint8Array;
}

export interface KvsyncCommand {
  readonly type: 'kvsync';
  readonly key: string;
  readonly sequence: Sequence;
  readonly value: Uint8Array;
}

export interface KthxbaiCommand {
  readonly type: 'kthxbai';
  readonly sequence: Sequence;
  readonly subtree: string;
}

export interface KvpubCommand {
  readonly type: 'kvpub';
  readonly key: string;
  readonly sequence: Sequence;
  readonly uuid: string;
  /** Milliseconds. */
  readonly ttl?: number | undefined;
  /** Empty: it is deleted. */
  readonly value: Uint8Array;
}

export interface HugzCommand {
  readonly type: 'hugz';
  readonly sequence: Sequence;
}

/** What our own follower hears and says. */
export type FollowerInput = StreamCommand | RedirectCommand | ResultCommand | ExpectedCommand;
export type FollowerOutput = FollowCommand | ProgressCommand | WriteCommand | GoodbyeCommand;

/** What our client hears and says where the server is a stock one. */
export type ChpClientInput = KvsyncCommand | KthxbaiCommand | KvpubCommand | HugzCommand;
export type ChpClientOutput = IcanhazCommand | KvsetCommand;

/** What any command costs of a window beside its key and value: about its memory at the receiver. */
const OVERHEAD = 64;

/** What this command counts for its stream's window, in bytes: both sides add up the same. */
export function weightOf(command: StreamCommand): number {
  switch (command.type) {
    case 'item':
    case 'update': {
      let bytes = OVERHEAD + command.key.length;
      for (const frame of command.value) bytes += frame.byteLength;
      return bytes;
    }
    case 'writer':
      return OVERHEAD + 16 * command.done.length;
    case 'lineage':
      return OVERHEAD + 16 * command.reigns.length;
    default:
      return OVERHEAD;
  }
}
