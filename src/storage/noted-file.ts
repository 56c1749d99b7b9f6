/**
 * A number in a file of its own, overwritten in place: how far the records were acknowledged.
 *
 * The one idea: what an engine loses together with its own bookkeeping, this file still knows of. It is
 * not fsynced: it survives the process, and after a power cut it may be old, but is never ahead.
 */
import { close, constants, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import { crc32 } from 'node:zlib';

/** 8 bytes of number and 4 of checksum over them, big-endian. */
const LENGTH = 12;

export class NotedFile {
  readonly #file: number;
  readonly #bytes = Buffer.alloc(LENGTH);
  #sequence: number;

  private constructor(file: number, sequence: number) {
    this.#file = file;
    this.#sequence = sequence;
  }

  /**
   * Opens what is there.
   * @returns undefined if it cannot be read as such a number
   * @throws what node:fs throws; `ENOENT` if it is missing
   */
  static open(path: string): NotedFile | undefined {
    const file = openSync(path, constants.O_RDWR);
    const bytes = Buffer.alloc(LENGTH);
    const length = readSync(file, bytes, 0, LENGTH, 0);
    if (length === LENGTH && bytes.readUInt32BE(8) === crc32(bytes.subarray(0, 8)))
      return new NotedFile(file, Number(bytes.readBigUInt64BE(0)));
    close(file);
    return undefined;
  }

  /**
   * Begins at 0, on the disk when it returns; over whatever is there.
   * @throws what node:fs throws
   */
  static create(path: string): NotedFile {
    const noted = new NotedFile(openSync(path, constants.O_RDWR | constants.O_CREAT), 0);
    noted.write(0);
    fsyncSync(noted.#file);
    return noted;
  }

  /** What was noted last, in this life or a former one. */
  get sequence(): number {
    return this.#sequence;
  }

  /** @throws what node:fs throws */
  write(sequence: number): void {
    this.#bytes.writeBigUInt64BE(BigInt(sequence), 0);
    this.#bytes.writeUInt32BE(crc32(this.#bytes.subarray(0, 8)), 8);
    writeSync(this.#file, this.#bytes, 0, LENGTH, 0);
    this.#sequence = sequence;
  }

  close(): void {
    close(this.#file);
  }
}
