/** What a follower is told to follow, and what its owner does with what comes. */
import type { Instant } from '../../core/machine.ts';
import type {
  BeginCommand,
  Digest,
  EndCommand,
  ItemCommand,
  LineageCommand,
  Position,
  Sequence,
  UpdateCommand,
  WriterCommand,
  WriterId,
} from '../commands.ts';
import type { CloneClientEvent } from '../client-events.ts';
import type { FollowLinkSettings } from './follow-link.ts';

export interface FollowerSettings extends FollowLinkSettings {
  /**
   * `map`: snapshots may come. `backup`: also writers and the lineage; only what `acknowledge` says is said
   * to be applied. `messages`: no snapshots; what the history lacks is `lost`.
   */
  readonly kind: 'map' | 'backup' | 'messages';
  readonly subtree: string;
  /** Bytes that may be on their way. */
  readonly window: number;
  readonly writer: WriterId;
}

/** What is done with what comes. Commands are borrowed until the call returns. */
export interface FollowerOwner {
  /**
   * A stream begins. `snapshot`: what comes until `handleEnd` is a map of its own beside the one that is
   * there; `continue`: goes on; `lost`: nothing up to `begin.sequence` will come any more.
   */
  handleBegin(now: Instant, begin: BeginCommand): void;
  /** Of the snapshot under way. False: it is more than may be; this server is left for a while. */
  handleItem(now: Instant, item: ItemCommand): boolean;
  handleWriter(now: Instant, writer: WriterCommand): void;
  handleLineage(now: Instant, lineage: LineageCommand): void;
  /** @param isLoading of the snapshot under way. False: as for `handleItem`. */
  handleUpdate(now: Instant, update: UpdateCommand, isLoading: boolean): boolean;
  /** All of the snapshot came. True: it is what its digest says, and visible now. */
  handleEnd(now: Instant, end: EndCommand): boolean;
  /** The snapshot under way is none any more. */
  handleDiscard(now: Instant): void;
  /** Of what is visible: asked for if a beat carries one. */
  readonly digest: Digest;
  handleEvent(now: Instant, event: FollowerEvent): void;
}

/** What a follower tells its owner. */
export type FollowerEvent =
  | Extract<
      CloneClientEvent,
      {
        readonly type:
          | 'connected'
          | 'disconnected'
          | 'unsynchronised'
          | 'gapDetected'
          | 'gapRepaired'
          | 'snapshotRefused'
          | 'failedOver'
          | 'ignored';
      }
    >
  | { readonly type: 'synchronised'; readonly position: Position }
  | { readonly type: 'snapshotLoaded'; readonly position: Position }
  | { readonly type: 'digestWrong'; readonly sequence: Sequence };

/** Why a follower and a server are connected no more. */
export type DisconnectReason = Extract<
  CloneClientEvent,
  { readonly type: 'disconnected' }
>['reason'];
