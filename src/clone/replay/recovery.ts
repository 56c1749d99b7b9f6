/**
 * What a former life of a publisher left in its store: its messages, and how far it had counted.
 *
 * The history has no holes. If a record cannot be read, what is before it is not given out any more: who
 * asks for that is told that it is lost.
 */
import { decodeText, encodeText } from '../../core/frames.ts';
import type { Epoch } from '../../core/election.ts';
import type { Frames } from '../../core/machine.ts';
import type { Reign, Sequence } from '../commands.ts';
import type { History } from '../stream/history.ts';
import { updateOf, type Update } from '../stream/update.ts';
import { sequenceIn } from './publication.ts';

/** Under this key is which lives there were. */
export const LIVES_KEY = 'lives';

export class Recovery {
  readonly #messages = new Map<Sequence, Update>();
  #newest: Sequence | undefined;
  #oldest: Sequence | undefined;
  #reigns: readonly Reign[] = [];

  /** A record that the storage found sound. */
  add(key: string, frames: Frames): void {
    if (key === LIVES_KEY) this.#reigns = decodeReigns(frames);
    const sequence = sequenceIn(key);
    if (sequence === undefined) return;
    this.#note(sequence);
    const [topic, ...value] = frames;
    if (topic === undefined) return;
    const update = updateOf({ sequence, kind: 'set', key: decodeText(topic), value });
    this.#messages.set(sequence, update);
  }

  /** A record that the storage could not read: its number was given all the same. */
  unreadable(key: string): void {
    const sequence = sequenceIn(key);
    if (sequence !== undefined) this.#note(sequence);
  }

  /** Of the newest life; 0 if there was none. */
  get epoch(): Epoch {
    return this.#reigns.at(-1)?.epoch ?? 0;
  }

  /** The lives there were, oldest first. */
  get reigns(): readonly Reign[] {
    return this.#reigns;
  }

  /** The newest message of all; undefined if there was none. */
  get newest(): Sequence | undefined {
    return this.#newest;
  }

  /** What the newest message was about; undefined if that cannot be read. Asked before the history is filled. */
  get topic(): string | undefined {
    return this.#newest === undefined ? undefined : this.#messages.get(this.#newest)?.key;
  }

  /** The oldest record of a message, readable or not; undefined if there is none. */
  get oldest(): Sequence | undefined {
    return this.#oldest;
  }

  /** Fills a history with what can be given out. */
  fill(history: History): void {
    const newest = this.#newest;
    if (newest === undefined) return;
    let first = newest + 1;
    while (this.#messages.has(first - 1)) first--;
    history.restart(first - 1);
    for (let sequence = first; sequence <= newest; sequence++) {
      history.accept(this.#messages.get(sequence)!);
      history.publish();
    }
    this.#messages.clear();
    history.trim(history.published);
  }

  #note(sequence: Sequence): void {
    this.#newest = Math.max(sequence, this.#newest ?? sequence);
    this.#oldest = Math.min(sequence, this.#oldest ?? sequence);
  }
}

/** The record of the lives. */
export function encodeReigns(reigns: readonly Reign[]): Frames {
  return [encodeText(JSON.stringify(reigns.map(({ epoch, base }) => [epoch, base])))];
}

/** The storage has checked that these are the bytes that were written. */
function decodeReigns([bytes]: Frames): readonly Reign[] {
  const pairs = JSON.parse(decodeText(bytes!)) as readonly (readonly [Epoch, Sequence])[];
  return pairs.map(([epoch, base]) => ({ epoch, base }));
}
