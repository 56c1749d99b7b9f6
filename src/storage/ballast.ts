/**
 * Space held in reserve, as a file of real blocks: given back when the disk is full, so that what makes
 * room can still be written.
 */
import { randomFillSync } from 'node:crypto';
import { rmSync } from 'node:fs';
import { open, rm, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';

const CHUNK = 1024 * 1024;
/** Bytes that stay free beside it at least. */
const LEAST = 1024 * 1024;
/** The size of a block in `stat`, whatever the file system has. */
const STAT_BLOCK = 512;

export class Ballast {
  readonly #path: string;
  readonly #bytes: number;
  #isHeld = false;
  /** Counts the releases, so that a reservation under way notices one. */
  #releases = 0;
  #reserving: Promise<boolean> | undefined;

  /** @param bytes 0 if nothing is to be held */
  constructor(path: string, bytes: number) {
    this.#path = path;
    this.#bytes = bytes;
  }

  get isHeld(): boolean {
    return this.#isHeld;
  }

  /** Gives the space back. It never throws: a ballast that cannot be removed holds its space on. */
  release(): void {
    this.#releases += 1;
    this.#isHeld = false;
    try {
      rmSync(this.#path, { force: true });
    } catch {
      // Where even this fails nothing else will be written: the commit that follows says so.
    }
  }

  /** Holds the space again, if that and a quarter more is free; true if it is held. Never rejects. */
  reserve(): Promise<boolean> {
    if (this.#isHeld) return Promise.resolve(true);
    this.#reserving ??= this.#reserve().finally(() => (this.#reserving = undefined));
    return this.#reserving;
  }

  async #reserve(): Promise<boolean> {
    const releases = this.#releases;
    try {
      if (!(await this.#isThere())) {
        // A disk that is full again with the next write needs no reserve, but room.
        const { bavail, bsize } = await statfs(dirname(this.#path));
        if (bavail * bsize < this.#bytes * 1.25 + LEAST) return false;
        await this.#write();
      }
    } catch {
      // Somebody else took the space in the meantime: what was written of it is in the way.
      await rm(this.#path, { force: true }).catch(() => undefined);
      return false;
    }
    if (releases !== this.#releases) {
      await rm(this.#path, { force: true }).catch(() => undefined);
      return false;
    }
    this.#isHeld = true;
    return true;
  }

  /** True if a former life has left it, in full. */
  async #isThere(): Promise<boolean> {
    const found = await stat(this.#path).catch(() => undefined);
    if (found === undefined) return false;
    return found.size === this.#bytes && found.blocks * STAT_BLOCK >= this.#bytes;
  }

  /** Random bytes: a file system that compresses would store nothing of zeros. */
  async #write(): Promise<void> {
    const file = await open(this.#path, 'w');
    try {
      for (let left = this.#bytes; left > 0; left -= CHUNK)
        await file.writeFile(randomFillSync(Buffer.alloc(Math.min(left, CHUNK))));
      await file.sync();
    } finally {
      await file.close();
    }
  }
}
