/**
 * What a passive server of a pair does: it copies the active one, so that it could go on in its place.
 *
 * It follows as any replica does, but is told of updates as soon as they are accepted, and says of each
 * when it has it: with a storage, when that has it. What it has is a state that there was, at all times:
 * a snapshot is loaded beside it, and takes its place at once.
 */
import type { Epoch } from '../../core/election.ts';
import { keepFrames } from '../../core/frames.ts';
import type { Instant } from '../../core/machine.ts';
import type {
  BeginCommand,
  Digest,
  EndCommand,
  FollowerInput,
  ItemCommand,
  LineageCommand,
  Position,
  Reign,
  Sequence,
  UpdateCommand,
  WriterCommand,
} from '../commands.ts';
import { equalDigests } from '../digest.ts';
import { Follower, type FollowerEvent, type FollowerOwner } from '../stream/follower.ts';
import { updateOf } from '../stream/update.ts';
import { Entries } from './entries.ts';
import type { PipelineParts } from './pipeline.ts';
import type { ServerSettings } from './settings.ts';
import type { Voice } from './voice.ts';
import { Writers } from './writers.ts';

/** Milliseconds before it connects again, and the most of them after others were in vain. */
const RECONNECT = { reconnectInterval: 100, reconnectLimit: 1000 };

const ID_LENGTH = 8;

/** A snapshot under way: a map of its own, with those who wrote it. */
interface Loading {
  readonly entries: Entries;
  readonly writers: Writers;
  reigns: readonly Reign[];
}

