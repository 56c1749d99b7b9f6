/**
 * What happens before a storage is open: every record is read and verified, and all of them together are
 * held against the ledger and against what the engine noted.
 *
 * A record that fails its checksum is put in quarantine, and the storage opens. That records are missing,
 * came back, or are older ones, is worse, as nobody can say which: then it opens only if its user accepts
 * that.
 */
import { StorageError } from '../core/errors.ts';
import { decodeText, encodeText } from '../core/frames.ts';
import type { Frames } from '../core/machine.ts';
import type { Completed } from '../core/options.ts';
import { commitError } from './commit-error.ts';
import type { Engine } from './engine.ts';
import { decodePage, difference, encodePage, Ledger, sum, type LedgerPage } from './ledger.ts';
import type { StorageFormat, storageRules } from './options.ts';
import {
  checksumOf,
  decodeRecord,
  encodeRecord,
  isNewerRecord,
  recordFault,
  trueChecksum,
} from './record.ts';

export const FORMAT_KEY = '!format';
export const LEDGER_KEY = '!ledger';

/** Of so many records in quarantine it is found out which part of them is wrong: each doubles the effort. */
const MOST_DOUBTS = 12;

export type StorageSettings = Completed<typeof storageRules>;

/**
 * Hands every sound record to `each`; then gives the ledger, or why the storage cannot be opened.
 * `accepted` is what was wrong with the records as a whole, in words.
 */
export function openRecords(
  engine: Engine,
  settings: StorageSettings,
  each: (key: string, value: Frames) => void,
  done: (error: StorageError | undefined, ledger: Ledger, accepted: readonly string[]) => void,
): void {
  const opening = new Opening(settings, each);
  engine.scan(
    (key, bytes) => opening.take(key, bytes),
    (failure) => {
      const { ledger } = opening;
      const error = failure ?? opening.judge(engine.noted);
      const { damages } = opening;
      if (error !== undefined || opening.isInOrder) return done(error, ledger, damages);
      const operations = [
        { key: FORMAT_KEY, value: encodeRecord(FORMAT_KEY, formatFrames(settings.format)) },
        { key: LEDGER_KEY, value: encodeRecord(LEDGER_KEY, [encodePage(ledger.stagedPage)]) },
      ];
      engine.commit(operations, settings.durability === 'fsync', (failed) => {
        if (failed !== undefined) return done(commitError(failed), ledger, damages);
        ledger.settle();
        if (settings.durability === 'fsync') engine.note(ledger.page.sequence);
        done(undefined, ledger, damages);
      });
    },
  );
}

class Opening {
  readonly ledger = new Ledger();
  readonly #settings: StorageSettings;
  readonly #each: (key: string, value: Frames) => void;
  /** False if format and ledger have to be written before anything else. */
  isInOrder = true;
  /** What is wrong with the records as a whole. */
  damages: readonly string[] = [];
  /** What is stored; undefined if it is missing, null if it cannot be read. */
  #format: StorageFormat | null | undefined;
  #page: LedgerPage | null | undefined;
  #refusal: StorageError | undefined;
  /** Records in quarantine, and what the digest would gain if it is their checksum that is wrong. */
  readonly #doubts: { key: string; checksum: number; gain: number }[] = [];

  constructor(settings: StorageSettings, each: (key: string, value: Frames) => void) {
    this.#settings = settings;
    this.#each = each;
  }

