/**
 * What our packed dialects have in common: how a message is made of commands, and its bounds.
 *
 *   message  header frame, further frames…
 *   header   tag, command…
 *   command  type (1 byte), length of the rest (4 bytes, big-endian), fixed fields, body, fields…
 *   body     number of frames, then for each: length + 1 and its bytes, or 0, index and length of a
 *            further frame
 *   field    tag (1 byte), length, value; tags ascend, unknown ones are skipped
 *
 * All numbers but the length of a command are varints: seven bits a byte, lowest first.
 */
import type { Frames } from './machine.ts';

/** Bytes of type and length in front of each command. */
export const PROLOGUE = 5;

/** Bytes of a session id. */
export const SESSION_LENGTH = 16;

/** Frames of one body; as many further frames may follow the header of one message. */
export { FRAME_LIMIT } from './codec.ts';

/** Bytes of a header frame. */
export const HEADER_LIMIT = 1024 * 1024;

/** Commands of one message. */
export const COMMAND_LIMIT = 65_536;

/** Body frames from this size on travel as frames of their own, untouched. */
export const LARGE_FRAME = 4096;

/**
 * Bytes of a frame inside a header: what is kept of it is then copied (`keepFrames`), and never keeps
 * the whole header in memory.
 */
export const INLINE_LIMIT = 8 * 1024;

/** Frames inside a header of up to so many bytes are read into memory of their own. */
export const OWNED_FRAME = 64;

/** Numbers of one ascending list. */
export const NUMBERS_LIMIT = 65_536;

/** What a body without frames is read as. */
export const NO_FRAMES: Frames = [];

/** True if this is a message of the dialect with that tag, well formed or not. */
export function isTagged(frames: Frames, tag: Uint8Array): boolean {
  const header = frames[0];
  if (header === undefined || header.length < tag.length) return false;
  for (let index = 0; index < tag.length; index++) {
    if (header[index] !== tag[index]) return false;
  }
  return true;
}
