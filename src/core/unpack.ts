/**
 * Reads the header frame of a message of a packed dialect. Total: what is not there, or not allowed,
 * becomes a `reason`, and every read after it gives nothing, so that only the end of a command needs to
 * ask.
 */
import { decodeStrictText, decodeText, EMPTY_FRAME } from './frames.ts';
import type { Frames } from './machine.ts';
import {
  COMMAND_LIMIT,
  FRAME_LIMIT,
  HEADER_LIMIT,
  INLINE_LIMIT,
  NO_FRAMES,
  NUMBERS_LIMIT,
  OWNED_FRAME,
  PROLOGUE,
  SESSION_LENGTH,
} from './pack-format.ts';

/** How many names are remembered, a power of two. */
const NAMES = 256;

interface Name {
  readonly bytes: Uint8Array;
  readonly text: string;
}

/** Names that were read before, so that a service's is decoded once, and one string ever after. */
const names: (Name | undefined)[] = Array.from({ length: NAMES }, () => undefined);

/** Its methods read one piece each, in the order in which they were written. */
export class Reader {
  readonly #frames: Frames;
  readonly #bytes: Buffer;
  #at: number;
  /** Where the command being read ends. */
  #end = 0;
  /** The tag of the field that was read last in it. */
  #tag = 0;
  /** The index of the last further frame that was referred to, and how many were. */
  #last = 0;
  #referred = 0;
  #reason: string | undefined;

  /** @param at where the first command begins: behind the tag */
  constructor(frames: Frames, at: number) {
    this.#at = at;
    const header = frames[0] ?? EMPTY_FRAME;
    this.#frames = frames;
    this.#bytes = Buffer.isBuffer(header)
      ? header
      : Buffer.from(header.buffer, header.byteOffset, header.byteLength);
  }

  /** Why the message is refused, if it is. */
  get reason(): string | undefined {
    return this.#reason;
  }

  /** True if there is one more command; it then has a type and its whole length. */
  get hasCommand(): boolean {
    return this.#at < this.#bytes.length;
  }

  /** True if there are bytes left in this command. */
  get hasField(): boolean {
    return this.#at < this.#end;
  }

  /** True if every further frame has been referred to. */
  get isComplete(): boolean {
    return this.#referred === this.#frames.length - 1;
  }

