/** Frames and addresses: the few byte operations that every protocol needs. */
import type { Address, Frames } from './machine.ts';

export const EMPTY_FRAME: Uint8Array = new Uint8Array(0);

/**
 * Frames of 129 B to 8 KiB share zeromq's receive buffer: keeping one keeps all of it (measured:
 * 0.6 MB kept cost 55 MB). Larger ones own their memory and are kept as they are, uncopied.
 */
const COPY_LIMIT = 8 * 1024;

const utf8 = new TextEncoder();
const utf8Decoder = new TextDecoder();
// `ignoreBOM` keeps a byte order mark: a name with it and the one without it are two.
const strictUtf8Decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Up to this length ASCII is faster by hand than by a call into the runtime (35 ns, not 280). */
const SHORT = 64;

/** Text as UTF-8 bytes. */
export function encodeText(text: string): Uint8Array {
  const { length } = text;
  if (length > SHORT) return utf8.encode(text);
  const bytes = new Uint8Array(length);
  for (let index = 0; index < length; index++) {
    const code = text.charCodeAt(index);
    if (code > 127) return utf8.encode(text);
    bytes[index] = code;
  }
  return bytes;
}

/** UTF-8 bytes as text; malformed sequences become U+FFFD. */
export function decodeText(bytes: Uint8Array): string {
  if (bytes.length > SHORT) return utf8Decoder.decode(bytes);
  let text = '';
  for (const byte of bytes) {
    if (byte > 127) return utf8Decoder.decode(bytes);
    text += String.fromCharCode(byte);
  }
  return text;
}

/** UTF-8 bytes as text, or undefined if they are not UTF-8: for names that must not be ambiguous. */
export function decodeStrictText(bytes: Uint8Array): string | undefined {
  try {
    return strictUtf8Decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

/** A routing id as the string that keys Maps: one character a byte. */
export function toAddress(frame: Uint8Array): Address {
  return view(frame).toString('latin1');
}

/** The bytes of an address. */
export function fromAddress(address: Address): Uint8Array {
  return Buffer.from(address, 'latin1');
}

/** Total size of the frames in bytes. */
export function byteLength(frames: Frames): number {
  let bytes = 0;
  for (const frame of frames) bytes += frame.byteLength;
  return bytes;
}

/** What a frame costs beside its bytes: on the wire two, in memory about two hundred. */
const FRAME_OVERHEAD = 200;

/** What frames cost in memory: bounds count this, as frames without bytes are not free either. */
export function sizeOf(frames: Frames): number {
  return byteLength(frames) + FRAME_OVERHEAD * frames.length;
}

/**
 * The frames in a form that may outlive the call: small ones copied, large ones as they are.
 * @param owned frames of up to so many bytes have memory of their own already
 */
export function keepFrames(frames: Frames, owned = -1): Frames {
  if (frames.length === 1 && frames[0]!.byteLength <= owned) return frames;
  return frames.map((frame) => {
    const { byteLength: bytes } = frame;
    return bytes > owned && bytes <= COPY_LIMIT ? copyOf(frame) : frame;
  });
}

/** From this size on a copy comes from Node's pool of 8 KiB: in half the time, and keeps 16 times its size at most. */
const POOLED = 512;

function copyOf(frame: Uint8Array): Uint8Array {
  return frame.byteLength < POOLED ? new Uint8Array(frame) : Buffer.from(frame);
}

/** True if both hold the same bytes. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && Buffer.compare(a, b) === 0;
}

/** True if both hold the same frames. */
export function equalFrames(a: Frames, b: Frames): boolean {
  return a.length === b.length && a.every((frame, index) => equalBytes(frame, b[index]!));
}

function view(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
