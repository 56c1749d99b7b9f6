/**
 * Who writes, and how far each of them is: so that writes are done in their order, and each once.
 *
 * A writer numbers its writes from 1. `next` is the number that is to come; of those below it is known
 * which were done, as far as the writer may still ask (`floor`). What is neither done nor under way was
 * refused. Refusals are remembered by the server alone that made them: another one, which takes over,
 * finds such a number above all that was done, and decides anew, or below, and then it is too late.
 */
import type { Address, Instant } from '../../core/machine.ts';
import type { Origin, Sequence, WriteCommand, WriterId, WriteRefusal } from '../commands.ts';
import { LONGEST_WRITE } from '../options.ts';
import type { WriterState } from '../stream/content.ts';
import type { Voice } from './voice.ts';

export interface WriterSettings {
  readonly writerLimit: number;
  /** Milliseconds. */
  readonly writerTtl: number;
  /** They are stored. */
  readonly isDurable: boolean;
}

/** How a write ended. */
export interface Outcome {
  /** Absent: it was done. */
  readonly refusal?: WriteRefusal | undefined;
  readonly revision: Sequence;
  /** Milliseconds. */
  readonly retryAfter?: number | undefined;
}

/**
 * `next`: it is this one's turn. `missing`: another one must come before. `ended`: see `outcome`. `pending`:
 * it waits to become public, as the update `sequence`. `over`: it was given up. `lost`: it was refused, and
 * it is not known why. `tooMany`: there is no room for one more writer.
 */
export type Verdict =
  | { readonly type: 'next' | 'over' | 'lost' | 'tooMany' }
  | { readonly type: 'missing'; readonly next: number }
  | { readonly type: 'pending'; readonly sequence: Sequence }
  | { readonly type: 'ended'; readonly outcome: Outcome };

/** Numbers of one writer that may be without an outcome that it has seen. More are refused. */
export const SPAN = 65_536;

/** A backup hears of no farewells: it remembers so many times as many. */
const BACKUP_SHARE = 4;

interface Pending {
  readonly sequence: Sequence;
  /** It was refused because of what is not public yet. */
  readonly isRefusal: boolean;
}

interface Writer {
  readonly id: WriterId;
  /** Where it was heard last; its results go there. */
  address: Address;
  next: number;
  floor: number;
  /** The highest that was done and is public. */
  last: number;
  readonly ended: Map<number, Outcome>;
  /** Numbers of those that are staged, or wait for what is, and the update that they wait for. */
  readonly pending: Map<number, Pending>;
  heardAt: Instant;
  /** It has a record in the storage, or is about to get one. */
  isStored: boolean;
}

export class Writers {
  /** The one that was heard longest ago first. */
  #writers = new Map<WriterId, Writer>();
  /** Whose records are still stored. */
  readonly #forgotten = new Set<WriterId>();
  /** How many came from a former reign: nobody new has to wait for these. */
  #inherited = 0;
  readonly #settings: WriterSettings;
  readonly #voice: Voice;

  constructor(settings: WriterSettings, voice: Voice) {
    this.#settings = settings;
    this.#voice = voice;
  }

  get size(): number {
    return this.#writers.size;
  }

  /** When the next one is forgotten. */
  get nextDue(): Instant {
    const [oldest] = this.#writers.values();
    return oldest === undefined ? Infinity : oldest.heardAt + this.#settings.writerTtl;
  }