export class Backup implements FollowerOwner {
  readonly #parts: PipelineParts;
  readonly #settings: ServerSettings;
  readonly #voice: Voice;
  readonly #follower: Follower;
  readonly #state = {
    isPassive: true,
    /** Whom it copies; '' while nobody was named. */
    endpoint: '',
    /** It knows where the follower is to go on from. */
    isStarted: false,
    /** The storage takes nothing: until it does, the active one does not wait for this server. */
    isResting: false,
    /** Is held once all up to `synchronisedAfter` is durable; 0: that is not due. */
    following: 0 as Epoch,
    synchronisedAfter: 0 as Sequence,
    acknowledged: 0 as Sequence,
    /** As the active one says they were; those count that began before what is here. */
    reigns: [] as readonly Reign[],
  };
  #loading: Loading | undefined;

  constructor(parts: PipelineParts, settings: ServerSettings, voice: Voice) {
    this.#parts = parts;
    this.#settings = settings;
    this.#voice = voice;
    const { heartbeatInterval, heartbeatLiveness, random } = settings;
    const writer = Array.from({ length: ID_LENGTH }, () =>
      String.fromCharCode(Math.floor(random() * 256)),
    ).join('');
    this.#follower = new Follower(
      {
        open: (endpoint) => voice.openActive(endpoint),
        close: (flush) => voice.closeActive(flush),
        send: (command) => voice.sayToActive(command),
      },
      {
        kind: 'backup',
        subtree: '',
        window: settings.backupWindow,
        writer,
        heartbeatInterval,
        heartbeatLiveness,
        random,
        ...RECONNECT,
      },
      this,
    );
  }

  get nextDue(): Instant {
    return this.#follower.nextTimeout;
  }

  /** Plain data, for the fingerprint. */
  get state(): object {
    const loading = this.#loading;
    const { entries, writers, reigns } = loading ?? {};
    return [this.#state, entries, writers?.state, reigns, this.#follower.states];
  }

  get isSynchronised(): boolean {
    return this.#follower.isSynchronised;
  }

  /** What is here, as it may be gone on from; undefined if it may not. */
  get position(): Position | undefined {
    const { history, lineage } = this.#parts.publication;
    const { epoch } = lineage;
    return epoch === 0 ? undefined : { epoch, sequence: history.accepted };
  }

  // What whoever decides says

  /** It serves no more: what is public here is gone on from. */
  begin(): void {
    const state = this.#state;
    state.isPassive = true;
    state.isStarted = false;
    state.isResting = false;
    state.endpoint = '';
  }

  /** Copies from the active server of this epoch; '': nobody knows where, so what is heard is taken still. */
  follow(now: Instant, epoch: Epoch, endpoint: string): void {
    if (!this.#state.isPassive) return;
    this.#follower.noteEpoch(epoch);
    if (endpoint === '') return;
    this.#state.endpoint = endpoint;
    if (!this.#state.isResting) this.#goOn(now);
  }

  /** It is to serve itself: what it has is what it begins with. */
  stop(now: Instant): void {
    this.#state.isPassive = false;
    this.#state.following = 0;
    this.#follower.moveTo(now, '');
    this.#loading = undefined;
  }

  /** For good. */
  close(now: Instant): void {
    this.#state.isPassive = false;
    this.#follower.stop(now, true);
    this.#loading = undefined;
  }

  // Inputs

  handle(now: Instant, command: FollowerInput): void {
    if (!this.#state.isPassive || command.type === 'result' || command.type === 'expected') return;
    if ('epoch' in command) this.#settings.guard?.seen(now, command.epoch);
    if (this.#state.isPassive) this.#follower.handleCommand(now, command);
    this.#acknowledge(now);
  }

  handleGone(now: Instant): void {
    this.#follower.handlePeerGone(now);
  }

  handleWritable(now: Instant): void {
    this.#follower.handleWritable(now);
  }

  /** A batch has ended. */
  handleStored(now: Instant): void {
    const state = this.#state;
    if (!state.isPassive) return;
    const isRefused = this.#parts.storeDesk.refuses('set');
    if (isRefused && !state.isResting) {
      state.isResting = true;
      this.#follower.moveTo(now, '');
    } else if (!isRefused && state.isResting) {
      state.isResting = false;
      state.isStarted = false;
      if (state.endpoint !== '') this.#goOn(now);
    }
    this.#acknowledge(now);
  }

  handleTimeout(now: Instant): void {
    this.#follower.handleTimeout(now);
  }

  #goOn(now: Instant): void {
    const state = this.#state;
    if (!state.isStarted) this.#follower.startFrom(this.position);
    state.isStarted = true;
    this.#follower.moveTo(now, state.endpoint);
  }

  /** What is durable is acknowledged, and once that is all, this server is as good as the active one. */
  #acknowledge(now: Instant): void {
    const state = this.#state;
    // What is durable meanwhile is no part of what is being loaded.
    if (this.#loading !== undefined) return;
    const { storeDesk } = this.#parts;
    storeDesk.flush(now);
    const { durable } = storeDesk;
    if (durable > state.acknowledged) {
      state.acknowledged = durable;
      this.#follower.acknowledge(now, durable);
    }
    if (state.following === 0 || durable < state.synchronisedAfter) return;
    const { following: epoch } = state;
    state.following = 0;
    storeDesk.hold(epoch);
    storeDesk.flush(now);
    this.#voice.emit({ type: 'holds', epoch });
    const { synchronisedAfter: sequence } = state;
    this.#voice.emit({ type: 'synchronised', position: { epoch, sequence } });
  }

  // What follows from what it is told

  get digest(): Digest {
    return this.#parts.publication.feed.digest;
  }

  handleBegin(_now: Instant, { mode }: BeginCommand): void {
    this.#state.following = 0;
    this.#state.reigns = [];
    // The active one counts anew in each stream.
    this.#state.acknowledged = 0;
    if (mode !== 'snapshot') return;
    const writers = new Writers(this.#settings, this.#voice);
    this.#loading = { entries: new Entries(), writers, reigns: [] };
  }

  handleLineage(_now: Instant, { reigns }: LineageCommand): void {
    if (this.#loading !== undefined) this.#loading.reigns = reigns;
    else {
      this.#state.reigns = reigns;
      this.#noteReigns();
    }
  }

  handleItem(now: Instant, { key, revision, ttl, timeLeft, value }: ItemCommand): boolean {
    const loading = this.#loading;
    const kept = keepFrames(value)[0];
    if (loading === undefined || kept === undefined) return false;
    const expiresAt = timeLeft === undefined ? Infinity : now + timeLeft;
    loading.entries.set({ key, value: kept, revision, ttl, expiresAt });
    return this.#fits(loading.entries);
  }

  handleWriter(now: Instant, command: WriterCommand): void {
    this.#loading?.writers.learn(now, command);
  }

  handleUpdate(now: Instant, command: UpdateCommand, isLoading: boolean): boolean {
    if (isLoading) return this.#load(now, command);
    const { publication, storeDesk, writers } = this.#parts;
    const { sequence, kind, key, ttl, timeLeft, origin, value } = command;
    if (sequence !== publication.history.accepted + 1) return false;
    const update = updateOf({
      sequence,
      kind,
      key,
      ttl,
      expiresAt: timeLeft === undefined ? Infinity : now + timeLeft,
      origin,
      value: keepFrames(value),
    });
    if (kind === 'set' && update.value.length !== 1) return false;
    storeDesk.touch(update);
    publication.adopt(now, update);
    if (origin !== undefined) writers.adopt(now, origin, sequence);
    this.#noteReigns();
    return true;
  }

  #load(now: Instant, command: UpdateCommand): boolean {
    const { sequence, kind, key, ttl, timeLeft, origin, value } = command;
    if (this.#loading === undefined) return false;
    const { entries, writers } = this.#loading;
    // What is told of its writer may be from before.
    if (origin !== undefined) writers.adopt(now, origin, sequence);
    if (kind === 'set') {
      const kept = keepFrames(value)[0];
      if (kept === undefined) return false;
      const expiresAt = timeLeft === undefined ? Infinity : now + timeLeft;
      entries.set({ key, value: kept, revision: sequence, ttl, expiresAt });
    } else if (kind === 'delete') entries.delete(key);
    else for (const entry of Array.from(entries.under(key))) entries.delete(entry.key);
    return this.#fits(entries);
  }

  handleEnd(_now: Instant, { sequence, digest }: EndCommand): boolean {
    const loading = this.#loading;
    if (loading === undefined) return false;
    const { entries } = loading;
    if (!equalDigests(digest, entries.digestOf('').value)) {
      this.#voice.emit({ type: 'digestWrong', sequence });
      return false;
    }
    const { publication, storeDesk, writers } = this.#parts;
    this.#loading = undefined;
    this.#state.reigns = loading.reigns;
    writers.takeOver(loading.writers);
    storeDesk.replace(publication.entries, entries);
    publication.replace(entries, sequence, reignsUpTo(loading.reigns, sequence));
    return true;
  }

  handleDiscard(): void {
    this.#loading = undefined;
  }

  handleEvent(now: Instant, event: FollowerEvent): void {
    switch (event.type) {
      case 'synchronised':
        this.#state.following = this.#follower.epoch;
        this.#state.synchronisedAfter = event.position.sequence;
        this.#acknowledge(now);
        return;
      case 'unsynchronised':
        this.#state.following = 0;
        return;
      case 'gapDetected':
      case 'digestWrong':
        this.#voice.emit(event);
        return;
      default:
    }
  }

  /** A reign counts from the moment at which all is here that it took over. */
  #noteReigns(): void {
    const { history, lineage } = this.#parts.publication;
    const next = this.#state.reigns.find(({ epoch }) => epoch > lineage.epoch);
    if (next === undefined || next.base > history.accepted) return;
    lineage.replace(reignsUpTo(this.#state.reigns, history.accepted));
    this.#parts.storeDesk.touchMeta();
  }

  #fits({ size, bytes }: Entries): boolean {
    return size <= this.#settings.keyLimit && bytes <= this.#settings.stateBytes;
  }
}

function reignsUpTo(reigns: readonly Reign[], sequence: Sequence): readonly Reign[] {
  return reigns.filter(({ base }) => base <= sequence);
}
