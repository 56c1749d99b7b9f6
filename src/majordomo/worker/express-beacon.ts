/** The beacon of a session as bytes that a thread can send, which knows nothing of the dialect. */
import { encode } from '../wire/express-codec.ts';
import type { SessionId } from '../wire/commands.ts';

/** Written in as many bytes as any number below it may take: seven bits a byte make 11 years. */
const WIDEST = 2 ** 35 - 1;
const WIDTH = 5;

/**
 * A whole message, whose number `stuck` takes the five bytes from `stuckAt` on: seven bits a byte,
 * lowest first, the highest bit set in all but the last. Leading zeros are allowed.
 */
export function beaconTemplate(session: SessionId): {
  readonly message: Uint8Array;
  readonly stuckAt: number;
} {
  const { frames } = encode(
    { type: 'beacon', dialect: 'express', session, stuck: WIDEST },
    undefined,
  );
  const message = new Uint8Array(frames[0]!);
  return { message, stuckAt: message.byteLength - WIDTH };
}
