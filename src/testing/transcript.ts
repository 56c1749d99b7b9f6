/**
 * What happened, twice: as lines for people (a `Transcript`, only when asked for) and as one running
 * number (a `TraceHash`, always), so that "same seed, same history" can be checked in every run.
 */
import type { Frames, Instant } from '../core/machine.ts';

/** Shows a message in a few words; the pattern under test knows how to read its frames. */
export type FormatFrames = (frames: Frames, from: string, to: string) => string;

/** Records one readable line for each thing that happened. */
export class Transcript {
  readonly #lines: string[] = [];
  readonly #format: FormatFrames;

  constructor(format: FormatFrames = showFrames) {
    this.#format = format;
  }

  get lines(): readonly string[] {
    return this.#lines;
  }

  /** `[  12.345] worker-1 → broker  HEARTBEAT` */
  message(at: Instant, from: string, to: string, frames: Frames): void {
    this.event(at, `${from} → ${to}  ${this.#format(frames, from, to)}`);
  }

  event(at: Instant, text: string): void {
    this.#lines.push(`[${at.toFixed(3).padStart(8)}] ${text}`);
  }

  toString(): string {
    return this.#lines.join('\n');
  }
}

/** Frames as printable ASCII with escapes, or their length when they are long: `[HELLO][\x01]`. */
export function showFrames(frames: Frames): string {
  return frames.map((frame) => `[${showBytes(frame)}]`).join('');
}

function showBytes(bytes: Uint8Array): string {
  if (bytes.length > 32) return `${bytes.length} bytes`;
  let shown = '';
  for (const byte of bytes) {
    const isPrintable = byte >= 0x20 && byte < 0x7f;
    shown += isPrintable ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return shown;
}

const PRIME = 0x01000193;

/** Bytes of each frame that enter the hash, at its beginning and at its end. */
const SAMPLE = 48;

const double = new Float64Array(1);
const words = new Uint32Array(double.buffer);

/** A running 32-bit FNV hash. */
export class TraceHash {
  #hash = 0x811c9dc5;

  /** Eight hexadecimal digits. */
  get digest(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, '0');
  }

  addNumber(value: number): void {
    double[0] = value;
    this.#mix(words[0]!);
    this.#mix(words[1]!);
  }

  addText(text: string): void {
    this.#mix(text.length);
    for (let index = 0; index < text.length; index++) this.#mix(text.charCodeAt(index));
  }

  /** Frames enter with their lengths and, if they are long, with their first and last bytes. */
  addFrames(frames: Frames): void {
    this.#mix(frames.length);
    for (const frame of frames) {
      const length = frame.length;
      this.#mix(length);
      const head = Math.min(length, SAMPLE);
      for (let index = 0; index < head; index++) this.#mix(frame[index]!);
      for (let index = Math.max(head, length - SAMPLE); index < length; index++) {
        this.#mix(frame[index]!);
      }
    }
  }

  #mix(word: number): void {
    const mixed = Math.imul(this.#hash ^ word, PRIME);
    this.#hash = mixed ^ (mixed >>> 15);
  }
}
