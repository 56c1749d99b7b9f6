/**
 * How a write becomes public, step by step, and how its writer learns how it ended.
 *
 *   checked ──► accepted ──┬──► durable, if there is a storage ─────┬──► public ──► result
 *                          └──► at the backup, if there is a pair ──┘
 *
 * It is checked against all that was accepted before, gets its number, and is staged. In the order of
 * their numbers staged ones become public. Each answer waits for what it was decided upon, a refusal too:
 * so nobody is told of a state that is dropped afterwards.
 *
 * What somebody may have of a staged update, the backup or a storage that broke, is never refused: it
 * becomes public, or the reign ends before, and nobody knows. What nobody has is refused if the storage
 * does not take it, and its numbers are used again.
 */
import { Fifo } from '../../core/fifo.ts';
import { keepFrames } from '../../core/frames.ts';
import type { Epoch } from '../../core/election.ts';
import type { Address, Instant } from '../../core/machine.ts';
import type { Sequence, WriteCommand, WriteKind, WriterId, WriteRefusal } from '../commands.ts';
import { updateOf, type Update } from '../stream/update.ts';
import type { Accepted } from './accepted.ts';
import { Admission, type AdmissionSettings, type Change } from './admission.ts';
import type { Entry } from './entries.ts';
import type { Expiry } from './expiry.ts';
import type { Publication } from './publication.ts';
import type { Replication } from './replication.ts';
import { Results } from './results.ts';
import type { ServerSettings } from './settings.ts';
import { StagedUpdates } from './staged.ts';
import type { StoreDesk } from './store-desk.ts';
import type { Voice } from './voice.ts';
import type { Outcome, Writers } from './writers.ts';

export type PipelineSettings = AdmissionSettings & Pick<ServerSettings, 'replication'>;

/** What it is made of: each knows one thing. */
export interface PipelineParts {
  readonly publication: Publication;
  readonly accepted: Accepted;
  readonly writers: Writers;
  readonly replication: Replication;
  readonly expiry: Expiry;
  readonly storeDesk: StoreDesk;
}

/** Is told once `barrier` is public; asynchronously, once it is durable. */
interface Answer {
  readonly barrier: Sequence;
  readonly writer: WriterId;
  readonly number: number;
  readonly outcome: Outcome;
  /** It waits for an update of its own. */
  readonly isUpdate: boolean;
}

/** Keys that run out of time at one instant are deleted in pieces, so that others get a turn. */
const EXPIRY_PIECE = 1000;
const BREATH = 1;

