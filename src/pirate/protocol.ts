/**
 * What is on the wire: Simple Pirate and Paranoid Pirate, 6/PPP.
 *
 *   client to queue, and back   […stack] '' body…
 *   queue to worker, and back   […stack] '' body…   (who writes no empty frame in a request gets none)
 *   worker to queue             0x01   READY
 *   both ways, paranoid alone   0x02   HEARTBEAT
 *
 * Simple Pirate has one more empty frame in front of what goes between queue and worker, as its workers
 * are REQ sockets. The first empty frame ends the stack. Decoding is total: whatever the bytes, the result
 * is one command or the reason why not.
 */
import { deliverOr, FRAME_LIMIT, messageOf, type Codec } from '../core/codec.ts';
import { EMPTY_FRAME } from '../core/frames.ts';
import type { Frames } from '../core/machine.ts';
import type {
  ClientInput,
  ClientOutput,
  HeartbeatCommand,
  PirateProtocol,
  QueueInput,
  QueueOutput,
  QueuePort,
  ReadyCommand,
  RequestCommand,
  WorkerInput,
  WorkerOutput,
} from './commands.ts';

/** What is said in one byte. */
const SIGNALS = { ready: 1, heartbeat: 2 } as const;

/** What a queue puts in front of a body at most: what it takes in, a worker must be able to read. */
const FRONT = 3;

/** A stack and the body behind it. */
interface Stacked {
  readonly stack: Frames;
  readonly body: Frames;
}

type BackendCommand = WorkerInput | WorkerOutput;

/** The codec of a queue: its frontend is the same in both protocols. */
export function queueCodec(protocol: PirateProtocol): Codec<QueuePort, QueueInput, QueueOutput> {
  return {
    decode: (port, frames, deliver) =>
      deliverOr(
        port === 'frontend' ? decodeRequest(frames) : decodeFromWorker(frames, protocol),
        deliver,
      ),
    encode: (_port, command) =>
      messageOf(
        command.type === 'reply'
          ? stacked(command.stack, command.body)
          : backendFrames(command, protocol),
      ),
  };
}

/** The codec of a worker. */
export function workerCodec(protocol: PirateProtocol): Codec<string, WorkerInput, WorkerOutput> {
  return {
    decode: (_port, frames, deliver) => deliverOr(decodeForWorker(frames, protocol), deliver),
    encode: (_port, command) => messageOf(backendFrames(command, protocol)),
  };
}

/** The codec of a client, which is the same in both protocols. */
export const clientCodec: Codec<string, ClientInput, ClientOutput> = {
  decode: (_port, frames, deliver) => {
    if (frames.length > FRAME_LIMIT) return 'too many frames';
    const decoded = decodeStacked(frames);
    if (typeof decoded === 'string') return decoded;
    deliver({ type: 'reply', ...decoded });
    return undefined;
  },
  encode: (_port, command) => messageOf(stacked(command.stack, command.body)),
};

function stacked(stack: Frames | undefined, body: Frames): Frames {
  return stack === undefined ? body : [...stack, EMPTY_FRAME, ...body];
}

function backendFrames(command: BackendCommand, protocol: PirateProtocol): Frames {
  const frames =
    command.type === 'ready' || command.type === 'heartbeat'
      ? [Uint8Array.of(SIGNALS[command.type])]
      : stacked(command.stack, command.body);
  return protocol === 'simple' ? [EMPTY_FRAME, ...frames] : frames;
}

// Decoding

function decodeRequest(frames: Frames): RequestCommand | string {
  if (frames.length > FRAME_LIMIT - FRONT) return 'too many frames';
  const decoded = decodeAsked(frames);
  return typeof decoded === 'string' ? decoded : { type: 'request', ...decoded };
}

function decodeFromWorker(frames: Frames, protocol: PirateProtocol): QueueInput | string {
  if (frames.length > FRAME_LIMIT) return 'too many frames';
  const inner = withoutFront(frames, protocol);
  if (typeof inner === 'string') return inner;
  const signal = signalIn(inner, protocol);
  if (signal !== undefined) return signal;
  const decoded = decodeStacked(inner);
  return typeof decoded === 'string' ? decoded : { type: 'result', ...decoded };
}

function decodeForWorker(frames: Frames, protocol: PirateProtocol): WorkerInput | string {
  if (frames.length > FRAME_LIMIT) return 'too many frames';
  const inner = withoutFront(frames, protocol);
  if (typeof inner === 'string') return inner;
  const signal = signalIn(inner, protocol);
  if (signal?.type === 'ready') return 'READY, but this is a worker';
  if (signal !== undefined) return signal;
  const decoded = decodeAsked(inner);
  return typeof decoded === 'string' ? decoded : { type: 'dispatch', ...decoded };
}

/** What stands behind the empty frame of a REQ socket, where the protocol has it. */
function withoutFront(frames: Frames, protocol: PirateProtocol): Frames | string {
  if (protocol === 'paranoid') return frames;
  return frames[0]?.byteLength === 0 ? frames.slice(1) : 'no empty frame in front';
}

function signalIn(
  frames: Frames,
  protocol: PirateProtocol,
): ReadyCommand | HeartbeatCommand | undefined {
  const [frame] = frames;
  if (frames.length !== 1 || frame?.byteLength !== 1) return undefined;
  if (frame[0] === SIGNALS.ready) return { type: 'ready' };
  if (frame[0] === SIGNALS.heartbeat && protocol === 'paranoid') return { type: 'heartbeat' };
  return undefined;
}

/** What is asked may come without stack and empty frame: then all of it is the body. */
function decodeAsked(
  frames: Frames,
): { readonly stack: Frames | undefined; readonly body: Frames } | string {
  const decoded = split(frames) ?? { stack: undefined, body: frames.slice() };
  return decoded.body.length === 0 ? 'no body' : decoded;
}

function decodeStacked(frames: Frames): Stacked | string {
  const decoded = split(frames);
  if (decoded === undefined) return 'no empty frame before the body';
  return decoded.body.length === 0 ? 'no body' : decoded;
}

/** Undefined: there is no empty frame. */
function split(frames: Frames): Stacked | undefined {
  const end = frames.findIndex(({ byteLength }) => byteLength === 0);
  return end === -1 ? undefined : { stack: frames.slice(0, end), body: frames.slice(end + 1) };
}
