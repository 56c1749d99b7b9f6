/**
 * What is stored of a Clone server's state, and what it means.
 *
 *   k/KEY       { revision, ttl, expires }, and the value       one for each key; KEY in base64url
 *   w/WRITER    { next, done }                                  one for each writer; WRITER in hexadecimal
 *   m           { sequence, reigns, holds, isWhole }            one for all: written in every batch
 *
 * The first frame of each is JSON; instants are milliseconds since 1970. A batch brings the records from
 * one state of the map to a later one, so what is found after a crash is a map that there was. Only a
 * snapshot is too much for one batch: while it is written, `m` says that nothing of it can be used.
 */
import { encodeText } from '../../core/frames.ts';
import type { Epoch } from '../../core/election.ts';
import type { Frames } from '../../core/machine.ts';
import type { Position, Reign, Sequence, WriterId } from '../commands.ts';
import { isKey } from '../key.ts';
import type { CloneRecord } from '../server-events.ts';
import type { WriterState } from '../stream/content.ts';

/** What the records are, for `openStorage`. */
export const CLONE_FORMAT = { name: 'clone', version: 1 };

export const META_KEY = 'm';

/** What is known of all records together. */
export interface MetaRecord {
  /** The newest update that is in them. */
  readonly sequence: Sequence;
  readonly reigns: readonly Reign[];
  /** The epoch whose state this is: see `Standing.holds`. */
  readonly holds: Epoch;
  /** False while a snapshot is being written. */
  readonly isWhole: boolean;
}

/** Where the record of a key is stored. */
export function storedKeyOf(key: string): string {
  return `k/${Buffer.from(key).toString('base64url')}`;
}

/** Where what is known of a writer is stored. */
export function storedWriterOf(writer: WriterId): string {
  return `w/${Buffer.from(writer, 'latin1').toString('hex')}`;
}

export function encodeRecord({ revision, ttl, expiresAt, value }: CloneRecord): Frames {
  return [encodeJson({ revision, ttl, expires: expiresAt }), value];
}

export function encodeWriter({ next, done }: WriterState): Frames {
  return [encodeJson({ next, done })];
}

export function encodeMeta({ sequence, reigns, holds, isWhole }: MetaRecord): Frames {
  const pairs = reigns.map(({ epoch, base }) => [epoch, base]);
  return [encodeJson({ sequence, reigns: pairs, holds, isWhole })];
}

/** The record of the key that is stored there, or why it cannot be read. */
export function decodeRecord(key: string, frames: Frames): CloneRecord | string {
  const { revision, ttl, expires } = decodeJson(frames[0]);
  const value = frames[1];
  if (!isCount(revision, 1)) return "'revision' is no number of an update";
  if (ttl !== undefined && !isCount(ttl, 0)) return "'ttl' is no time";
  if (expires !== undefined && !isTime(expires)) return "'expires' is no time";
  if ((ttl === undefined) !== (expires === undefined))
    return "of 'ttl' and 'expires' one is missing";
  if (frames.length !== 2 || value === undefined || value.byteLength === 0) {
    return 'it has no value';
  }
  return { key, revision, ttl, expiresAt: expires, value };
}

export function decodeWriter(writer: WriterId, frames: Frames): WriterState | string {
  const { next, done } = decodeJson(frames[0]);
  if (!isCount(next, 1)) return "'next' is no number of a write";
  const pairs = pairsOf(done);
  if (pairs === undefined) return "'done' is no list of numbers and revisions";
  const isInOrder = pairs.every(([number], index) => {
    return number < next && number > (pairs[index - 1]?.[0] ?? 0);
  });
  return isInOrder ? { writer, next, done: pairs } : "'done' is not in order";
}

export function decodeMeta(frames: Frames): MetaRecord | string {
  const { sequence, reigns, holds, isWhole } = decodeJson(frames[0]);
  if (!isCount(sequence, 0)) return "'sequence' is no number of an update";
  if (!isCount(holds, 0)) return "'holds' is no epoch";
  if (typeof isWhole !== 'boolean') return "'isWhole' is missing";
  const pairs = pairsOf(reigns);
  if (pairs === undefined) return "'reigns' is no list of epochs and sequences";
  return { sequence, holds, isWhole, reigns: pairs.map(([epoch, base]) => ({ epoch, base })) };
}

/** What a stored key names; undefined if it is none of ours. */
export function readStoredKey(
  stored: string,
): { readonly key: string } | { readonly writer: WriterId } | 'meta' | undefined {
  if (stored === META_KEY) return 'meta';
  const name = stored.slice(2);
  if (stored.startsWith('w/')) {
    const writer = Buffer.from(name, 'hex').toString('latin1');
    return storedWriterOf(writer) === stored ? { writer } : undefined;
  }
  if (!stored.startsWith('k/')) return undefined;
  const key = Buffer.from(name, 'base64url').toString();
  return isKey(key) && storedKeyOf(key) === stored ? { key } : undefined;
}

/** A record that cannot be used, by its key in the storage, and why. */
export interface RecordFault {
  readonly key: string;
  readonly reason: string;
}

