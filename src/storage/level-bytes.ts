/** A position in the bytes of a LevelDB file, and what can be read from there. */

/** The bytes are not what they should be. */
export class MalformedFile extends Error {}

export class Cursor {
  readonly #bytes: Buffer;
  #at: number;
  readonly #end: number;

  constructor(bytes: Buffer, at = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#at = at;
    this.#end = end;
  }

  get at(): number {
    return this.#at;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#end;
  }

  /** Seven bits a byte, the lowest first. @throws MalformedFile */
  number(): number {
    let value = 0;
    for (let unit = 1; unit < Number.MAX_SAFE_INTEGER; unit *= 128) {
      if (this.isAtEnd) break;
      const byte = this.#bytes[this.#at++]!;
      value += (byte & 127) * unit;
      if (byte < 128 && Number.isSafeInteger(value)) return value;
    }
    throw new MalformedFile('a number has no end');
  }

  /** @throws MalformedFile */
  bytes(length: number): Buffer {
    if (length > this.#end - this.#at) throw new MalformedFile('a length reaches beyond the end');
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  /** Bytes that say how many they are. @throws MalformedFile */
  field(): Buffer {
    return this.bytes(this.number());
  }
}

/** The length of what LevelDB appends to a key: 7 bytes of sequence and 1 of kind. */
const TAG = 8;

/** The order in tables: by key, and of one key the newest first. @throws MalformedFile */
export function compareKeys(one: Buffer, other: Buffer): number {
  const [ends, otherEnds] = [one.length - TAG, other.length - TAG];
  if (ends < 0 || otherEnds < 0) throw new MalformedFile('a key is too short');
  return (
    one.compare(other, 0, otherEnds, 0, ends) ||
    Math.sign(Number(other.readBigUInt64LE(otherEnds) - one.readBigUInt64LE(ends)))
  );
}
