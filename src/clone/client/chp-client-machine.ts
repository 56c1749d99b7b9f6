/**
 * The client of a stock server (12/CHP) as a pure machine: the same map and the same calls, over three
 * sockets that know nothing of each other.
 *
 *   updates  subscribed first, and to everything: so each number that is missing is seen
 *   server   asked for a snapshot then; updates of the meantime wait, and those above its number follow
 *   writes   one is done when its uuid comes back
 *
 * There is no digest, no epoch and no acknowledgement. `synchronised` says here that a snapshot is
 * complete, that updates are known to arrive, and that no number is missing so far.
 */
import { fingerprintOf } from '../../core/fingerprint.ts';
import { expiryOf } from '../../core/heartbeat.ts';
import type { Address, Instant, Machine, Outbox } from '../../core/machine.ts';
import type {
  ClientCall,
  ClientPort,
  CloneClientEvent,
  CloneClientStatus,
  SynchronisationLoss,
} from '../client-events.ts';
import type {
  ChpClientInput,
  ChpClientOutput,
  KthxbaiCommand,
  KvsyncCommand,
} from '../commands.ts';
import { ChpIntake, type ChpVerdict } from './chp-intake.ts';
import { ChpLink } from './chp-link.ts';
import { ChpWrites } from './chp-writes.ts';
import type { ClientSettings } from './client-machine.ts';
import { Replica, type ReplicaItem } from './replica.ts';

/** Stock servers have none. */
const NO_EPOCH = 0;

