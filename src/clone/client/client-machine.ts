/**
 * The Clone client as a pure machine: a replica that follows a server, and writes that go the other way.
 *
 * Three parts, each with one idea: the follower half of a stream knows what is missing, the replica shows
 * only whole maps, the pending writes are done once and in order. Here they meet: what is followed
 * becomes visible, and what is visible lets writes be done.
 */
import type { Epoch } from '../../core/election.ts';
import { fingerprintOf } from '../../core/fingerprint.ts';
import type { Address, Instant, Machine, Outbox } from '../../core/machine.ts';
import type { Completed } from '../../core/options.ts';
import type { Random } from '../../core/retry.ts';
import type {
  ClientCall,
  ClientPort,
  CloneChange,
  CloneClientEvent,
  CloneClientStatus,
  WriteOutcome,
} from '../client-events.ts';
import type {
  BeginCommand,
  Digest,
  EndCommand,
  FollowerInput,
  FollowerOutput,
  ItemCommand,
  Sequence,
  UpdateCommand,
  WriterId,
} from '../commands.ts';
import type { clientRules } from '../options.ts';
import { Follower, type FollowerEvent, type FollowerOwner } from '../stream/follower.ts';
import { PendingWrites } from './pending-writes.ts';
import { Replica, type ReplicaItem } from './replica.ts';

export type { ReplicaItem };

/** What belongs to the shell, not to the machine. */
type ShellOption = 'logger' | 'drainTimeout' | 'peerQueueBytes' | 'timeout';

export interface ClientSettings extends Omit<Completed<typeof clientRules>, ShellOption> {
  readonly random: Random;
  /** Its own for each client: 8 random bytes, one character each. */
  readonly writer: WriterId;
}