  /** The type of the next command; 0 if it is cut off. */
  type(): number {
    const bytes = this.#bytes;
    const at = this.#at;
    if (at + PROLOGUE > bytes.length) return this.refuse('a command is cut off');
    const length =
      bytes[at + 1]! * 0x1_00_00_00 +
      (bytes[at + 2]! << 16) +
      (bytes[at + 3]! << 8) +
      bytes[at + 4]!;
    this.#at = at + PROLOGUE;
    this.#tag = 0;
    this.#end = this.#at + length;
    if (this.#end > bytes.length) return this.refuse('a command is longer than its message');
    return bytes[at]!;
  }

  /** Goes on behind this command. */
  passOver(): void {
    this.#at = this.#end;
  }

  /** Refuses the message; only the first reason counts. Always 0, as something has to be read. */
  refuse(reason: string): 0 {
    this.#reason ??= reason;
    this.#at = this.#end;
    return 0;
  }

  byte(): number {
    if (this.#at >= this.#end) return this.refuse('a command is too short');
    return this.#bytes[this.#at++]!;
  }

  /** A whole number up to 2⁵³ − 1. */
  uint(): number {
    const first = this.byte();
    if (first < 128) return first;
    const second = this.byte();
    if (second < 128) return (first & 127) | (second << 7);
    const third = this.byte();
    const low = (first & 127) | ((second & 127) << 7) | ((third & 127) << 14);
    return third < 128 ? low : this.#longUint(low);
  }

  #longUint(low: number): number {
    let value = low;
    let factor = 2 ** 21;
    for (let index = 3; index < 8; index++) {
      const byte = this.byte();
      value += (byte & 127) * factor;
      if (byte < 128) {
        return value <= Number.MAX_SAFE_INTEGER ? value : this.refuse('a number is too large');
      }
      factor *= 128;
    }
    return this.refuse('a number is too large');
  }

  /** A number that may not be 0. */
  positive(): number {
    const value = this.uint();
    return value === 0 ? this.refuse('a number is 0') : value;
  }

  /** A name of 1 to 255 bytes of UTF-8; the same string as last time, if it was read before. */
  name(): string {
    const length = this.byte();
    const at = this.#at;
    if (!this.#take(length)) return '';
    if (length === 0) return this.#badText();
    const bytes = this.#bytes;
    const last = at + length - 1;
    const slot =
      (length * 31 + bytes[at]! * 7 + bytes[last]! * 3 + bytes[at + (length >> 1)]!) % NAMES;
    const known = names[slot];
    if (known !== undefined && isAt(bytes, at, length, known.bytes)) return known.text;
    const text = this.#text(at, length);
    if (text === undefined) return this.#badText();
    names[slot] = { bytes: new Uint8Array(bytes.subarray(at, at + length)), text };
    return text;
  }

  /** Bytes as text, one character each. */
  id(length: number): string {
    const at = this.#at;
    return this.#take(length) ? this.#bytes.toString('latin1', at, at + length) : '';
  }

  session(): string {
    return this.id(SESSION_LENGTH);
  }

  /** A text of 0 to 255 bytes of UTF-8: one of so many that remembering them is of no use. */
  text(): string {
    const length = this.byte();
    const at = this.#at;
    if (!this.#take(length)) return '';
    return this.#text(at, length) ?? this.#badText();
  }

  /** Four bytes, big-endian, not negative. */
  word(): number {
    const at = this.#at;
    if (!this.#take(4)) return 0;
    const bytes = this.#bytes;
    const low = (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
    return bytes[at]! * 0x1_00_00_00 + low;
  }

  /** Numbers, each larger than the one before. */
  ascending(): number[] {
    const count = this.uint();
    const numbers: number[] = [];
    if (count > NUMBERS_LIMIT) this.refuse('too many numbers');
    else if (count > this.#end - this.#at) this.refuse('a command is too short');
    if (this.#reason !== undefined) return numbers;
    let number = 0;
    for (let index = 0; index < count; index++) {
      const step = this.uint();
      if (step === 0 && index > 0) this.refuse('numbers do not ascend');
      number += step;
      if (number > Number.MAX_SAFE_INTEGER) this.refuse('a number is too large');
      if (this.#reason !== undefined) return numbers;
      numbers.push(number);
    }
    return numbers;
  }

  /** The frames of a body. */
  body(): Frames {
    const count = this.uint();
    if (count === 1) return [this.#frame()];
    if (count === 0) return NO_FRAMES;
    if (count > FRAME_LIMIT) this.refuse('too many frames');
    const frames: Uint8Array[] = [];
    for (let index = 0; index < count && this.#reason === undefined; index++) {
      frames.push(this.#frame());
    }
    return frames;
  }

  // Fields: their tag first, then their length and value.

  /** The tag of the next field. */
  field(): number {
    const tag = this.byte();
    if (tag <= this.#tag) return this.refuse('fields are not in order');
    this.#tag = tag;
    return tag;
  }

  /** A field of several pieces: where it ends, for `closeField` behind the last one. */
  openField(): number {
    const length = this.uint();
    if (this.#at + length > this.#end) this.refuse('a field is longer than its command');
    return this.#reason === undefined ? this.#at + length : this.#at;
  }

  closeField(end: number): void {
    if (this.#at !== end) this.refuse('a field has another length');
  }

  uintField(): number {
    const end = this.openField();
    const value = this.uint();
    return this.#at === end ? value : this.refuse('a field has another length');
  }

  sessionField(): string {
    const end = this.openField();
    const id = this.session();
    this.closeField(end);
    return id;
  }

  /** Text of 1 to `limit` bytes of UTF-8. */
  nameField(limit: number): string {
    const at = this.#value();
    const length = this.#at - at;
    if (length === 0 || length > limit) return this.#badText();
    return this.#text(at, length) ?? this.#badText();
  }

  /** Text for people: what is not UTF-8 becomes U+FFFD. */
  textField(limit: number): string {
    const at = this.#value();
    if (this.#at - at > limit) this.refuse('a text is too long');
    if (this.#reason !== undefined) return '';
    return this.#text(at, this.#at - at) ?? decodeText(this.#bytes.subarray(at, this.#at));
  }

  /** Bytes, at most so many, or the message is refused for this reason. */
  bytesField(limit: number, reason: string): Uint8Array {
    const at = this.#value();
    const length = this.#at - at;
    if (length > limit) this.refuse(reason);
    if (this.#reason !== undefined) return EMPTY_FRAME;
    const bytes = this.#view(at, length);
    // What is kept must not keep the whole message: small ones are copied by who keeps them.
    return length > INLINE_LIMIT ? bytes.slice() : bytes;
  }

  skipField(): void {
    this.#value();
  }

  /** Skips the fields that are left. */
  skipFields(): void {
    while (this.#at < this.#end) {
      this.field();
      this.#value();
    }
  }

  // Pieces

  #frame(): Uint8Array {
    const code = this.uint();
    if (code === 0) return this.#furtherFrame();
    const at = this.#at;
    if (code - 1 > INLINE_LIMIT) this.refuse('a frame inside the header is too large');
    if (!this.#take(code - 1)) return EMPTY_FRAME;
    return code - 1 <= OWNED_FRAME ? this.#copy(at, code - 1) : this.#view(at, code - 1);
  }

  /** A small copy costs no more than a view (25 ns), and whoever keeps it need not copy it. */
  #copy(at: number, length: number): Uint8Array {
    const copy = new Uint8Array(length);
    const bytes = this.#bytes;
    for (let index = 0; index < length; index++) copy[index] = bytes[at + index]!;
    return copy;
  }

  #furtherFrame(): Uint8Array {
    const index = this.uint();
    const length = this.uint();
    if (this.#reason !== undefined) return EMPTY_FRAME;
    const frame = this.#frames[index];
    if (index <= this.#last) this.refuse('further frames are not referred to in order');
    else if (frame === undefined) this.refuse('a further frame is not there');
    else if (frame.byteLength !== length) this.refuse('a further frame has another length');
    else {
      this.#last = index;
      this.#referred++;
      return frame;
    }
    return EMPTY_FRAME;
  }

  /** Passes a field's length and value; gives where the value begins. */
  #value(): number {
    const end = this.openField();
    const at = this.#at;
    this.#at = end;
    return at;
  }

  #take(length: number): boolean {
    if (this.#at + length > this.#end) this.refuse('a command is too short');
    if (this.#reason !== undefined) return false;
    this.#at += length;
    return true;
  }

  #view(at: number, length: number): Uint8Array {
    if (length === 0) return EMPTY_FRAME;
    return new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + at, length);
  }

  #text(at: number, length: number): string | undefined {
    const bytes = this.#bytes;
    const end = at + length;
    let bits = 0;
    for (let index = at; index < end; index++) bits |= bytes[index]!;
    return bits < 128
      ? bytes.toString('latin1', at, end)
      : decodeStrictText(bytes.subarray(at, end));
  }

  #badText(): '' {
    this.refuse('a name is empty, too long or not UTF-8');
    return '';
  }
}

/**
 * Reads a whole message and delivers the commands before the first bad one, each once. `read` gives the
 * command of a type, or undefined if there is none for this side. Returns why the message was refused;
 * commands that are not `isKnown`, of a later version, are skipped, and named at the end.
 */
export function unpack<Input>(
  frames: Frames,
  tag: Uint8Array,
  read: (reader: Reader, type: number) => Input | undefined,
  isKnown: (type: number) => boolean,
  deliver: (command: Input) => void,
): string | undefined {
  if (frames.length > FRAME_LIMIT + 1) return 'too many frames';
  if (frames[0]!.byteLength > HEADER_LIMIT) return 'the header is too large';
  const reader = new Reader(frames, tag.length);
  let skipped = false;
  for (let count = 0; reader.hasCommand; count++) {
    if (count === COMMAND_LIMIT) return 'too many commands';
    const type = reader.type();
    if (reader.reason !== undefined) return reader.reason;
    const command = read(reader, type);
    if (command === undefined) {
      if (isKnown(type)) return 'a command for another side';
      skipped = true;
      reader.passOver();
    } else {
      reader.skipFields();
      if (reader.reason !== undefined) return reader.reason;
      deliver(command);
    }
  }
  if (skipped) return 'unknown command';
  return reader.isComplete ? undefined : 'a further frame that nobody refers to';
}

function isAt(bytes: Uint8Array, at: number, length: number, known: Uint8Array): boolean {
  if (known.length !== length) return false;
  for (let index = 0; index < length; index++) {
    if (bytes[at + index] !== known[index]) return false;
  }
  return true;
}