export class ChpClientMachine implements Machine<ClientPort, ChpClientInput, ClientCall> {
  readonly #outbox: Outbox<ClientPort, ChpClientOutput, CloneClientEvent>;
  readonly #settings: ClientSettings;
  readonly #replica: Replica;
  readonly #writes: ChpWrites;
  readonly #link: ChpLink;
  readonly #intake: ChpIntake;
  readonly #events: Partial<Record<CloneClientEvent['type'], number>> = {};
  readonly #state = {
    phase: 'open' as 'open' | 'draining' | 'closed',
    isWatched: false,
    /** Snapshots that were asked for anew since all was well last. */
    gaps: 0,
    /** When silence, or a snapshot that does not go on, ends the link. */
    silentAt: Infinity,
    answerAt: Infinity,
    /** When a snapshot is asked for. */
    askAt: Infinity,
    isConnected: false,
    isSynchronised: false,
    /** Since when something has been missing; `Infinity`: nothing is. */
    gapAt: Infinity,
  };

  constructor(
    outbox: Outbox<ClientPort, ChpClientOutput, CloneClientEvent>,
    settings: ClientSettings,
  ) {
    this.#outbox = outbox;
    this.#settings = settings;
    this.#replica = new Replica(settings.subtree, settings);
    this.#link = new ChpLink(outbox, settings);
    const replica = this.#replica;
    const state = this.#state;
    this.#intake = new ChpIntake(replica, {
      get isWatched(): boolean {
        return state.isWatched;
      },
      emit: (event) => this.#emit(event),
      handleEcho: (now, uuid, sequence) => this.#writes.handleEcho(now, uuid, sequence),
    });
    const { subtree } = settings;
    this.#writes = new ChpWrites(
      { ...settings, expiry: expiryOf(settings) },
      {
        subtree,
        get items(): ReadonlyMap<string, ReplicaItem> {
          return replica.items;
        },
        send: (command) => outbox.send('writes', '', command),
        handleOutcome: (token, outcome) => this.#emit({ type: 'written', token, ...outcome }),
      },
    );
  }

  get nextTimeout(): Instant {
    const { silentAt, answerAt, askAt } = this.#state;
    const { restAt } = this.#link.state;
    return Math.min(restAt, silentAt, answerAt, askAt, this.#writes.nextTimeout);
  }

  fingerprint(now: Instant): string {
    const { state } = this.#link;
    const parts = [state, this.#replica.state, this.#intake.states, this.#writes.states];
    return fingerprintOf([this.#state, parts], now);
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
    return {
      state: this.#phase,
      endpoint: this.#link.endpoint,
      redirectedTo: '',
      epoch: NO_EPOCH,
      position: this.#intake.position,
      digest: this.#replica.digest,
      size: this.#replica.items.size,
      pending: this.#writes.size,
      events: { ...this.#events },
    };
  }

  handleCommand(now: Instant, _port: ClientPort, _from: Address, command: ChpClientInput): void {
    const state = this.#state;
    if (!this.#link.isUp) return this.#emit({ type: 'ignored', reason: 'stale' });
    state.silentAt = now + expiryOf(this.#settings);
    if (!state.isConnected) {
      state.isConnected = true;
      this.#emit({ type: 'connected', endpoint: this.#link.endpoint, epoch: NO_EPOCH });
    }
    this.#take(now, command);
    this.#finishDraining();
  }

  handleMalformed(_now: Instant, _port: ClientPort, _from: Address, reason: string): void {
    this.#emit({ type: 'malformed', reason });
  }

  handleCall(now: Instant, call: ClientCall): void {
    const state = this.#state;
    switch (call.type) {
      case 'write':
        if (state.phase === 'open') this.#writes.accept(now, call);
        else {
          const closed = { outcome: 'closed', maybeDone: false } as const;
          this.#emit({ type: 'written', token: call.token, ...closed });
        }
        return;
      case 'connect':
        if (state.phase !== 'closed' && this.#link.connect(call.endpoints)) this.#begin(now);
        return;
      case 'watch':
        state.isWatched = call.isWatched;
        return;
      case 'abandon':
        this.#writes.abandon(now, call.token);
        break;
      case 'drain':
      case 'stop':
        if (state.phase === 'open') state.phase = 'draining';
        if (call.type === 'stop') this.#writes.close();
        break;
    }
    this.#finishDraining();
  }

  handlePeerGone(now: Instant, port: ClientPort): void {
    // Whoever comes back may be another one.
    if (port === 'server' && this.#link.isUp) this.#leave(now, 'linkBroken');
  }

  handleWritable(now: Instant, port: ClientPort): void {
    if (port === 'writes') this.#writes.handleWritable(now);
  }

  handleStored(): void {
    // A client stores nothing.
  }

  handleTimeout(now: Instant): void {
    const state = this.#state;
    const { heartbeatInterval } = this.#settings;
    const late = now - Math.min(state.silentAt, state.answerAt);
    if (late > heartbeatInterval) this.#forgive(now);
    if (Math.min(state.silentAt, state.answerAt) <= now) this.#leave(now, 'silent');
    if (this.#link.wake(now)) this.#begin(now);
    if (state.askAt <= now) this.#ask(now);
    this.#writes.handleTimeout(now);
    this.#finishDraining();
  }

  // The link

  get #phase(): CloneClientStatus['state'] {
    const { phase, isConnected, isSynchronised } = this.#state;
    if (phase === 'closed') return 'closed';
    if (!this.#link.isUp) return 'disconnected';
    if (!isConnected) return 'connecting';
    if (this.#intake.isLoading) return 'loading';
    return isSynchronised ? 'synchronised' : 'catchingUp';
  }

  #begin(now: Instant): void {
    const state = this.#state;
    state.silentAt = now + expiryOf(this.#settings);
    state.isConnected = false;
    this.#intake.restart();
    this.#ask(now);
  }

  #leave(now: Instant, reason: 'silent' | 'linkBroken' | 'outdated'): void {
    this.#link.leave(now);
    this.#end(reason);
    this.#unsynchronise(reason);
  }

  #end(reason: 'silent' | 'linkBroken' | 'outdated' | 'closed'): void {
    const state = this.#state;
    state.silentAt = Infinity;
    state.answerAt = Infinity;
    state.askAt = Infinity;
    this.#intake.discard();
    this.#writes.handleUnlinked();
    this.#emit({ type: 'disconnected', endpoint: this.#link.endpoint, reason });
  }

  /** This side stood still, and could not hear. */
  #forgive(now: Instant): void {
    const state = this.#state;
    const soonest = now + this.#settings.heartbeatInterval;
    for (const name of ['silentAt', 'answerAt'] as const) {
      if (state[name] < soonest) state[name] = soonest;
    }
  }

  // What comes

  #ask(now: Instant): void {
    const state = this.#state;
    state.askAt = Infinity;
    const subtree = folderOf(this.#settings.subtree);
    if (this.#outbox.send('server', '', { type: 'icanhaz', subtree })) {
      this.#intake.beginLoading();
      state.answerAt = now + expiryOf(this.#settings);
    } else state.askAt = now + this.#link.restAfter(0);
  }

  #take(now: Instant, command: ChpClientInput): void {
    switch (command.type) {
      case 'kvsync':
      case 'kthxbai':
        return this.#takeAnswer(now, command);
      case 'kvpub':
        return this.#act(now, this.#intake.update(now, command));
      case 'hugz': {
        const verdict = this.#intake.beat(command);
        if (verdict === 'whole') this.#state.gaps = 0;
        return this.#act(now, verdict);
      }
    }
  }

  #takeAnswer(now: Instant, command: KvsyncCommand | KthxbaiCommand): void {
    const state = this.#state;
    if (state.answerAt === Infinity) return this.#emit({ type: 'ignored', reason: 'unexpected' });
    if (command.type === 'kvsync') {
      state.answerAt = now + expiryOf(this.#settings);
      return this.#act(now, this.#intake.load(command));
    }
    state.answerAt = Infinity;
    this.#act(now, this.#intake.finishLoading(now, command));
  }

  #act(now: Instant, verdict: ChpVerdict): void {
    const state = this.#state;
    switch (verdict) {
      case 'inOrder':
        return;
      case 'whole':
        return this.#synchronise(now);
      case 'gap':
        state.gapAt = Math.min(state.gapAt, now);
        return this.#reload(now, 'gap');
      case 'overfull':
        this.#emit({ type: 'snapshotRefused', reason: 'full' });
        return this.#reload(now, 'snapshot');
      case 'outdated':
        return this.#leave(now, 'outdated');
    }
  }

  #reload(now: Instant, reason: SynchronisationLoss): void {
    const state = this.#state;
    this.#unsynchronise(reason);
    // What is left of an answer could not be told from the next one.
    if (state.answerAt < Infinity) return this.#leave(now, 'outdated');
    this.#intake.want();
    state.askAt = now + this.#link.restAfter(state.gaps++);
  }

  #synchronise(now: Instant): void {
    const state = this.#state;
    if (state.isSynchronised) return;
    state.isSynchronised = true;
    this.#link.succeed();
    if (state.gapAt < Infinity) {
      this.#emit({ type: 'gapRepaired', milliseconds: now - state.gapAt, by: 'snapshot' });
      state.gapAt = Infinity;
    }
    const { digest, items } = this.#replica;
    const { position } = this.#intake;
    this.#emit({ type: 'synchronised', position, digest, size: items.size });
    this.#writes.handleLinked(now);
  }

  #unsynchronise(reason: SynchronisationLoss): void {
    if (!this.#state.isSynchronised) return;
    this.#state.isSynchronised = false;
    this.#emit({ type: 'unsynchronised', reason });
  }

  #finishDraining(): void {
    const state = this.#state;
    if (state.phase !== 'draining' || this.#writes.size > 0) return;
    state.phase = 'closed';
    state.isSynchronised = false;
    if (this.#link.stop()) this.#end('closed');
    this.#emit({ type: 'drained' });
  }

  #emit(event: CloneClientEvent): void {
    this.#events[event.type] = (this.#events[event.type] ?? 0) + 1;
    this.#outbox.emit(event);
  }
}

/** What 12/CHP can ask for that has this subtree in it: everything, or what is under a path of some length. */
function folderOf(subtree: string): string {
  const slash = subtree.lastIndexOf('/');
  return slash <= 0 ? '' : subtree.slice(0, slash + 1);
}
