/**
 * A pack: a message of a packed dialect that is still open, and grows by one command after the other.
 *
 * It writes by index into one buffer that grows, so that a command costs its bytes and nothing
 * else. What was once written never changes, so `frames` may be read at any time and stays right for
 * what it was then. A pack's buffer is never used again: zeromq sends from it without a copy.
 */
import { MESSAGE_OVERHEAD, type Outgoing } from './codec.ts';
import type { Frames } from './machine.ts';
import { FRAME_LIMIT, HEADER_LIMIT, LARGE_FRAME, PROLOGUE, SESSION_LENGTH } from './pack-format.ts';

/**
 * A pack begins with room for as much as the one before it took, and grows by this factor: measured,
 * fewer copies are cheaper.
 */
const LEAST_CAPACITY = 256;
const GROWTH = 4;
let expected = LEAST_CAPACITY;

/** No command is added to a pack of this size: the last one mostly still fits into 64 KiB. */
const PACK_SIZE = 60 * 1024;

/**
 * Nor to one of so many. A full pack leaves at once: were a window of 1,000 requests one pack, each side
 * would wait for the other (measured: 129,000 requests/s became 288,000).
 */
const PACK_COMMANDS = 256;

/** Bytes that each further frame costs beside its bytes. */
const FRAME_OVERHEAD = 200;

/** Bytes of the longest varint. */
const VARINT = 8;

/** Up to this length a loop is faster than a call into the runtime. */
const SHORT = 64;

const MAX = Number.MAX_SAFE_INTEGER;

/** Its methods write one piece each; `begin` and `finish` enclose a command. */
export class Pack implements Outgoing {
  #buffer = Buffer.allocUnsafe(expected);
  #end: number;
  #begin = 0;
  #commands = 0;
  #large: Uint8Array[] | undefined;
  #largeBytes = MESSAGE_OVERHEAD;

  /** @param tag what each message of the dialect begins with */
  constructor(tag: Uint8Array) {
    for (let index = 0; index < tag.length; index++) this.#buffer[index] = tag[index]!;
    this.#end = tag.length;
  }

