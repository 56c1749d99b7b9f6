/**
 * What is on the wire: 7/MDP (0.1) and 18/MDP (0.2), and beside them express.
 *
 *   0.1  client REQUEST, REPLY   '' MDPC01 service body…
 *        worker                  '' MDPW01 number …
 *   0.2  client                  MDPC02 number service body…
 *        worker                  MDPW02 number …
 *
 * Both are one grammar with another prefix and other numbers: that is the table below. Decoding is
 * total: whatever the bytes, the result is one command or the reason why not. A message that begins
 * with the tag of express is a pack of commands: see `express-codec.ts`.
 */
import { deliverOr, FRAME_LIMIT, messageOf, type Codec, type Outgoing } from '../../core/codec.ts';
import { decodeStrictText, EMPTY_FRAME, encodeText, equalBytes } from '../../core/frames.ts';
import type { Frames } from '../../core/machine.ts';
import type {
  BrokerInput,
  BrokerOutput,
  ClientInput,
  ClientOutput,
  Command,
  ReplyCommand,
  RequestCommand,
  StockDialect,
  WorkerInput,
  WorkerOutput,
} from './commands.ts';
import * as express from './express-codec.ts';

/** A service name is 1 to this many bytes of UTF-8. */
export const SERVICE_NAME_LIMIT = 255;

/** The commands that stock MDP has. */
type StockCommand = Exclude<Command, { readonly dialect: 'express' }>;

type WorkerVerb = 'ready' | 'dispatch' | 'partial' | 'final' | 'heartbeat' | 'disconnect';
type ClientVerb = 'request' | 'partial' | 'final';

interface Grammar {
  readonly dialect: StockDialect;
  /** 0.1 has an empty frame in front, so that REQ sockets can take part. */
  readonly delimited: boolean;
  readonly client: Uint8Array;
  readonly worker: Uint8Array;
  /** The numbers of client commands; 0.1 has none, its direction says what is meant. */
  readonly clientNumbers: Readonly<Record<ClientVerb, number>> | undefined;
  /** The numbers of worker commands; 0 where the dialect has no such command. */
  readonly workerNumbers: Readonly<Record<WorkerVerb, number>>;
}

const GRAMMARS: Readonly<Record<StockDialect, Grammar>> = {
  'mdp0.1': {
    dialect: 'mdp0.1',
    delimited: true,
    client: encodeText('MDPC01'),
    worker: encodeText('MDPW01'),
    clientNumbers: undefined,
    workerNumbers: { ready: 1, dispatch: 2, partial: 0, final: 3, heartbeat: 4, disconnect: 5 },
  },
  'mdp0.2': {
    dialect: 'mdp0.2',
    delimited: false,
    client: encodeText('MDPC02'),
    worker: encodeText('MDPW02'),
    clientNumbers: { request: 1, partial: 2, final: 3 },
    workerNumbers: { ready: 1, dispatch: 2, partial: 3, final: 4, heartbeat: 5, disconnect: 6 },
  },
};

/** The port on which a worker asks, as a client of 0.1, whether the broker speaks express. */
const PROBE = 'probe';

/** The port on which a passive broker follows the active one. */
const ACTIVE = 'active';

/** The codec of a broker, whose one socket speaks every dialect; to the other of a pair it has one more. */
export const brokerCodec: Codec<string, BrokerInput, BrokerOutput> = {
  decode: (port, frames, deliver) => {
    const isExpress = express.isExpress(frames);
    if (port === ACTIVE) {
      return isExpress ? express.decodeForFollower(frames, deliver) : 'unknown header';
    }
    return isExpress
      ? express.decodeForBroker(frames, deliver)
      : deliverOr(decodeForBroker(frames), deliver);
  },
  encode: (_port, command, open) => encode(command, open),
};

