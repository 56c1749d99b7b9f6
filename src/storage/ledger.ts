/**
 * The ledger: how many records there are, and digests of all of them. Each commit carries it, so that a
 * record that is lost, or comes back, is noticed when the storage is opened.
 *
 * Checksums find what is wrong in a record that is there; only a ledger finds one that is not. A digest
 * is a sum of checksums: it needs no order, and a change updates it in a moment. Changes are staged while
 * their commit is under way, and then settle or are dropped.
 */
import { crc32 } from 'node:zlib';

/** What a commit says of all records. */
export interface LedgerPage {
  /** The number of that commit. */
  readonly sequence: number;
  /** How many records there are, those in quarantine among them. */
  readonly records: number;
  /** The sum of the checksums of their keys. */
  readonly keys: number;
  /** The sum of their own. */
  readonly digest: number;
}

/** Numbers of a page have 48 bits, and sums go round there. */
const WIDTH = 6;
const LIMIT = 2 ** 48;

/** A page as the frame that is stored. */
export function encodePage({ sequence, records, keys, digest }: LedgerPage): Uint8Array {
  const frame = Buffer.allocUnsafe(4 * WIDTH);
  frame.writeUIntBE(sequence, 0, WIDTH);
  frame.writeUIntBE(records, WIDTH, WIDTH);
  frame.writeUIntBE(keys, 2 * WIDTH, WIDTH);
  frame.writeUIntBE(digest, 3 * WIDTH, WIDTH);
  return frame;
}

/** The page in a stored frame; undefined if it is none. */
export function decodePage(frame: Uint8Array | undefined): LedgerPage | undefined {
  if (frame?.byteLength !== 4 * WIDTH) return undefined;
  const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
  return {
    sequence: bytes.readUIntBE(0, WIDTH),
    records: bytes.readUIntBE(WIDTH, WIDTH),
    keys: bytes.readUIntBE(2 * WIDTH, WIDTH),
    digest: bytes.readUIntBE(3 * WIDTH, WIDTH),
  };
}

export class Ledger {
  /** The checksum of each record, of one in quarantine as it should be. */
  readonly #checksums = new Map<string, number>();
  /** What is wrong with each one that is in quarantine. */
  readonly #quarantine = new Map<string, string>();
  /** What a commit under way changes; undefined deletes. */
  readonly #staged = new Map<string, number | undefined>();
  #sequence = 0;
  #keys = 0;
  #digest = 0;
  #stagedRecords = 0;
  #stagedKeys = 0;
  #stagedDigest = 0;

  /** The number of the last commit that settled. */
  get sequence(): number {
    return this.#sequence;
  }

  /** As of the last commit that settled. */
  get page(): LedgerPage {
    return {
      sequence: this.#sequence,
      records: this.#checksums.size,
      keys: this.#keys,
      digest: this.#digest,
    };
  }

  /** As it will be when what is staged has settled. */
  get stagedPage(): LedgerPage {
    return {
      sequence: this.#sequence + 1,
      records: this.#checksums.size + this.#stagedRecords,
      keys: sum(this.#keys, this.#stagedKeys),
      digest: sum(this.#digest, this.#stagedDigest),
    };
  }

  get quarantined(): readonly string[] {
    return [...this.#quarantine.keys()];
  }

  /** The checksum of a record; undefined if there is none. */
  checksumOf(key: string): number | undefined {
    return this.#checksums.get(key);
  }

  /** What is wrong with a record in quarantine; undefined if it is not in it. */
  faultOf(key: string): string | undefined {
    return this.#quarantine.size === 0 ? undefined : this.#quarantine.get(key);
  }

  isStaged(key: string): boolean {
    return this.#staged.has(key);
  }

  /** A record that is there already; nothing may be staged. */
  admit(key: string, checksum: number): void {
    this.stage(key, checksum);
    this.#apply();
  }

  /** A record that is there, and that nobody may be given. */
  quarantine(key: string, fault: string): void {
    this.#quarantine.set(key, fault);
  }

  /** Where to count on from. */
  resume(sequence: number): void {
    this.#sequence = sequence;
  }

  /** A record is put, or without a checksum deleted, by the commit that is being made. */
  stage(key: string, checksum: number | undefined): void {
    const before = this.#staged.has(key) ? this.#staged.get(key) : this.#checksums.get(key);
    if (before === undefined && checksum !== undefined) {
      this.#stagedRecords++;
      this.#stagedKeys = sum(this.#stagedKeys, crc32(key));
    } else if (before !== undefined && checksum === undefined) {
      this.#stagedRecords--;
      this.#stagedKeys = sum(this.#stagedKeys, -crc32(key));
    }
    this.#stagedDigest = sum(this.#stagedDigest, share(checksum) - share(before));
    this.#staged.set(key, checksum);
  }

  /** What is staged is so. */
  settle(): void {
    this.#sequence++;
    if (this.#quarantine.size > 0)
      for (const key of this.#staged.keys()) this.#quarantine.delete(key);
    this.#apply();
  }

  /** What is staged never was. */
  drop(): void {
    this.#staged.clear();
    this.#stagedRecords = 0;
    this.#stagedKeys = 0;
    this.#stagedDigest = 0;
  }

  #apply(): void {
    this.#keys = sum(this.#keys, this.#stagedKeys);
    this.#digest = sum(this.#digest, this.#stagedDigest);
    for (const [key, checksum] of this.#staged) {
      if (checksum === undefined) this.#checksums.delete(key);
      else this.#checksums.set(key, checksum);
    }
    this.drop();
  }
}

/** By how much the digest grows when a record's checksum is another. */
export function difference(checksum: number, before: number): number {
  return share(checksum) - share(before);
}

/** A sum that goes round. */
export function sum(a: number, b: number): number {
  const rest = (a + b) % LIMIT;
  return rest < 0 ? rest + LIMIT : rest;
}

/** Checksums are kept as signed numbers, and added as unsigned ones. */
function share(checksum: number | undefined): number {
  return checksum === undefined ? 0 : checksum >>> 0;
}