  take(key: string, bytes: Uint8Array): void {
    const fault = recordFault(key, bytes);
    if (key === FORMAT_KEY) {
      this.#format = fault === undefined ? readFormat(decodeRecord(bytes)) : null;
      this.#checkFormat(isNewerRecord(key, bytes));
    } else if (key === LEDGER_KEY) {
      this.#page = fault === undefined ? (decodePage(decodeRecord(bytes)[0]) ?? null) : null;
    } else {
      this.ledger.admit(key, checksumOf(bytes));
      if (fault !== undefined) this.#quarantine(key, bytes, fault);
      else if (this.#refusal === undefined) this.#each(key, decodeRecord(bytes));
    }
  }

  /** After the last record: why the storage must not be opened, if it must not. */
  judge(noted: number): StorageError | undefined {
    if (this.#refusal !== undefined) return this.#refusal;
    const { ledger } = this;
    const stored = this.#page;
    ledger.resume(Math.max(stored?.sequence ?? 0, noted));
    const isFresh =
      this.#format === undefined &&
      stored === undefined &&
      ledger.page.records === 0 &&
      noted === 0;
    const damages = isFresh ? [] : this.#damages(noted);
    this.damages = damages;
    const isOlder = (this.#format?.version ?? 0) < this.#settings.format.version;
    this.isInOrder = !isFresh && !isOlder && damages.length === 0;
    if (damages.length === 0 || this.#settings.damage === 'accept') return undefined;
    return new StorageError(
      'ERR_STORAGE_CORRUPT',
      `the storage is damaged: ${damages.join('; ')}. Restore a copy of it, or open it with damage: 'accept' to go on with what is left`,
    );
  }

  #checkFormat(isNewer: boolean): void {
    const { name, version } = this.#settings.format;
    const stored = this.#format;
    if (isNewer || (stored?.name === name && stored.version > version)) {
      this.#refusal = new StorageError(
        'ERR_STORAGE_VERSION',
        `the storage was written by a newer version${stored ? ` (${name} ${stored.version}, and this one reads up to ${version})` : ''}: open it with that one`,
      );
    } else if (stored && stored.name !== name) {
      this.#refusal = new StorageError(
        'ERR_STORAGE_VERSION',
        `the storage holds '${stored.name}', not '${name}': open another one, or with what wrote it`,
      );
    }
  }

  /** What is wrong with the records as a whole, in words. */
  #damages(noted: number): string[] {
    const damages: string[] = [];
    const format = this.#format;
    const stored = this.#page;
    const found = this.ledger.page;
    if (!format)
      damages.push(`what says what it holds is ${format === null ? 'corrupt' : 'missing'}`);
    if (!stored) {
      damages.push(`its ledger is ${stored === null ? 'corrupt' : 'missing'}`);
      if (noted > 0) damages.push(`${noted} commits were acknowledged`);
      return damages;
    }
    if (stored.sequence < noted) {
      damages.push(
        `commits after number ${stored.sequence}, up to ${noted}, were acknowledged, and are not there`,
      );
    }
    const missing = stored.records - found.records;
    if (missing > 0) damages.push(`${missing} of ${stored.records} records are missing`);
    if (missing < 0) damages.push(`${-missing} records are there that had been deleted`);
    if (missing === 0 && stored.keys !== found.keys) {
      damages.push('records are missing, and as many are there that should not be');
    } else if (missing === 0 && !this.#mends(sum(stored.digest, -found.digest))) {
      damages.push('some records are older than what was acknowledged, or wholly overwritten');
    }
    return damages;
  }

  /** Of a record that is wrong either the checksum is the true one, or all else is. */
  #quarantine(key: string, bytes: Uint8Array, fault: string): void {
    this.ledger.quarantine(key, fault);
    const checksum = trueChecksum(key, bytes);
    const gain = difference(checksum, checksumOf(bytes));
    if (gain !== 0 && this.#doubts.length < MOST_DOUBTS) this.#doubts.push({ key, checksum, gain });
  }

  /**
   * True if the digest is right once it has changed by `missing`: with records in quarantine as they are,
   * or with some of their checksums set right.
   */
  #mends(missing: number, index = 0): boolean {
    const doubt = this.#doubts[index];
    if (missing === 0) return true;
    if (doubt === undefined) return false;
    if (this.#mends(missing, index + 1)) return true;
    if (!this.#mends(sum(missing, -doubt.gain), index + 1)) return false;
    this.ledger.admit(doubt.key, doubt.checksum);
    return true;
  }
}

function formatFrames({ name, version }: StorageFormat): Frames {
  return [encodeText(name), encodeText(String(version))];
}

function readFormat([name, version]: Frames): StorageFormat | null {
  if (name === undefined || version === undefined) return null;
  return { name: decodeText(name), version: Number(decodeText(version)) };
}