/** What a former life left in the store: takes the records in any order, and says what is wrong with them. */
export class Recovery {
  readonly #records: CloneRecord[] = [];
  readonly #writers: WriterState[] = [];
  readonly #faults: RecordFault[] = [];
  #meta: MetaRecord | undefined;
  #hasRecords = false;

  /** A record that the storage found sound. */
  add(stored: string, frames: Frames): void {
    this.#hasRecords = true;
    const named = readStoredKey(stored);
    if (named === undefined) return this.unreadable(stored, 'no key of a CloneServer');
    if (named === 'meta') this.#meta = this.#sound(stored, decodeMeta(frames));
    else if ('key' in named) {
      const record = this.#sound(stored, decodeRecord(named.key, frames));
      if (record !== undefined) this.#records.push(record);
    } else {
      const writer = this.#sound(stored, decodeWriter(named.writer, frames));
      if (writer !== undefined) this.#writers.push(writer);
    }
  }

  /** A record that the storage could not read. */
  unreadable(stored: string, reason: string): void {
    this.#hasRecords = true;
    this.#faults.push({ key: stored, reason });
  }

  /** What cannot be read, is not ours, or contradicts the rest. If there is any, a state was damaged. */
  get faults(): readonly RecordFault[] {
    const sequence = this.#meta?.sequence;
    if (sequence === undefined) {
      if (!this.#hasRecords || this.#faults.some(({ key }) => key === META_KEY))
        return this.#faults;
      return [...this.#faults, { key: META_KEY, reason: 'it is missing' }];
    }
    const late = this.#records.filter(({ revision }) => revision > sequence);
    const reason = `it is newer than '${META_KEY}' says`;
    return [...this.#faults, ...late.map(({ key }) => ({ key: storedKeyOf(key), reason }))];
  }

  /** The highest epoch that was stored; 0 if there was none. */
  get epoch(): Epoch {
    return Math.max(0, this.#meta?.holds ?? 0, this.#meta?.reigns.at(-1)?.epoch ?? 0);
  }

  /** For `Standing.holds`: 0 if this is no whole and sound state. */
  get holds(): Epoch {
    return this.#isUsable && this.faults.length === 0 ? (this.#meta?.holds ?? 0) : 0;
  }

  /** Where it stands; undefined: nobody can say, so nobody can go on from there. */
  get position(): Position | undefined {
    if (this.#meta === undefined || !this.#isUsable || this.faults.length > 0) return undefined;
    const { sequence, reigns } = this.#meta;
    const epoch = reigns.at(-1)?.epoch;
    return epoch === undefined ? undefined : { epoch, sequence };
  }

  /** Above all that was used. */
  get sequence(): Sequence {
    return this.#records.reduce(
      (highest, { revision }) => Math.max(highest, revision),
      this.#meta?.sequence ?? 0,
    );
  }

  /** Who reigned; none if nobody can go on from what is here. */
  get reigns(): readonly Reign[] {
    return this.position === undefined ? [] : this.#meta!.reigns;
  }

  /** In the order in which they were made, about. */
  get records(): readonly CloneRecord[] {
    if (!this.#isUsable) return [];
    return this.#records.toSorted((one, other) => one.revision - other.revision);
  }

  get writers(): readonly WriterState[] {
    return this.#isUsable ? this.#writers : [];
  }

  /** Where records are that are not used, or cannot be read: they are to be deleted. */
  get unused(): readonly string[] {
    const faulty = this.#faults.map(({ key }) => key).filter((stored) => stored !== META_KEY);
    if (this.#isUsable) return faulty;
    const keys = this.#records.map(({ key }) => storedKeyOf(key));
    return [...faulty, ...keys, ...this.#writers.map(({ writer }) => storedWriterOf(writer))];
  }

  /** False in the middle of a snapshot. A missing `m` is damage, and what is left is used if that is accepted. */
  get #isUsable(): boolean {
    return this.#meta?.isWhole ?? true;
  }

  #sound<Decoded>(stored: string, decoded: Decoded | string): Decoded | undefined {
    if (typeof decoded !== 'string') return decoded;
    this.unreadable(stored, decoded);
    return undefined;
  }
}

function encodeJson(fields: object): Uint8Array {
  return encodeText(JSON.stringify(fields));
}

/** The fields of a JSON object; none if it is not one. */
function decodeJson(frame: Uint8Array | undefined): Partial<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(Buffer.from(frame ?? []).toString());
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {}; // not JSON: then all that is needed is missing
  }
}

function isCount(value: unknown, least: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= least;
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

function pairsOf(value: unknown): [number, number][] | undefined {
  if (!Array.isArray(value)) return undefined;
  const pairs: [number, number][] = [];
  for (const pair of value as unknown[]) {
    if (!Array.isArray(pair) || pair.length !== 2) return undefined;
    const [one, other] = pair as unknown[];
    if (!isCount(one, 0) || !isCount(other, 0)) return undefined;
    pairs.push([one, other]);
  }
  return pairs;
}
