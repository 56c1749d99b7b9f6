/**
 * What comes in a stream, and whether it is all: the heart of a follower.
 *
 * One number is the whole secret: `complete`. All up to it is here, of what is followed. An update whose
 * predecessor is beyond it shows a gap, a beat whose predecessor is beyond it shows one too. Where the
 * stream began has no hole, so there is none at all. A beat changes nothing but what is known.
 */
import type { Instant } from '../../core/machine.ts';
import type {
  BeatCommand,
  BeginCommand,
  EndCommand,
  Position,
  Sequence,
  StreamCommand,
  UpdateCommand,
} from '../commands.ts';
import type { SynchronisationLoss } from '../client-events.ts';
import { equalDigests } from '../digest.ts';
import type { FollowerEvent, FollowerOwner } from './follower-contract.ts';
import type { Recovery } from './recovery.ts';

/**
 * What follows from a command. `caughtUp`: all is here. `broken`: something is missing or wrong, so that the
 * stream has to be begun anew. `overfull`: the owner does not take it.
 */
export type Verdict = 'inOrder' | 'caughtUp' | 'broken' | 'overfull';

export class Intake {
  readonly #owner: FollowerOwner;
  readonly #recovery: Recovery;
  /** Plain data, for the fingerprint. */
  readonly state = {
    /** What is visible, and whether it can be gone on from. */
    epoch: 0,
    sequence: 0,
    isUsable: false,
    isSynchronised: false,
    /** Of the stream: its epoch, and all up to here came. The latter is visible but for a snapshot under way. */
    streamEpoch: 0,
    complete: 0,
    isLoading: false,
    items: 0,
  };

  constructor(owner: FollowerOwner, recovery: Recovery) {
    this.#owner = owner;
    this.#recovery = recovery;
  }

  /** Of what is visible, which nothing that is under way changes. */
  get position(): Position {
    const { epoch, sequence } = this.state;
    return { epoch, sequence };
  }

  startFrom(position: Position | undefined): void {
    const { epoch, sequence } = position ?? { epoch: 0, sequence: 0 };
    this.state.epoch = epoch;
    this.state.sequence = sequence;
    this.state.isUsable = position !== undefined;
  }

  /** A stream begins, or a snapshot in the middle of it. */
  begin(now: Instant, { mode, epoch, sequence }: BeginCommand): void {
    const { state } = this;
    if (this.discard(now)) this.#refuse(now, 'superseded');
    state.streamEpoch = epoch;
    state.complete = sequence;
    if (mode === 'snapshot') {
      this.lose(now, 'snapshot');
      state.isLoading = true;
      state.items = 0;
    } else {
      state.epoch = epoch;
      state.sequence = sequence;
      state.isUsable = true;
    }
  }