  /** The message as it is now. */
  get frames(): Frames {
    expected = Math.max(LEAST_CAPACITY, this.#end);
    const header = this.#buffer.subarray(0, this.#end);
    return this.#large === undefined ? [header] : [header, ...this.#large];
  }

  /** What it costs a queue, in bytes. */
  get bytes(): number {
    return this.#end + this.#largeBytes;
  }

  /** It leaves at once: while its receiver works on it, the next one is packed. */
  get isFull(): boolean {
    return this.#commands >= PACK_COMMANDS || this.bytes >= PACK_SIZE;
  }

  /** True if a command with a body of so many frames should be added to it. */
  takes(frames: number): boolean {
    if (this.isFull) return false;
    return this.#large === undefined || this.#large.length + frames <= FRAME_LIMIT;
  }

  /** A command of this type begins. */
  begin(type: number): void {
    this.#room(PROLOGUE);
    this.#begin = this.#end;
    this.#commands++;
    this.#buffer[this.#end] = type;
    this.#end += PROLOGUE;
  }

  /** The command is complete. */
  finish(): void {
    const length = this.#end - this.#begin - PROLOGUE;
    const buffer = this.#buffer;
    buffer[this.#begin + 1] = length >>> 24;
    buffer[this.#begin + 2] = length >>> 16;
    buffer[this.#begin + 3] = length >>> 8;
    buffer[this.#begin + 4] = length;
  }

  byte(value: number): void {
    this.#room(1);
    this.#buffer[this.#end++] = value;
  }

  /** A whole number. What the wire cannot say becomes the nearest that it can; 0 for no number. */
  uint(value: number): void {
    this.#room(VARINT);
    let rest = value;
    if (rest > MAX) rest = MAX;
    else if (!(rest >= 0)) rest = 0;
    else if (rest % 1 !== 0) rest = Math.ceil(rest);
    while (rest > 0x0fff_ffff) {
      this.#buffer[this.#end++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    while (rest > 127) {
      this.#buffer[this.#end++] = (rest & 127) | 128;
      rest >>>= 7;
    }
    this.#buffer[this.#end++] = rest;
  }

  /** Text as its length in one byte, and UTF-8. That it has 255 bytes at most is the caller's to know. */
  name(text: string): void {
    this.#room(1 + 3 * text.length);
    const at = this.#end++;
    this.#text(text);
    this.#buffer[at] = this.#end - at - 1;
  }

  /** Characters, each a byte, as many as there have to be. */
  id(text: string, length: number): void {
    this.#room(length);
    for (let index = 0; index < length; index++) {
      this.#buffer[this.#end++] = index < text.length ? text.charCodeAt(index) : 0;
    }
  }

  /** 16 characters, each a byte. */
  session(id: string): void {
    this.id(id, SESSION_LENGTH);
  }

  /** Four bytes, big-endian. */
  word(value: number): void {
    this.#room(4);
    const buffer = this.#buffer;
    const at = this.#end;
    buffer[at] = value >>> 24;
    buffer[at + 1] = value >>> 16;
    buffer[at + 2] = value >>> 8;
    buffer[at + 3] = value;
    this.#end = at + 4;
  }

  /** Ascending numbers: how many, the first, then how much each is more than the one before. */
  ascending(numbers: readonly number[]): void {
    this.uint(numbers.length);
    let before = 0;
    for (const number of numbers) {
      this.uint(number - before);
      before = number;
    }
  }

  /** The frames of a body: small ones here, large ones as further frames. */
  body(frames: Frames): void {
    const count = frames.length;
    this.uint(count);
    for (let index = 0; index < count; index++) this.#frame(frames[index]!);
  }

  // Fields

  uintField(tag: number, value: number): void {
    this.#room(2);
    this.#buffer[this.#end++] = tag;
    const at = this.#end++;
    this.uint(value);
    this.#buffer[at] = this.#end - at - 1;
  }

  /** A field of several pieces, 127 bytes of them at most: `closeField` behind the last one. */
  openField(tag: number): number {
    this.#room(2);
    this.#buffer[this.#end] = tag;
    this.#end += 2;
    return this.#end;
  }

  /** @param start what `openField` gave */
  closeField(start: number): void {
    this.#buffer[start - 1] = this.#end - start;
  }

  textField(tag: number, text: string): void {
    this.#room(1 + VARINT + 3 * text.length);
    const length = isShortAscii(text) ? text.length : Buffer.byteLength(text);
    this.#buffer[this.#end++] = tag;
    this.uint(length);
    this.#text(text);
  }

  sessionField(tag: number, id: string): void {
    this.byte(tag);
    this.byte(SESSION_LENGTH);
    this.session(id);
  }

  bytesField(tag: number, bytes: Uint8Array): void {
    this.byte(tag);
    this.uint(bytes.length);
    this.#bytes(bytes);
  }

  // Pieces

  #frame(frame: Uint8Array): void {
    const length = frame.length;
    if (length < LARGE_FRAME && this.#end < HEADER_LIMIT / 2) {
      this.uint(length + 1);
      this.#bytes(frame);
      return;
    }
    this.#large ??= [];
    this.#large.push(frame);
    this.#largeBytes += length + FRAME_OVERHEAD;
    this.uint(0);
    this.uint(this.#large.length);
    this.uint(length);
  }

  #bytes(bytes: Uint8Array): void {
    const length = bytes.length;
    this.#room(length);
    const buffer = this.#buffer;
    const at = this.#end;
    if (length > SHORT) buffer.set(bytes, at);
    else for (let index = 0; index < length; index++) buffer[at + index] = bytes[index]!;
    this.#end = at + length;
  }

  /** Writes the text where room has been made for three bytes a character. */
  #text(text: string): void {
    if (!isShortAscii(text)) {
      this.#end += this.#buffer.write(text, this.#end);
      return;
    }
    for (let index = 0; index < text.length; index++) {
      this.#buffer[this.#end++] = text.charCodeAt(index);
    }
  }

  #room(bytes: number): void {
    if (this.#end + bytes > this.#buffer.length) this.#grow(bytes);
  }

  #grow(bytes: number): void {
    let capacity = this.#buffer.length * GROWTH;
    while (capacity < this.#end + bytes) capacity *= GROWTH;
    const larger = Buffer.allocUnsafe(capacity);
    larger.set(this.#buffer.subarray(0, this.#end));
    this.#buffer = larger;
  }
}

function isShortAscii(text: string): boolean {
  if (text.length > SHORT) return false;
  for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) > 127) return false;
  return true;
}
