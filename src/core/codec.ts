/**
 * The codec contract: what stands between frames and a machine's typed commands.
 *
 * One codec a room; inside it one encoder and decoder a dialect. A machine never sees a frame
 * layout, so a new dialect touches the codec alone. A dialect may pack many small commands into one
 * message: then `decode` delivers several, and `encode` appends to the message that is still open.
 */
import { sizeOf } from './frames.ts';
import type { Frames } from './machine.ts';

/** Frames of one message: more are refused, as each costs far more memory than it has bytes. */
export const FRAME_LIMIT = 4096;

/** Bytes that a message costs beside its frames, so that empty messages are not free to queue. */
export const MESSAGE_OVERHEAD = 64;

/** A message on its way to one peer. `bytes` counts towards the peer's bounded queue. */
export interface Outgoing {
  readonly frames: Frames;
  readonly bytes: number;
  /**
   * Of a dialect that packs: false while commands may be added until the end of the turn. A full one
   * leaves at once, so that its receiver works on it while the next one is packed.
   */
  readonly isFull?: boolean;
}

export interface Codec<Port extends string, Input, Output = Input> {
  /**
   * Decodes one message (without the routing id) and hands each command over. Total: any bytes are
   * fine. Returns why the message was refused, or undefined.
   */
  decode(port: Port, frames: Frames, deliver: (command: Input) => void): string | undefined;
  /**
   * Encodes `command` into a message of its own, or appends it to `open` (the last message queued
   * for the peer and not yet sent) and returns that same, now larger, message.
   */
  encode(port: Port, command: Output, open: Outgoing | undefined): Outgoing;
}

/** Hands the decoded command over; or returns, as `decode` does, why there is none. */
export function deliverOr<Input extends object>(
  decoded: Input | string,
  deliver: (command: Input) => void,
): string | undefined {
  if (typeof decoded === 'string') return decoded;
  deliver(decoded);
  return undefined;
}

/** The message that these frames are, in a dialect that does not pack. */
export function messageOf(frames: Frames): Outgoing {
  return { frames, bytes: sizeOf(frames) + MESSAGE_OVERHEAD };
}