export class ClientMachine implements Machine<ClientPort, FollowerInput, ClientCall> {
  readonly #outbox: Outbox<ClientPort, FollowerOutput, CloneClientEvent>;
  readonly #replica: Replica;
  readonly #follower: Follower;
  readonly #writes: PendingWrites;
  readonly #events: Partial<Record<CloneClientEvent['type'], number>> = {};
  readonly #state = {
    phase: 'open' as 'open' | 'draining' | 'closed',
    isWatched: false,
  };

  constructor(
    outbox: Outbox<ClientPort, FollowerOutput, CloneClientEvent>,
    settings: ClientSettings,
  ) {
    this.#outbox = outbox;
    this.#replica = new Replica(settings.subtree, settings);
    const socket = {
      open: (endpoint: string): void => outbox.open('server', endpoint),
      close: (flush: boolean): void => outbox.close('server', flush),
      send: (command: FollowerOutput): boolean => outbox.send('server', '', command),
    };
    this.#follower = new Follower(socket, { ...settings, kind: 'map' }, this.#followerOwner());
    const follower = this.#follower;
    this.#writes = new PendingWrites(settings, {
      send: (command) => socket.send(command),
      handleOutcome: (token, outcome) => this.#tellOutcome(token, outcome),
      get shown(): Sequence {
        return follower.shown;
      },
      get expiry(): number {
        return follower.expiry;
      },
    });
  }

  get nextTimeout(): Instant {
    return Math.min(this.#follower.nextTimeout, this.#writes.nextTimeout);
  }

  fingerprint(now: Instant): string {
    const { states } = this.#follower;
    return fingerprintOf([this.#state, states, this.#replica.state, this.#writes.states], now);
  }

  /** What is visible, to be read only. After a snapshot it is another map: ask anew. */
  get replica(): ReadonlyMap<string, ReplicaItem> {
    return this.#replica.items;
  }

  /** Writes that wait to be sent for the first time, and those without an outcome that were sent. */
  get waiting(): number {
    return this.#writes.waiting;
  }

  get inFlight(): number {
    return this.#writes.inFlight;
  }

  /** Keys of a snapshot under way. */
  get loading(): number {
    return this.#replica.loading;
  }

  status(): CloneClientStatus {
    const { endpoint, redirectedTo, epoch, position, phase } = this.#follower;
    return {
      state: this.#state.phase === 'closed' ? 'closed' : phase,
      endpoint,
      redirectedTo,
      epoch,
      position,
      digest: this.#replica.digest,
      size: this.#replica.items.size,
      pending: this.#writes.size,
      events: { ...this.#events },
    };
  }

  handleCommand(now: Instant, port: ClientPort, _from: Address, command: FollowerInput): void {
    if (port !== 'server' || this.#state.phase === 'closed') return;
    if (command.type === 'result' || command.type === 'expected') {
      this.#follower.heard(now);
      const isAwaited =
        command.type === 'result'
          ? this.#writes.handleResult(now, command)
          : this.#writes.handleExpected(now, command);
      if (!isAwaited) this.#emit({ type: 'ignored', reason: 'unexpected' });
      return this.#finishDraining(now);
    }
    this.#follower.handleCommand(now, command);
    if (this.#writes.isAnswered) this.#showAnswers(now, command.type !== 'update');
  }

  handleMalformed(_now: Instant, _port: ClientPort, _from: Address, reason: string): void {
    this.#emit({ type: 'malformed', reason });
  }

  handleCall(now: Instant, call: ClientCall): void {
    switch (call.type) {
      case 'write':
        if (this.#state.phase === 'open') return this.#writes.accept(now, call);
        return this.#tellOutcome(call.token, { outcome: 'closed', maybeDone: false });
      case 'connect':
        return this.#follower.connect(now, call.endpoints);
      case 'watch':
        this.#state.isWatched = call.isWatched;
        return;
      case 'abandon':
        this.#writes.abandon(now, call.token);
        break;
      case 'drain':
      case 'stop':
        if (this.#state.phase === 'open') this.#state.phase = 'draining';
        if (call.type === 'stop') this.#writes.close();
        break;
    }
    this.#finishDraining(now);
  }

  handlePeerGone(now: Instant, port: ClientPort): void {
    if (port === 'server') this.#follower.handlePeerGone(now);
  }

  handleWritable(now: Instant, port: ClientPort): void {
    if (port !== 'server') return;
    this.#follower.handleWritable(now);
    this.#writes.handleWritable(now);
  }

  handleStored(): void {
    // A client stores nothing.
  }

  handleTimeout(now: Instant): void {
    this.#follower.handleTimeout(now);
    this.#writes.handleTimeout(now);
    this.#finishDraining(now);
  }

  // What is followed

  #followerOwner(): FollowerOwner {
    const replica = this.#replica;
    return {
      handleBegin: (_now: Instant, begin: BeginCommand): void => {
        if (begin.mode === 'snapshot') replica.beginLoading();
      },
      handleItem: (_now: Instant, item: ItemCommand): boolean => replica.load(item),
      handleWriter: noMatter,
      handleLineage: noMatter,
      handleUpdate: (_now, update, isLoading) => this.#apply(update, isLoading),
      handleEnd: (_now, end) => this.#finishLoading(end),
      handleDiscard: () => replica.discardLoading(),
      get digest(): Digest {
        return replica.digest;
      },
      handleEvent: (now, event) => this.#handleFollowerEvent(now, event),
    };
  }

  #apply(update: UpdateCommand, isLoading: boolean): boolean {
    if (isLoading || !this.#state.isWatched) return this.#replica.apply(update, isLoading);
    const changes: CloneChange[] = [];
    const fits = this.#replica.apply(update, false, changes);
    this.#tellChanges(changes, update.sequence);
    return fits;
  }

  #finishLoading(end: EndCommand): boolean {
    const changes: CloneChange[] | undefined = this.#state.isWatched ? [] : undefined;
    if (!this.#replica.finishLoading(end, changes)) return false;
    if (changes !== undefined) this.#tellChanges(changes, end.sequence);
    return true;
  }

  #tellChanges(changes: readonly CloneChange[], sequence: Sequence): void {
    if (changes.length === 0) return;
    const { epoch } = this.#follower;
    this.#emit({ type: 'changed', changes, position: { epoch, sequence } });
  }

  #handleFollowerEvent(now: Instant, event: FollowerEvent): void {
    const { size } = this.#replica.items;
    if (event.type === 'synchronised') {
      this.#emit({ ...event, digest: this.#replica.digest, size });
    } else if (event.type === 'snapshotLoaded') this.#emit({ ...event, size });
    else this.#emit(event);
    if (event.type === 'disconnected') this.#writes.handleUnserved();
    if (event.type === 'connected' || event.type === 'failedOver') this.#send(now, event.epoch);
  }

  // Writes

  #send(now: Instant, epoch: Epoch): void {
    this.#writes.handleServed(now, epoch);
  }

  #showAnswers(now: Instant, isAll: boolean): void {
    this.#writes.handleShown(now, isAll);
    this.#finishDraining(now);
  }

  #tellOutcome(token: number, outcome: WriteOutcome): void {
    this.#emit({ type: 'written', token, ...outcome });
  }

  #finishDraining(now: Instant): void {
    if (this.#state.phase !== 'draining' || this.#writes.size > 0) return;
    this.#state.phase = 'closed';
    this.#follower.stop(now, true);
    this.#emit({ type: 'drained' });
  }

  #emit(event: CloneClientEvent): void {
    this.#events[event.type] = (this.#events[event.type] ?? 0) + 1;
    this.#outbox.emit(event);
  }
}

function noMatter(): void {
  // A server tells its backup only.
}