/** The codec of a worker. */
export const workerCodec: Codec<string, WorkerInput, WorkerOutput> = {
  decode: (port, frames, deliver) => {
    if (express.isExpress(frames)) return express.decodeForWorker(frames, deliver);
    const decoded = port === PROBE ? decodeForClient(frames) : decodeForWorker(frames);
    return deliverOr(decoded, deliver);
  },
  encode: (_port, command, open) => encode(command, open),
};

/** The codec of a client. */
export const clientCodec: Codec<string, ClientInput, ClientOutput> = {
  decode: (_port, frames, deliver) =>
    express.isExpress(frames)
      ? express.decodeForClient(frames, deliver)
      : deliverOr(decodeForClient(frames), deliver),
  encode: (_port, command, open) => encode(command, open),
};

/** Encodes one command: in express into the open message, in other dialects as one of its own. */
export function encode(command: Command, open?: Outgoing): Outgoing {
  if (command.dialect === 'express') return express.encode(command, open);
  return messageOf(framesFor(command, GRAMMARS[command.dialect]));
}

function framesFor(command: StockCommand, grammar: Grammar): Frames {
  switch (command.type) {
    case 'request':
      return [...clientHead(grammar, 'request'), encodeText(command.service), ...command.body];
    case 'reply': {
      const head = clientHead(grammar, command.final ? 'final' : 'partial');
      return [...head, encodeText(command.service), ...command.body];
    }
    case 'ready':
      return [...workerHead(grammar, 'ready'), encodeText(command.service)];
    case 'dispatch':
      return enveloped(workerHead(grammar, 'dispatch'), command.envelope, command.body);
    case 'result': {
      const head = workerHead(grammar, command.final ? 'final' : 'partial');
      return enveloped(head, command.envelope, command.body);
    }
    case 'heartbeat':
    case 'disconnect':
      return workerHead(grammar, command.type);
  }
}

function clientHead(grammar: Grammar, verb: ClientVerb): Uint8Array[] {
  const numbers = grammar.clientNumbers;
  if (numbers === undefined) return [EMPTY_FRAME, grammar.client];
  return [grammar.client, Uint8Array.of(numbers[verb])];
}

function workerHead(grammar: Grammar, verb: WorkerVerb): Uint8Array[] {
  const number = Uint8Array.of(grammar.workerNumbers[verb]);
  return grammar.delimited ? [EMPTY_FRAME, grammar.worker, number] : [grammar.worker, number];
}

function enveloped(head: Uint8Array[], envelope: Frames, body: Frames): Frames {
  return [...head, ...envelope, EMPTY_FRAME, ...body];
}

// Decoding

/** What stands in front of a message: whose side of which dialect, and where the rest begins. */
interface Head {
  readonly grammar: Grammar;
  readonly side: 'client' | 'worker';
  readonly rest: number;
}

function readHead(frames: Frames): Head | string {
  if (frames.length > FRAME_LIMIT) return 'too many frames';
  const delimited = frames[0]?.byteLength === 0;
  const header = frames[delimited ? 1 : 0];
  if (header === undefined) return 'no header';
  const grammar = GRAMMARS[delimited ? 'mdp0.1' : 'mdp0.2'];
  const rest = delimited ? 2 : 1;
  if (equalBytes(header, grammar.client)) return { grammar, side: 'client', rest };
  if (equalBytes(header, grammar.worker)) return { grammar, side: 'worker', rest };
  return 'unknown header';
}

function decodeForBroker(frames: Frames): BrokerInput | string {
  const head = readHead(frames);
  if (typeof head === 'string') return head;
  return head.side === 'client' ? decodeRequest(frames, head) : decodeFromWorker(frames, head);
}

function decodeRequest(frames: Frames, head: Head): RequestCommand | string {
  const { dialect, clientNumbers } = head.grammar;
  let at = head.rest;
  if (clientNumbers !== undefined) {
    if (numberIn(frames[at++]) !== clientNumbers.request) return 'unknown client command';
  }
  const service = serviceIn(frames[at]);
  if (service === undefined) return 'bad service name';
  if (frames.length === at + 1) return 'no body';
  return { type: 'request', dialect, service, body: frames.slice(at + 1) };
}