export class Pipeline {
  /** Whose `isStock` may be set. */
  readonly admission: Admission;
  readonly #parts: PipelineParts;
  readonly #settings: PipelineSettings;
  readonly #voice: Voice;
  readonly #staged: StagedUpdates;
  readonly #results: Results;
  readonly #answers = new Fifo<Answer>();
  readonly #state = {
    isOpen: false,
    isClosing: false,
    /** Somebody may have what was accepted up to here. */
    known: 0 as Sequence,
    /** Keys whose time is over wait until then for their turn. */
    expiryAt: -Infinity,
  };

  constructor(parts: PipelineParts, settings: PipelineSettings, voice: Voice) {
    const { publication, accepted, storeDesk } = parts;
    this.#parts = parts;
    this.#settings = settings;
    this.#voice = voice;
    this.#staged = new StagedUpdates(accepted);
    this.#results = new Results(voice);
    const { entries } = publication;
    this.admission = new Admission(entries, accepted, this.#staged, storeDesk, settings);
  }

  /** Accepted and not public. */
  get size(): number {
    return this.#staged.size;
  }

  /** True if nothing is under way, and nobody waits for an answer. */
  get isIdle(): boolean {
    return this.#staged.size + this.#answers.size === 0;
  }

  get bytes(): number {
    return this.#staged.bytes;
  }

  /** Accepted and not public, in order. */
  get updates(): Iterable<Update> {
    return this.#staged;
  }

  get nextDue(): Instant {
    const { expiry, storeDesk, writers } = this.#parts;
    const expiryAt = this.#mayExpire ? Math.max(expiry.nextDue, this.#state.expiryAt) : Infinity;
    return Math.min(expiryAt, storeDesk.nextDue, writers.nextDue);
  }

  /** Plain data, for the fingerprint. */
  get state(): object {
    const { expiry, storeDesk, writers } = this.#parts;
    return [
      this.#state,
      this.#staged.state,
      this.#answers,
      this.#results.state,
      expiry.state,
      storeDesk.state,
      writers.state,
    ];
  }

  // Reigns

  /** This server serves from now on. */
  begin(now: Instant, epoch: Epoch): void {
    const { publication, expiry, storeDesk, writers } = this.#parts;
    this.#state.isOpen = true;
    this.#state.known = publication.history.published;
    writers.revive(now);
    storeDesk.hold(epoch);
    storeDesk.flush(now);
    expiry.begin(now);
  }

  /** It serves no more: what is not public was never accepted, and nobody is told anything. */
  drop(now: Instant): void {
    const { expiry, storeDesk, writers } = this.#parts;
    this.#state.isOpen = false;
    expiry.end();
    this.#dropAfter(this.#parts.publication.history.published);
    for (const answer of Array.from(this.#answers)) this.#answers.delete(answer);
    writers.drop();
    this.#results.clear();
    storeDesk.flush(now);
  }

  handleWritable(to: Address): void {
    this.#results.handleWritable(to);
  }

  handleGone(from: Address): void {
    this.#results.handleGone(from);
  }

  /** New writes are refused. */
  close(): void {
    this.#state.isClosing = true;
  }

  // What is asked for

  write(now: Instant, from: Address, writer: WriterId, command: WriteCommand): void {
    const { writers } = this.#parts;
    const { number } = command;
    const verdict = writers.judge(now, writer, from, command);
    switch (verdict.type) {
      case 'next':
        return this.#take(now, from, writer, command);
      case 'missing':
        this.#voice.emit({ type: 'writeMissing', from, number: verdict.next });
        this.#voice.send(from, { type: 'expected', number: verdict.next });
        return;
      case 'ended':
        this.#voice.emit({ type: 'writeRepeated', from, number });
        return this.#repeat(from, writer, number, verdict.outcome);
      case 'pending':
        this.#voice.emit({ type: 'writeRepeated', from, number });
        // Asynchronously it was answered already, if it is durable.
        if (!this.#isReady(verdict.sequence)) return;
        return this.#tell(from, number, { revision: verdict.sequence }, true);
      case 'lost':
        // Later ones of this writer were done: to do it now would be out of order.
        return this.#refuse(from, number, this.#refusalOf(command) ?? 'busy', command.key);
      case 'tooMany':
        return this.#refuse(from, number, 'busy', command.key);
      case 'over':
    }
  }

  /** Without a writer: nobody is told how it ended. Undefined: it is accepted. */
  stage(now: Instant, change: Change): WriteRefusal | undefined {
    const refusal = this.#refusalOf(change);
    if (refusal !== undefined) return refusal;
    if (change.kind === 'set' || this.#parts.accepted.get(change.key) !== undefined) {
      this.#accept(now, change);
      this.#parts.storeDesk.flush(now, true);
      this.release(now);
    }
    return undefined;
  }

  #take(now: Instant, from: Address, writer: WriterId, command: WriteCommand): void {
    const { publication, storeDesk, writers } = this.#parts;
    const { number, floor, kind, key } = command;
    const isFull = writers.isFull(writer, number);
    const refusal = isFull ? 'busy' : this.#refusalOf(command);
    if (refusal !== undefined && refusal !== 'conflict') {
      writers.end(writer, number, this.admission.outcomeOf(refusal, key), !isFull);
      return this.#refuse(from, number, refusal, key);
    }
    const isUpdate = refusal === undefined && this.#isUpdate(kind, key);
    if (isUpdate) {
      const origin = { writer, number, floor: Math.min(floor, number) };
      const { ttl, value } = command;
      this.#acceptAll(now, { kind, key, ttl, value, origin });
    }
    const barrier = publication.history.accepted;
    const outcome =
      refusal === undefined ? { revision: barrier } : this.admission.outcomeOf(refusal, key);
    writers.begin(writer, number, barrier, refusal !== undefined);
    this.#answers.push({ barrier, writer, number, outcome, isUpdate });
    if (refusal !== undefined) this.#voice.emit({ type: 'writeRefused', from, refusal });
    storeDesk.flush(now, true);
    this.release(now);
  }

  /** It is told again how it ended. */
  #repeat(from: Address, writer: WriterId, number: number, outcome: Outcome): void {
    const { refusal, revision: barrier } = outcome;
    if (refusal !== undefined || this.#isReady(barrier)) {
      this.#tell(from, number, outcome, true);
    } else if (this.#hasRoom) {
      this.#answers.push({ barrier, writer, number, outcome, isUpdate: false });
    }
  }

  /** False: there is nothing to delete, and no other server that must know that this was asked for. */
  #isUpdate(kind: WriteKind, key: string): boolean {
    if (kind === 'set' || this.#parts.replication.isOfPair) return true;
    if (kind === 'clear')
      return !this.admission.isStock || this.admission.keysUnder(key).length > 0;
    return this.#parts.accepted.get(key) !== undefined;
  }

  #acceptAll(now: Instant, change: Change): void {
    if (change.kind !== 'clear' || !this.admission.isStock) return this.#accept(now, change);
    const keys = this.admission.keysUnder(change.key);
    const last = keys.pop();
    // Nothing is left to say but that it was asked for.
    if (last === undefined) return this.#accept(now, change);
    for (const key of keys) this.#accept(now, { kind: 'delete', key, value: [] });
    this.#accept(now, { kind: 'delete', key: last, value: [], origin: change.origin });
  }

  /** The next number is its. */
  #accept(now: Instant, { kind, key, ttl, value, uuid, origin, isExpiry }: Change): void {
    const { publication, replication, storeDesk } = this.#parts;
    const { history } = publication;
    const update = updateOf({
      sequence: history.accepted + 1,
      kind,
      key,
      ttl,
      expiresAt: ttl === undefined ? Infinity : now + ttl,
      origin,
      isExpiry: isExpiry ?? false,
      uuid: uuid ?? '',
      value: kind === 'set' ? keepFrames(value) : [],
    });
    storeDesk.touch(update);
    this.#staged.push(update);
    publication.feed.accept(now, update);
    if (replication.isWatched) this.#state.known = update.sequence;
  }

  // Checks

  #refusalOf(change: Change): WriteRefusal | undefined {
    return this.#hasRoom ? this.admission.refusalOf(change) : 'busy';
  }

  get #hasRoom(): boolean {
    const { isOpen, isClosing } = this.#state;
    return isOpen && !isClosing && this.admission.hasRoom(this.#answers.size);
  }

  // What follows

  /** What may be public now is; those who wait for it are told; and what there is room for now comes in. */
  release(now: Instant): void {
    if (!this.#state.isOpen) return;
    this.#publishAll(now);
    this.#expireAll(now);
  }

  #publishAll(now: Instant): void {
    const { publication, replication, storeDesk, writers } = this.#parts;
    if (replication.isWatched) this.#state.known = publication.history.accepted;
    for (;;) {
      const update = this.#staged.first;
      if (update === undefined) break;
      const { sequence, origin } = update;
      if (!replication.mayPublish(sequence)) {
        replication.wait(now);
        break;
      }
      if (sequence > storeDesk.durable) break;
      this.#staged.shift();
      publication.publish(now);
      if (origin !== undefined) writers.end(origin.writer, origin.number, { revision: sequence });
    }
    this.#answerAll();
  }

  /** A batch has ended. */
  handleStored(now: Instant, token: number, error?: Error): void {
    const { storeDesk } = this.#parts;
    const end = storeDesk.handleStored(now, token, error);
    if (end === undefined) return;
    if (end.type === 'unknown') this.#state.known = Math.max(this.#state.known, end.sequence);
    if (end.type === 'taken') this.release(now);
    else if (this.#state.isOpen) this.#giveUp();
    storeDesk.flush(now);
  }

  handleTimeout(now: Instant): void {
    const { storeDesk, writers } = this.#parts;
    storeDesk.handleTimeout(now);
    writers.handleTimeout(now);
    this.#expireAll(now);
  }

  #expireAll(now: Instant): void {
    const { expiry } = this.#parts;
    if (this.#state.expiryAt > now) return;
    for (let count = 0; expiry.nextDue <= now && this.#mayExpire; count++) {
      if (count === EXPIRY_PIECE) {
        this.#state.expiryAt = now + BREATH;
        return;
      }
      this.#expire(now, expiry.takeDue(now)!);
    }
  }

  get #mayExpire(): boolean {
    return this.#hasRoom && !this.#parts.storeDesk.refuses('set');
  }

  #expire(now: Instant, { key, revision }: Entry): void {
    // Something else was accepted for it: this one's time does not count any more.
    if (this.#parts.accepted.get(key)?.revision !== revision) return;
    this.#accept(now, { kind: 'delete', key, value: [], isExpiry: true });
    this.#parts.storeDesk.flush(now, true);
    this.#publishAll(now);
  }

  #isReady(barrier: Sequence): boolean {
    const { publication, storeDesk } = this.#parts;
    // Right after a takeover what is public may not be durable here yet.
    if (barrier > storeDesk.durable) return false;
    return this.#settings.replication === 'async' || barrier <= publication.history.published;
  }

  #answerAll(): void {
    const { writers } = this.#parts;
    for (;;) {
      const answer = this.#answers.first;
      if (answer === undefined || !this.#isReady(answer.barrier)) return;
      this.#answers.delete(answer);
      const { writer, number, outcome, isUpdate } = answer;
      if (!isUpdate) writers.end(writer, number, outcome);
      const address = writers.addressOf(writer);
      if (address !== undefined) this.#tell(address, number, outcome, !isUpdate);
    }
  }

  /** The storage did not take it: what nobody has of it is refused. */
  #giveUp(): void {
    const { known } = this.#state;
    const { writers } = this.#parts;
    this.#dropAfter(Math.max(known, this.#parts.publication.history.published));
    for (const answer of Array.from(this.#answers)) {
      const { barrier, writer, number } = answer;
      if (barrier <= this.#parts.publication.history.accepted) continue;
      this.#answers.delete(answer);
      const outcome = this.admission.outcomeOf('storageFailed', '');
      writers.end(writer, number, outcome);
      const address = writers.addressOf(writer);
      if (address !== undefined) this.#refuse(address, number, 'storageFailed', '');
    }
  }

  /** What was accepted after that update never was. */
  #dropAfter(sequence: Sequence): void {
    const { expiry, publication, storeDesk } = this.#parts;
    const dropped = this.#staged.dropAfter(sequence);
    if (dropped.length === 0) return;
    publication.drop(dropped);
    storeDesk.lower(sequence);
    for (const update of dropped) {
      storeDesk.touch(update);
      // The time of what is there counts again.
      for (const entry of publication.entries.under(update.key)) expiry.set(entry);
    }
  }

  // What is said

  #refuse(from: Address, number: number, refusal: WriteRefusal, key: string): void {
    this.#voice.emit({ type: 'writeRefused', from, refusal });
    this.#tell(from, number, this.admission.outcomeOf(refusal, key), false);
  }

  /** @param isQuiet it has changed nothing now: the writer shall know that its map is as new as the answer */
  #tell(to: Address, number: number, outcome: Outcome, isQuiet: boolean): void {
    const { publication, replication } = this.#parts;
    const { refusal, revision, retryAfter } = outcome;
    const isReplicated = refusal === undefined && replication.isReplicated(revision);
    const result = { type: 'result', number, refusal, revision, retryAfter, isReplicated } as const;
    this.#results.send(to, result);
    if (isQuiet) publication.feed.confirm(to);
  }
}