  /** What is in order is handed to the owner. */
  take(now: Instant, command: Exclude<StreamCommand, BeginCommand>): Verdict {
    const owner = this.#owner;
    switch (command.type) {
      case 'update':
        return this.#takeUpdate(now, command);
      case 'beat':
        return this.#takeBeat(now, command);
      case 'item':
        if (!this.#isNext(command.index)) return this.#throwAway(now, 'gap');
        return owner.handleItem(now, command) ? 'inOrder' : this.#overflow(now);
      case 'writer':
        if (!this.#isNext(command.index)) return this.#throwAway(now, 'gap');
        owner.handleWriter(now, command);
        return 'inOrder';
      case 'lineage':
        owner.handleLineage(now, command);
        return 'inOrder';
      case 'end':
        return this.#takeEnd(now, command);
    }
  }

  /** True if there was a snapshot under way. */
  discard(now: Instant): boolean {
    if (!this.state.isLoading) return false;
    this.state.isLoading = false;
    this.#owner.handleDiscard(now);
    return true;
  }

  /** It is not known any more what there is at the server. Without a reason nobody is told. */
  lose(now: Instant, reason: SynchronisationLoss | undefined): void {
    if (!this.state.isSynchronised) return;
    this.state.isSynchronised = false;
    if (reason !== undefined) this.#emit(now, { type: 'unsynchronised', reason });
  }

  #takeUpdate(now: Instant, update: UpdateCommand): Verdict {
    const { state } = this;
    const { sequence, predecessor } = update;
    if (predecessor > state.complete || sequence <= state.complete) {
      return this.#takeGap(now, predecessor);
    }
    if (!this.#owner.handleUpdate(now, update, state.isLoading)) return this.#overflow(now);
    state.complete = sequence;
    if (!state.isLoading) state.sequence = sequence;
    if (this.#recovery.isMissing) this.#noteRepair(now, 'history');
    return 'inOrder';
  }

  /** True if `index` is that of the next item of the snapshot under way. */
  #isNext(index: number): boolean {
    return this.state.isLoading && index === this.state.items++;
  }

  #takeEnd(now: Instant, end: EndCommand): Verdict {
    const { state } = this;
    const { count, sequence, predecessor } = end;
    if (!state.isLoading || predecessor > state.complete) return this.#throwAway(now, 'gap');
    if (count !== state.items || sequence < state.complete) return this.#throwAway(now, 'count');
    if (!this.#owner.handleEnd(now, end)) return this.#throwAway(now, 'digest');
    state.isLoading = false;
    state.complete = sequence;
    state.sequence = sequence;
    state.epoch = state.streamEpoch;
    state.isUsable = true;
    this.#emit(now, { type: 'snapshotLoaded', position: this.position });
    this.#noteRepair(now, 'snapshot');
    return 'inOrder';
  }

  #takeBeat(now: Instant, beat: BeatCommand): Verdict {
    const { state } = this;
    const { epoch, sequence, predecessor, digest } = beat;
    if (epoch !== state.streamEpoch) {
      this.#ignore(now, epoch < state.streamEpoch ? 'outdated' : 'unexpected');
      return 'broken';
    }
    // There is more than the window lets through: it speaks of what cannot be here yet.
    if (!beat.isCaughtUp) return 'inOrder';
    if (predecessor > state.complete) return this.#takeGap(now, predecessor);
    if (state.isLoading) return 'inOrder';
    if (digest !== undefined) {
      if (sequence < state.complete) {
        this.#ignore(now, 'unexpected');
        return 'inOrder';
      }
      if (!equalDigests(digest, this.#owner.digest)) return this.#takeWrongDigest(now, sequence);
    }
    state.complete = Math.max(state.complete, sequence);
    state.sequence = state.complete;
    this.#noteSynchronised(now);
    return 'caughtUp';
  }

  #noteSynchronised(now: Instant): void {
    this.#noteRepair(now, 'history');
    this.#recovery.succeed();
    if (this.state.isSynchronised) return;
    this.state.isSynchronised = true;
    this.#emit(now, { type: 'synchronised', position: this.position });
  }

  /** All that was missing is here, or replaced by a snapshot. */
  #noteRepair(now: Instant, by: 'history' | 'snapshot'): void {
    const { isLoading, complete } = this.state;
    if (isLoading) return;
    const milliseconds = this.#recovery.repair(now, by === 'snapshot' ? Infinity : complete);
    if (milliseconds !== undefined) this.#emit(now, { type: 'gapRepaired', milliseconds, by });
  }

  #takeGap(now: Instant, got: Sequence): Verdict {
    const { complete: expected, isLoading } = this.state;
    this.#recovery.note(now, got);
    this.#emit(now, { type: 'gapDetected', expected, got });
    return isLoading ? this.#throwAway(now, 'gap') : 'broken';
  }

  #takeWrongDigest(now: Instant, sequence: Sequence): Verdict {
    this.#emit(now, { type: 'digestWrong', sequence });
    this.lose(now, 'digestWrong');
    // What is there is of no use to anybody who wants to go on from it.
    this.state.isUsable = false;
    return 'broken';
  }

  /** The snapshot under way is not what it should be, or there is none. */
  #throwAway(now: Instant, reason: 'count' | 'digest' | 'gap'): Verdict {
    if (this.discard(now)) this.#refuse(now, reason);
    else this.#ignore(now, 'unexpected');
    return 'broken';
  }

  #overflow(now: Instant): Verdict {
    this.discard(now);
    this.#refuse(now, 'full');
    return 'overfull';
  }

  #refuse(now: Instant, reason: 'count' | 'digest' | 'gap' | 'superseded' | 'full'): void {
    this.#emit(now, { type: 'snapshotRefused', reason });
  }

  #ignore(now: Instant, reason: 'outdated' | 'unexpected'): void {
    this.#emit(now, { type: 'ignored', reason });
  }

  #emit(now: Instant, event: FollowerEvent): void {
    this.#owner.handleEvent(now, event);
  }
}