function decodeFromWorker(frames: Frames, head: Head): BrokerInput | string {
  const { dialect, workerNumbers } = head.grammar;
  const at = head.rest + 1;
  switch (numberIn(frames[head.rest])) {
    case workerNumbers.ready: {
      const service = serviceIn(frames[at]);
      if (service === undefined) return 'bad service name';
      return frames.length === at + 1 ? { type: 'ready', dialect, service } : 'frames after READY';
    }
    case workerNumbers.heartbeat:
      return frames.length === at ? { type: 'heartbeat', dialect } : 'frames after HEARTBEAT';
    case workerNumbers.disconnect:
      return frames.length === at ? { type: 'disconnect', dialect } : 'frames after DISCONNECT';
    case workerNumbers.final:
      return withEnvelope(frames, at, 'result', dialect, true);
    case workerNumbers.partial:
      // Number 0, where the dialect has no partials, was never sent by anyone who speaks it.
      if (workerNumbers.partial === 0) return 'unknown worker command';
      return withEnvelope(frames, at, 'result', dialect, false);
    default:
      return 'unknown worker command';
  }
}

function decodeForWorker(frames: Frames): WorkerInput | string {
  const head = readHead(frames);
  if (typeof head === 'string') return head;
  if (head.side !== 'worker') return 'a client command, but this is a worker';
  const { dialect, workerNumbers } = head.grammar;
  const at = head.rest + 1;
  switch (numberIn(frames[head.rest])) {
    case workerNumbers.dispatch:
      return withEnvelope(frames, at, 'dispatch', dialect, true);
    case workerNumbers.heartbeat:
      return frames.length === at ? { type: 'heartbeat', dialect } : 'frames after HEARTBEAT';
    case workerNumbers.disconnect:
      return frames.length === at ? { type: 'disconnect', dialect } : 'frames after DISCONNECT';
    default:
      return 'unknown worker command';
  }
}

function decodeForClient(frames: Frames): ReplyCommand | string {
  const head = readHead(frames);
  if (typeof head === 'string') return head;
  if (head.side !== 'client') return 'a worker command, but this is a client';
  const { dialect, clientNumbers } = head.grammar;
  let at = head.rest;
  let final = true;
  if (clientNumbers !== undefined) {
    const number = numberIn(frames[at++]);
    if (number !== clientNumbers.partial && number !== clientNumbers.final) {
      return 'unknown client command';
    }
    final = number === clientNumbers.final;
  }
  const service = serviceIn(frames[at]);
  if (service === undefined) return 'bad service name';
  if (frames.length === at + 1) return 'no body';
  return { type: 'reply', dialect, service, body: frames.slice(at + 1), final };
}

/** `address… '' body…`: everything up to the first empty frame is the envelope. */
function withEnvelope<Type extends 'dispatch' | 'result'>(
  frames: Frames,
  from: number,
  type: Type,
  dialect: StockDialect,
  final: boolean,
): { type: Type; dialect: StockDialect; envelope: Frames; body: Frames; final: boolean } | string {
  let end = from;
  while (end < frames.length && frames[end]!.byteLength > 0) end++;
  if (end === from || end === frames.length) return 'broken envelope';
  if (end + 1 === frames.length) return 'no body';
  return { type, dialect, envelope: frames.slice(from, end), body: frames.slice(end + 1), final };
}

function numberIn(frame: Uint8Array | undefined): number | undefined {
  return frame?.byteLength === 1 ? frame[0] : undefined;
}

function serviceIn(frame: Uint8Array | undefined): string | undefined {
  if (frame === undefined || frame.byteLength === 0 || frame.byteLength > SERVICE_NAME_LIMIT) {
    return undefined;
  }
  return decodeStrictText(frame);
}
