/**
 * Express: commands as packed bytes, and back. Many commands make one ZeroMQ message, as ZeroMQ's
 * price is by message and frame and not by byte. `express-format.ts` shows the grammar.
 *
 * Decoding is total: whatever the bytes, the commands before the first bad one are delivered, each
 * once, and a reason is returned. Commands of a later version are skipped, and named at the end.
 */
import type { Outgoing } from '../../core/codec.ts';
import type { Epoch } from '../../core/election.ts';
import type { Frames } from '../../core/machine.ts';
import { isTagged, NO_FRAMES } from '../../core/pack-format.ts';
import { Pack } from '../../core/pack.ts';
import { unpack, type Reader } from '../../core/unpack.ts';
import type {
  BrokerInput,
  ClientInput,
  Command,
  DispatchCommand,
  FollowerInput,
  ReplyCommand,
  RequestCommand,
  ResultCommand,
  WorkerInput,
} from './commands.ts';
import {
  BROADCAST,
  EXPRESS_TAG,
  FAIL_FAST,
  FIELDS,
  FINAL,
  RESUMED,
  STANDBY,
  TYPES,
} from './express-format.ts';
import { readForBroker, readForClient, readForFollower, readForWorker } from './express-inputs.ts';
import { writeOutcome } from './express-outcome.ts';
import { writePair } from './express-pair.ts';
import { announcedBytes } from './large.ts';

/** True if this is a message of ours, well formed or not. */
export function isExpress(frames: Frames): boolean {
  return isTagged(frames, EXPRESS_TAG);
}

// Encoding

/** Adds the command to the open message if that is a pack with room, or else to a new one. */
export function encode(command: Command, open: Outgoing | undefined): Outgoing {
  const body = bodyOf(command) ?? NO_FRAMES;
  // What was announced has to come in a message of its own, behind the announcement's.
  const fits =
    open instanceof Pack && open.takes(body.length) && announcedBytes(body) === undefined;
  const pack = fits ? open : new Pack(EXPRESS_TAG);
  pack.begin(TYPES[command.type]);
  write(pack, command);
  pack.finish();
  return pack;
}

/** The body of a command that has one. */
export function bodyOf(command: Command): Frames | undefined {
  if ('body' in command) return command.body;
  if (command.type !== 'record') return undefined;
  return command.record.kind === 'reply' ? command.record.body : undefined;
}

function write(pack: Pack, command: Command): void {
  switch (command.type) {
    case 'request':
      return writeRequest(pack, command);
    case 'dispatch':
      return writeDispatch(pack, command);
    case 'reply':
    case 'result':
      return writeReply(pack, command);
    case 'heartbeat':
      pack.uint(command.beat ?? 0);
      pack.uint(command.echo ?? 0);
      return pack.ascending(command.held ?? []);
    case 'hello':
      pack.session(command.session);
      pack.uint(command.heartbeatInterval);
      pack.uint(command.heartbeatLiveness);
      return writeEpoch(pack, command.epoch);
    case 'ready':
      pack.session(command.session ?? '');
      pack.uint(command.heartbeatInterval ?? 0);
      pack.uint(command.heartbeatLiveness ?? 0);
      pack.name(command.service);
      pack.uint(command.credit ?? 0);
      pack.ascending(command.held ?? []);
      writeEpoch(pack, command.epoch);
      if (command.worker !== undefined) pack.sessionField(FIELDS.worker, command.worker);
      return undefined;
    case 'welcome':
      pack.byte((command.resumed ? RESUMED : 0) | (command.standby === true ? STANDBY : 0));
      pack.uint(command.heartbeatInterval);
      pack.uint(command.heartbeatLiveness);
      return writeEpoch(pack, command.epoch);
    case 'cancel':
    case 'handBack':
      return pack.uint(command.number);
    case 'credit':
      pack.uint(command.number);
      return pack.uint(command.bytes);
    case 'capacity':
      return pack.uint(command.credit);
    case 'beacon':
      pack.session(command.session);
      return pack.uint(command.stuck);
    case 'announce':
      return pack.uint(command.bytes);
    case 'disconnect':
      return undefined;
    default:
      return writePair(pack, command);
  }
}

function writeEpoch(pack: Pack, epoch: Epoch | undefined): void {
  if (epoch !== undefined) pack.uintField(FIELDS.epoch, epoch);
}

function writeRequest(pack: Pack, command: RequestCommand): void {
  const { timeLeft, priority, key, headers, window } = command;
  pack.uint(command.number ?? 0);
  pack.byte(
    (command.failFast === true ? FAIL_FAST : 0) | (command.broadcast === true ? BROADCAST : 0),
  );
  pack.name(command.service);
  pack.body(command.body);
  if (timeLeft !== undefined) pack.uintField(FIELDS.timeLeft, timeLeft);
  if (priority !== undefined) pack.uintField(FIELDS.priority, priority);
  if (key !== undefined) pack.textField(FIELDS.key, key);
  if (headers !== undefined) pack.bytesField(FIELDS.headers, headers);
  if (window !== undefined) pack.uintField(FIELDS.window, window);
}

function writeDispatch(pack: Pack, command: DispatchCommand): void {
  const { timeLeft, key, headers, window } = command;
  pack.uint(command.number ?? 0);
  pack.uint(command.attempt ?? 1);
  pack.body(command.body);
  if (timeLeft !== undefined) pack.uintField(FIELDS.timeLeft, timeLeft);
  if (key !== undefined) pack.textField(FIELDS.key, key);
  if (headers !== undefined) pack.bytesField(FIELDS.headers, headers);
  if (window !== undefined) pack.uintField(FIELDS.window, window);
}

function writeReply(pack: Pack, command: ReplyCommand | ResultCommand): void {
  pack.uint(command.number ?? 0);
  pack.byte(command.final ? FINAL : 0);
  pack.body(command.body);
  writeOutcome(pack, command);
}

// Decoding

/** Reads the commands for a broker; see the file's header for what is returned. */
export function decodeForBroker(
  frames: Frames,
  deliver: (command: BrokerInput) => void,
): string | undefined {
  return decode(frames, readForBroker, deliver);
}

/** Reads the commands for a worker. */
export function decodeForWorker(
  frames: Frames,
  deliver: (command: WorkerInput) => void,
): string | undefined {
  return decode(frames, readForWorker, deliver);
}

/** Reads the commands for a client. */
export function decodeForClient(
  frames: Frames,
  deliver: (command: ClientInput) => void,
): string | undefined {
  return decode(frames, readForClient, deliver);
}

/** Reads the commands for a passive broker that follows the active one. */
export function decodeForFollower(
  frames: Frames,
  deliver: (command: FollowerInput) => void,
): string | undefined {
  return decode(frames, readForFollower, deliver);
}

function decode<Input>(
  frames: Frames,
  read: (reader: Reader, type: number) => Input | undefined,
  deliver: (command: Input) => void,
): string | undefined {
  return unpack(frames, EXPRESS_TAG, read, isKnown, deliver);
}

function isKnown(type: number): boolean {
  return type >= TYPES.hello && type <= TYPES.recorded;
}
