/**
 * What must hold at a replica after every step: the map that it shows is one that its server had, under its
 * subtree and at its position; it goes forward only; and what it says of its writes is so.
 */
import { equalBytes } from '../../core/frames.ts';
import type { Epoch } from '../../core/election.ts';
import type { Address, Instant } from '../../core/machine.ts';
import type {
  ClientCall,
  ClientPort,
  CloneChange,
  CloneClientEvent,
  CloneClientStatus,
} from '../../clone/client-events.ts';
import type { BeatCommand, FollowerInput, FollowerOutput, Position } from '../../clone/commands.ts';
import type { MachineChecker } from '../machine-role.ts';
import { requireThat } from '../violation.ts';
import type { Input } from '../watched-machine.ts';
import type { CloneStage } from './stage.ts';
import { differenceOf, isIn, type Item, type TrueReign } from './truth.ts';
import type { Write } from './writes.ts';

type Step = Input<ClientPort, FollowerInput, ClientCall>;

/** What a client's machine shows. */
export interface ClientShown {
  readonly replica: ReadonlyMap<string, Item>;
  status(): CloneClientStatus;
}

export class ClientChecker implements MachineChecker<
  ClientPort,
  FollowerInput,
  FollowerOutput,
  ClientCall,
  CloneClientEvent
