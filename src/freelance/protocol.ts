/**
 * What is on the wire: 10/FLP.
 *
 *   PING     PING               PONG   PONG
 *   request  control body…      reply  control body…
 *
 * One frame is a ping or a pong, two or more are a request or a reply: nothing else tells them apart, so
 * a control frame may hold any bytes, `PING` among them. Decoding is total: whatever the bytes, the
 * result is one command or the reason why not.
 */
import { FRAME_LIMIT, messageOf, type Codec } from '../core/codec.ts';
import { encodeText, equalBytes } from '../core/frames.ts';
import type { Frames } from '../core/machine.ts';
import type {
  ClientInput,
  ClientOutput,
  ServerInput,
  ServerOutput,
  PongCommand,
} from './commands.ts';

const PING = encodeText('PING');
const PONG = encodeText('PONG');

/** Always the same one: a peer that pings and does not read has one of them waiting, not millions. */
const PONG_MESSAGE = messageOf([PONG]);

/** The codec of a server: hears pings and requests, says pongs and replies. */
export const serverCodec: Codec<string, ServerInput, ServerOutput> = {
  decode: (_port, frames, deliver) => {
    if (isOnly(frames, PING)) deliver({ type: 'ping' });
    else if (isPair(frames)) deliver({ type: 'request', ...pairIn(frames) });
    else return complaintAbout(frames);
    return undefined;
  },
  encode: (_port, command) =>
    command.type === 'pong' ? PONG_MESSAGE : messageOf(framesFor(command)),
};

/** The codec of a client: hears pongs and replies, says pings and requests. */
export const clientCodec: Codec<string, ClientInput, ClientOutput> = {
  decode: (_port, frames, deliver) => {
    if (isOnly(frames, PONG)) deliver({ type: 'pong' });
    else if (isPair(frames)) deliver({ type: 'reply', ...pairIn(frames) });
    else return complaintAbout(frames);
    return undefined;
  },
  encode: (_port, command) => messageOf(framesFor(command)),
};

function framesFor(command: Exclude<ServerOutput, PongCommand> | ClientOutput): Frames {
  return command.type === 'ping' ? [PING] : [command.control, ...command.body];
}

function isOnly(frames: Frames, word: Uint8Array): boolean {
  return frames.length === 1 && equalBytes(frames[0]!, word);
}

/** True for a control frame and a body of at least one. */
function isPair(frames: Frames): boolean {
  return frames.length >= 2 && frames.length <= FRAME_LIMIT;
}

function pairIn(frames: Frames): { control: Uint8Array; body: Frames } {
  return { control: frames[0]!, body: frames.slice(1) };
}

function complaintAbout(frames: Frames): string {
  if (frames.length > FRAME_LIMIT) return 'too many frames';
  return frames.length === 0 ? 'no frames' : 'one frame that is no command';
}