  /** Plain data, for the fingerprint. */
  get state(): object {
    return [this.#writers, this.#forgotten, this.#inherited];
  }

  /** Where its results go; undefined if it is not known. */
  addressOf(id: WriterId): Address | undefined {
    return this.#writers.get(id)?.address;
  }

  // While the server is active

  /** It gave a sign of life, from there. */
  heard(now: Instant, id: WriterId, address: Address): void {
    const writer = this.#writers.get(id);
    if (writer !== undefined) this.#hear(now, writer, address);
  }

  /** What is to be done with a write. */
  judge(now: Instant, id: WriterId, address: Address, command: WriteCommand): Verdict {
    const { number, floor } = command;
    let writer = this.#writers.get(id);
    if (writer === undefined) {
      if (!this.#makeRoom(now)) return { type: 'tooMany' };
      writer = this.#add(now, id, Math.max(1, Math.min(floor, number)));
    }
    this.#hear(now, writer, address);
    this.#raiseFloor(writer, Math.min(floor, number));
    const { next } = writer;
    if (number < writer.floor) return { type: 'over' };
    if (number > next) return { type: 'missing', next };
    if (number === next) return { type: 'next' };
    const outcome = writer.ended.get(number);
    if (outcome !== undefined) return { type: 'ended', outcome };
    const pending = writer.pending.get(number);
    if (pending === undefined) return { type: 'lost' };
    return { type: 'pending', sequence: pending.sequence };
  }

  /** True if so much of this writer's is open that the next one cannot be remembered. */
  isFull(id: WriterId, number: number): boolean {
    const writer = this.#writers.get(id);
    return writer === undefined || number - writer.floor >= SPAN;
  }

  /** Its turn has come: it waits until `sequence` is public. */
  begin(id: WriterId, number: number, sequence: Sequence, isRefusal: boolean): void {
    const writer = this.#writers.get(id)!;
    writer.next = Math.max(writer.next, number + 1);
    writer.pending.set(number, { sequence, isRefusal });
  }

  /** It has ended. @param isKept false: nobody is to be told again how */
  end(id: WriterId, number: number, outcome: Outcome, isKept = true): void {
    const writer = this.#writers.get(id);
    if (writer === undefined) return;
    writer.next = Math.max(writer.next, number + 1);
    writer.pending.delete(number);
    if (outcome.refusal === undefined) writer.last = Math.max(writer.last, number);
    if (isKept && number >= writer.floor) writer.ended.set(number, outcome);
  }

  /** It was never done, and nobody was told so: the same number may come again. */
  drop(): void {
    for (const writer of this.#writers.values()) {
      writer.pending.clear();
      for (const [number, { refusal }] of writer.ended) {
        if (refusal !== undefined) writer.ended.delete(number);
      }
      writer.next = Math.max(writer.floor, writer.last + 1);
      writer.address = '';
    }
  }

  /** It said goodbye: it asks for nothing again. */
  left(id: WriterId): void {
    const writer = this.#writers.get(id);
    if (writer !== undefined && writer.pending.size === 0) this.#forget(writer);
  }

  handleTimeout(now: Instant): void {
    for (const writer of this.#writers.values()) {
      if (writer.heardAt + this.#settings.writerTtl > now) return;
      if (writer.pending.size === 0) this.#forget(writer);
      else this.#hear(now, writer, writer.address);
    }
  }

  // For a backup, and for the store

  /** What is to be known of each, as far as it is public. */
  *snapshot(): Generator<WriterState> {
    for (const writer of this.#writers.values()) yield publicStateOf(writer);
  }

  /** The record that one gets now, with what is accepted; undefined if it is not known. */
  recordOf(id: WriterId): WriterState | undefined {
    const writer = this.#writers.get(id);
    if (writer === undefined) return undefined;
    writer.isStored = true;
    const { next, done } = publicStateOf(writer);
    const all = [...done];
    for (const [number, { sequence, isRefusal }] of writer.pending) {
      if (!isRefusal) all.push([number, sequence]);
    }
    const last = all.reduce((highest, [number]) => Math.max(highest, number), 0);
    return { writer: id, next: Math.max(next, last + 1), done: inOrder(all) };
  }

  /** Those that are not known any more since this was asked the last time, or are known anew. */
  takeForgotten(): WriterId[] {
    const forgotten = [...this.#forgotten];
    this.#forgotten.clear();
    return forgotten;
  }

  get ids(): IterableIterator<WriterId> {
    return this.#writers.keys();
  }

  /** While passive: the active server did this. */
  adopt(now: Instant, origin: Origin, sequence: Sequence): void {
    const { writer: id, number, floor } = origin;
    const writer = this.#writers.get(id) ?? this.#add(now, id, 1);
    this.#hear(now, writer, writer.address);
    this.end(id, number, { revision: sequence });
    this.#raiseFloor(writer, Math.max(floor ?? 0, number - SPAN));
    this.#shrink();
  }

  /**
   * While passive, or from a store: this is known of one, beside what was adopted.
   * @param now `Infinity`: time is not known
   */
  learn(now: Instant, { writer: id, next, done }: WriterState): void {
    const writer = this.#writers.get(id) ?? this.#add(now, id, 1);
    for (const [number, revision] of done) this.end(id, number, { revision });
    this.#raiseFloor(writer, done[0]?.[0] ?? next);
    writer.next = Math.max(writer.next, next);
    writer.last = writer.next - 1;
    writer.isStored = this.#settings.isDurable;
    this.#shrink();
  }

  /** Becomes what `other` is, which must not be used any more. */
  takeOver(other: Writers): void {
    for (const { id, isStored } of this.#writers.values()) if (isStored) this.#forgotten.add(id);
    this.#writers = other.#writers;
  }

  /** A reign begins: they can be heard from now on. */
  revive(now: Instant): void {
    for (const writer of this.#writers.values()) writer.heardAt = now;
    this.#inherited = this.#writers.size;
  }

  #add(now: Instant, id: WriterId, next: number): Writer {
    const writer: Writer = {
      id,
      address: '',
      next,
      floor: next,
      last: 0,
      ended: new Map(),
      pending: new Map(),
      heardAt: now,
      isStored: false,
    };
    this.#writers.set(id, writer);
    return writer;
  }

  #hear(now: Instant, writer: Writer, address: Address): void {
    writer.address = address;
    if (writer.heardAt === now) return;
    writer.heardAt = now;
    this.#writers.delete(writer.id);
    this.#writers.set(writer.id, writer);
  }

  #raiseFloor(writer: Writer, floor: number): void {
    if (floor <= writer.floor) return;
    const { ended } = writer;
    if (floor - writer.floor > ended.size) {
      for (const number of ended.keys()) if (number < floor) ended.delete(number);
    } else for (let number = writer.floor; number < floor; number++) ended.delete(number);
    writer.floor = floor;
    writer.next = Math.max(writer.next, floor);
  }

  /** False: all that are here may still ask about what they have written. */
  #makeRoom(now: Instant): boolean {
    if (this.#writers.size < this.#settings.writerLimit + this.#inherited) return true;
    for (const writer of this.#writers.values()) {
      if (writer.heardAt + LONGEST_WRITE > now) return false;
      if (writer.pending.size > 0) continue;
      this.#forget(writer);
      return true;
    }
    return false;
  }

  #shrink(): void {
    for (const writer of this.#writers.values()) {
      if (this.#writers.size <= BACKUP_SHARE * this.#settings.writerLimit) return;
      this.#forget(writer);
    }
  }

  #forget(writer: Writer): void {
    this.#writers.delete(writer.id);
    if (writer.isStored) this.#forgotten.add(writer.id);
    // It was not heard in this reign.
    if (writer.address === '') this.#inherited--;
    this.#voice.emit({ type: 'writerForgotten', writer: writer.id });
  }
}

function publicStateOf({ id, floor, last, ended }: Writer): WriterState {
  const done: (readonly [number, Sequence])[] = [];
  for (const [number, { refusal, revision }] of ended) {
    if (refusal === undefined) done.push([number, revision]);
  }
  return { writer: id, next: Math.max(floor, last + 1), done: inOrder(done) };
}

function inOrder(done: (readonly [number, Sequence])[]): (readonly [number, Sequence])[] {
  return done.toSorted(([one], [other]) => one - other);
}