> {
  /** Its writes by their tokens. */
  readonly writes = new Map<number, Write>();
  readonly #stage: CloneStage;
  readonly #name: string;
  readonly #subtree: string;
  readonly #shown: () => ClientShown;
  /** What the changes that it told make, all together. */
  readonly #told = new Map<string, Item>();
  isSynchronised = false;
  /** When it last became so, in the time of the world. */
  synchronisedAt: Instant = -Infinity;
  #position: Position = { epoch: 0, sequence: 0 };
  #highest: Epoch = 0;
  /** The stream that it asked for last, and under which epoch that began. */
  #stream = 0;
  #streamEpoch: Epoch = 0;
  #input: Step | undefined;
  #hasLoaded = false;
  #hasChanged = false;

  constructor(stage: CloneStage, name: string, subtree: string, shown: () => ClientShown) {
    this.#stage = stage;
    this.#name = name;
    this.#subtree = subtree;
    this.#shown = shown;
  }

  get unsettled(): number {
    let count = 0;
    for (const { outcome } of this.writes.values()) if (outcome === undefined) count++;
    return count;
  }

  get position(): Position {
    return this.#position;
  }

  before(_now: Instant, input: Step): void {
    this.#input = input;
    this.#hasLoaded = false;
    this.#hasChanged = false;
    if (input.kind !== 'command') return;
    const { command } = input;
    if (!('epoch' in command)) return;
    const { epoch, type } = command;
    if (type === 'begin' && command.stream === this.#stream) this.#streamEpoch = epoch;
    if (type === 'redirect' || command.stream === this.#stream) {
      this.#highest = Math.max(this.#highest, epoch);
    }
  }

  opened(): void {
    this.#stream = 0;
    this.#streamEpoch = 0;
  }

  said(_port: ClientPort, _to: Address, command: FollowerOutput, accepted: boolean): void {
    if (command.type !== 'follow' || !accepted) return;
    requireThat(command.stream >= this.#stream, 'gaps are found', () => {
      return `${this.#name} follows as stream ${command.stream} after ${this.#stream}`;
    });
    this.#stream = command.stream;
  }

  told(event: CloneClientEvent): void {
    switch (event.type) {
      case 'changed':
        this.#hasChanged = true;
        for (const change of event.changes) this.#follow(change);
        return;
      case 'snapshotLoaded':
        this.#hasLoaded = true;
        return;
      case 'synchronised':
        this.isSynchronised = true;
        this.synchronisedAt = this.#stage.world.now;
        return this.#checkSynchronised(event.position);
      case 'unsynchronised':
      case 'drained':
        this.isSynchronised = false;
        return;
      case 'written':
        return this.#written(event);
      default:
    }
  }

  // What it shows

  after(_now: Instant, _input: Step): void {
    const shown = this.#shown();
    const { position } = shown.status();
    this.#checkOrder(position);
    this.#checkEpoch(position);
    this.#checkMap(shown, position);
    this.#checkTold(shown);
    this.#checkBeat(shown);
    this.#position = position;
  }

  #checkSynchronised(position: Position): void {
    const view = this.#stage.truth.viewAt(position);
    if (view === undefined) return this.#stage.count('truth.unknown');
    const difference = differenceOf(this.#shown().replica, view, this.#subtree);
    requireThat(difference === undefined, 'synchronised is equal', () => {
      return `${this.#name} is synchronised at ${position.sequence} of ${position.epoch}: ${difference}`;
    });
  }

  #checkMap(shown: ClientShown, position: Position): void {
    const { truth } = this.#stage;
    const view = truth.viewAt(position);
    if (view === undefined) {
      requireThat(truth.isKnown(position), "the view was the server's", () => {
        return `${this.#name} is at ${position.sequence} of ${position.epoch}, where nobody was`;
      });
      return this.#stage.count('truth.unknown');
    }
    const difference = differenceOf(shown.replica, view, this.#subtree);
    if (difference === undefined) return;
    const invariant = this.#hasLoaded
      ? 'snapshots are whole'
      : this.isSynchronised
        ? 'synchronised is equal'
        : "the view was the server's";
    requireThat(false, invariant, () => {
      return `${this.#name} at ${position.sequence} of ${position.epoch}: ${difference}`;
    });
  }

  /** The changes that it told are the changes that there were. */
  #checkTold({ replica }: ClientShown): void {
    if (!this.#hasChanged && this.#told.size === replica.size) return;
    const difference = differenceOf(replica, this.#told, this.#subtree);
    requireThat(difference === undefined, "the view was the server's", () => {
      return `${this.#name} tells other changes than there are: ${difference}`;
    });
  }

  #follow(change: CloneChange): void {
    const { key, former, revision } = change;
    const known = this.#told.get(key)?.value;
    const isSame =
      known === undefined || former === undefined ? known === former : equalBytes(known, former);
    requireThat(isSame, "the view was the server's", () => {
      return `${this.#name} tells that ${key} had another value than it had`;
    });
    if (change.type === 'set') this.#told.set(key, { value: change.value.slice(), revision });
    else this.#told.delete(key);
  }

  /** It goes forward; and from one reign to the next only if nothing is lost by that. */
  #checkOrder({ epoch, sequence }: Position): void {
    const former = this.#position;
    if (epoch === former.epoch || former.sequence === 0) {
      const isForward = epoch !== former.epoch || sequence >= former.sequence;
      requireThat(isForward, 'updates in order', () => {
        return `${this.#name} goes from ${former.sequence} to ${sequence}`;
      });
      return;
    }
    requireThat(epoch > former.epoch, 'old epochs are refused', () => {
      return `${this.#name} goes from ${former.epoch} to ${epoch}`;
    });
    const { truth } = this.#stage;
    const [last, next] = [truth.of(former.epoch), truth.of(epoch)];
    if (last === undefined || next === undefined || !this.#isPromised(last, next)) return;
    const isContinued =
      sequence >= former.sequence &&
      next.updateAt(former.sequence) === last.updateAt(former.sequence);
    requireThat(isContinued, 'updates in order', () => {
      return `${this.#name} goes from ${former.sequence} of ${former.epoch} back to ${sequence} of ${epoch}`;
    });
  }

  #isPromised(last: TrueReign, next: TrueReign): boolean {
    if (last.generation !== next.generation) return false;
    const { plan, reigns } = this.#stage;
    const isSplit = [last, next].some(({ epoch }) => reigns.of(epoch)?.isSplit === true);
    return plan.topology !== 'votes' || !isSplit;
  }

  /** What it is told by one who serves no more changes nothing. */
  #checkEpoch({ epoch, sequence }: Position): void {
    const isMoved = sequence !== this.#position.sequence || epoch !== this.#position.epoch;
    if (!isMoved && !this.#hasChanged) return;
    requireThat(this.#streamEpoch >= this.#highest, 'old epochs are refused', () => {
      return `${this.#name} moves to ${sequence} by ${this.#streamEpoch}, and has seen ${this.#highest}`;
    });
  }

  /** Whoever is told that there is nothing more has all, or says that it has not. */
  #checkBeat(shown: ClientShown): void {
    const input = this.#input;
    if (input?.kind !== 'command' || input.command.type !== 'beat') return;
    requireThat(!this.#hasChanged, 'updates in order', () => {
      return `${this.#name} changes on a heartbeat`;
    });
    const beat: BeatCommand = input.command;
    if (beat.stream !== this.#stream || !beat.isCaughtUp || !this.isSynchronised) return;
    const view = this.#stage.truth.viewAt(beat);
    if (view === undefined) return this.#stage.count('truth.unknown');
    const difference = differenceOf(shown.replica, view, this.#subtree);
    // Of what is newer than the heartbeat it has got nothing yet.
    if (difference === undefined || shown.status().position.sequence > beat.sequence) return;
    requireThat(false, 'gaps are found', () => {
      return `${this.#name} is told that ${beat.sequence} is the newest: ${difference}`;
    });
  }

  // What it writes

  #written({ token, ...outcome }: CloneClientEvent & { type: 'written' }): void {
    const write = this.writes.get(token);
    requireThat(write !== undefined, 'every write ends once', () => {
      return `${this.#name} ends write ${token}, which nobody asked for`;
    });
    this.#stage.writes.ended(write, outcome);
    if (outcome.outcome === 'done') this.#checkRead(write, outcome.revision);
  }

  #checkRead({ id, key, kind }: Write, revision: number): void {
    if (!isIn(this.#subtree, key)) return;
    const { truth, writes } = this.#stage;
    const { position } = this.#shown().status();
    requireThat(position.sequence >= revision, 'read your writes', () => {
      return `${this.#name} has write ${id} done as ${revision}, and shows ${position.sequence}`;
    });
    const made = truth.of(position.epoch)?.updateAt(revision);
    if (made === undefined) return this.#stage.count('truth.unknown');
    if (kind !== 'set') return;
    requireThat(writes.of(made.value)?.id === id, 'read your writes', () => {
      return `${this.#name} has write ${id} done as ${revision}, which under ${position.epoch} is another`;
    });
  }
}
