/** What users pass as a body, and the frames it becomes. */
import { InvalidArgumentError } from './errors.ts';
import { EMPTY_FRAME, encodeText } from './frames.ts';
import type { Frames } from './machine.ts';

/** Text becomes one UTF-8 frame, bytes one frame, an array one frame an element (none: one empty frame). */
export type Body = string | Uint8Array | readonly (string | Uint8Array)[];

/** Frames of one body, which with those in front of it still make a message that peers accept. */
export const BODY_LIMIT = 4000;

/**
 * The frames of a body. Bytes are not copied: do not change them after the call.
 * @throws InvalidArgumentError `ERR_INVALID_BODY` if it is anything but text, bytes or an array of them
 */
export function framesOf(body: unknown): Frames {
  if (Array.isArray(body) && body.length > BODY_LIMIT) {
    const message = `a body has at most ${BODY_LIMIT} frames, not ${body.length}: join some of them`;
    throw new InvalidArgumentError('ERR_INVALID_BODY', message);
  }
  if (Array.isArray(body)) return body.length === 0 ? [EMPTY_FRAME] : Array.from(body, frameOf);
  return [frameOf(body)];
}

function frameOf(part: unknown): Uint8Array {
  if (typeof part === 'string') return encodeText(part);
  if (part instanceof Uint8Array) return part;
  const kind = part === null ? 'null' : Array.isArray(part) ? 'an array' : typeof part;
  throw new InvalidArgumentError(
    'ERR_INVALID_BODY',
    `a body is text, a Uint8Array, or an array of these, not ${kind}; for objects use JSON.stringify`,
  );
}
