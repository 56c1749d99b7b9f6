/**
 * A record as bytes: its frames in an envelope that tells whether they are still what was written.
 *
 *     version (1 byte, 1) · checksum (4) · number of frames (4) · length of each frame (4 each) · frames
 *
 * The checksum is CRC-32 over the key and all that follows the checksum, begun with the version: so a flip
 * anywhere is found, and a sound value that turns up under another key. Numbers are in network order.
 * A later version keeps version and checksum as they are, so that it is told from a flipped one.
 */
import { crc32 } from 'node:zlib';
import type { Frames } from '../core/machine.ts';

const VERSION = 1;
const CHECKSUM_AT = 1;
const COUNT_AT = 5;
const LENGTHS_AT = 9;

/** Bytes that a record of these frames has. */
export function recordLength(frames: Frames): number {
  let length = LENGTHS_AT + 4 * frames.length;
  for (const frame of frames) length += frame.byteLength;
  return length;
}

/** The bytes to store under `key`. They are a copy: the frames may change afterwards. */
export function encodeRecord(key: string, frames: Frames): Buffer {
  const record = Buffer.allocUnsafe(recordLength(frames));
  record[0] = VERSION;
  record.writeUInt32BE(frames.length, COUNT_AT);
  let lengthAt = LENGTHS_AT;
  let frameAt = LENGTHS_AT + 4 * frames.length;
  for (const frame of frames) {
    record.writeUInt32BE(frame.byteLength, lengthAt);
    record.set(frame, frameAt);
    lengthAt += 4;
    frameAt += frame.byteLength;
  }
  record.writeInt32BE(trueChecksum(key, record), CHECKSUM_AT);
  return record;
}

/** Why `bytes` are not what was written under `key`; undefined if they are. */
export function recordFault(key: string, bytes: Uint8Array): string | undefined {
  if (bytes.byteLength < LENGTHS_AT)
    return `it has ${bytes.byteLength} bytes, too few for a record`;
  if (trueChecksum(key, bytes) !== checksumOf(bytes)) return 'its checksum is wrong';
  if (bytes[0] !== VERSION) return `its version is ${bytes[0]}, not ${VERSION}`;
  return framesEnd(asBuffer(bytes)) === bytes.byteLength ? undefined : 'its lengths do not add up';
}

/** True of a record of a later version of this library. */
export function isNewerRecord(key: string, bytes: Uint8Array): boolean {
  return (
    bytes.byteLength >= LENGTHS_AT &&
    bytes[0]! > VERSION &&
    trueChecksum(key, bytes) === checksumOf(bytes)
  );
}

/** The frames of a sound record: views of it, uncopied. */
export function decodeRecord(bytes: Uint8Array): Frames {
  const record = asBuffer(bytes);
  const frames: Uint8Array[] = [];
  let frameAt = LENGTHS_AT + 4 * record.readUInt32BE(COUNT_AT);
  for (let lengthAt = LENGTHS_AT, end = frameAt; lengthAt < end; lengthAt += 4) {
    const length = record.readUInt32BE(lengthAt);
    frames.push(record.subarray(frameAt, frameAt + length));
    frameAt += length;
  }
  return frames;
}

/**
 * The checksum that a record carries; 0 if it is too short for one. It is a signed number: those take no
 * memory of their own in a Map.
 */
export function checksumOf(bytes: Uint8Array): number {
  return bytes.byteLength < LENGTHS_AT ? 0 : asBuffer(bytes).readInt32BE(CHECKSUM_AT);
}

/** The checksum that a record under `key` should carry if all else in it is right. */
export function trueChecksum(key: string, bytes: Uint8Array): number {
  return crc32(bytes.subarray(COUNT_AT), crc32(key, bytes[0])) | 0;
}

/** Where the last frame ends by the lengths alone; NaN if these reach beyond the record. */
function framesEnd(record: Buffer): number {
  let end = LENGTHS_AT + 4 * record.readUInt32BE(COUNT_AT);
  if (end > record.byteLength) return NaN;
  for (let lengthAt = LENGTHS_AT, lengthsEnd = end; lengthAt < lengthsEnd; lengthAt += 4) {
    end += record.readUInt32BE(lengthAt);
  }
  return end;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
