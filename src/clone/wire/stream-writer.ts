/** Writes one command of the stream: the fixed part, then the body, then the fields that there are. */
import type { Outgoing } from '../../core/codec.ts';
import { Pack } from '../../core/pack.ts';
import type {
  BeatCommand,
  Digest,
  FollowCommand,
  ItemCommand,
  LineageCommand,
  RedirectCommand,
  ResultCommand,
  UpdateCommand,
  WriteCommand,
  WriterCommand,
} from '../commands.ts';
import {
  BACKUP,
  CAUGHT_UP,
  DONE,
  ENDPOINT_LIMIT,
  FIELDS,
  KINDS,
  MODES,
  REFUSALS,
  REPLICATED,
  STREAM_TAG,
  TYPES,
  WRITER_LENGTH,
  type StreamDialect,
} from './stream-format.ts';

/** Adds the command to the open message if that is a pack with room, or else to a new one. */
export function encodeStream(command: StreamDialect, open: Outgoing | undefined): Outgoing {
  const frames = 'value' in command ? command.value.length : 0;
  const pack = open instanceof Pack && open.takes(frames) ? open : new Pack(STREAM_TAG);
  pack.begin(TYPES[command.type]);
  write(pack, command);
  pack.finish();
  return pack;
}

function write(pack: Pack, command: StreamDialect): void {
  switch (command.type) {
    case 'update':
      return writeUpdate(pack, command);
    case 'item':
      return writeItem(pack, command);
    case 'write':
      return writeWrite(pack, command);
    case 'result':
      return writeResult(pack, command);
    case 'progress':
      pack.uint(command.stream);
      pack.uint(command.received);
      pack.uint(command.sequence);
      return pack.uint(command.epoch);
    case 'beat':
      return writeBeat(pack, command);
    case 'follow':
      return writeFollow(pack, command);
    case 'begin':
      pack.uint(command.stream);
      pack.byte(MODES[command.mode]);
      pack.uint(command.epoch);
      pack.uint(command.sequence);
      pack.uint(command.predecessor);
      pack.uint(command.heartbeatInterval);
      return pack.uint(command.heartbeatLiveness);
    case 'end':
      pack.uint(command.stream);
      pack.uint(command.count);
      pack.uint(command.sequence);
      pack.uint(command.predecessor);
      return writeDigest(pack, command.digest);
    case 'writer':
      return writeWriter(pack, command);
    case 'lineage':
      return writeLineage(pack, command);
    case 'redirect':
      return writeRedirect(pack, command);
    case 'expected':
      return pack.uint(command.number);
    case 'goodbye':
      return undefined;
  }
}

function writeUpdate(pack: Pack, command: UpdateCommand): void {
  const { sequence, origin } = command;
  pack.uint(command.stream);
  pack.uint(sequence);
  pack.uint(sequence - command.predecessor);
  pack.byte(KINDS[command.kind]);
  pack.name(command.key);
  pack.body(command.value);
  writeTimes(pack, command.ttl, command.timeLeft);
  if (origin === undefined) return;
  const field = pack.openField(FIELDS.origin);
  pack.id(origin.writer, WRITER_LENGTH);
  pack.uint(origin.number);
  pack.closeField(field);
  if (origin.floor !== undefined) pack.uintField(FIELDS.floor, origin.floor);
}

function writeItem(pack: Pack, command: ItemCommand): void {
  pack.uint(command.stream);
  pack.uint(command.index);
  pack.uint(command.revision);
  pack.name(command.key);
  pack.body(command.value);
  writeTimes(pack, command.ttl, command.timeLeft);
}

function writeTimes(pack: Pack, ttl: number | undefined, timeLeft: number | undefined): void {
  if (ttl !== undefined) pack.uintField(FIELDS.ttl, ttl);
  if (timeLeft !== undefined) pack.uintField(FIELDS.timeLeft, timeLeft);
}

function writeWrite(pack: Pack, command: WriteCommand): void {
  pack.uint(command.number);
  pack.uint(command.floor);
  pack.byte(KINDS[command.kind]);
  pack.name(command.key);
  pack.body(command.value);
  if (command.ttl !== undefined) pack.uintField(FIELDS.ttl, command.ttl);
  if (command.ifMatch !== undefined) pack.uintField(FIELDS.ifMatch, command.ifMatch);
}

function writeResult(pack: Pack, command: ResultCommand): void {
  const { refusal, retryAfter } = command;
  pack.uint(command.number);
  pack.byte(refusal === undefined ? DONE : REFUSALS[refusal]);
  pack.byte(command.isReplicated ? REPLICATED : 0);
  pack.uint(command.revision);
  if (retryAfter !== undefined) pack.uintField(FIELDS.retryAfter, retryAfter);
}

function writeBeat(pack: Pack, command: BeatCommand): void {
  pack.uint(command.stream);
  pack.byte(command.isCaughtUp ? CAUGHT_UP : 0);
  pack.uint(command.epoch);
  pack.uint(command.sequence);
  pack.uint(command.predecessor);
  if (command.digest === undefined) return;
  const field = pack.openField(FIELDS.digest);
  writeDigest(pack, command.digest);
  pack.closeField(field);
}

function writeDigest(pack: Pack, digest: Digest): void {
  pack.word(digest.high);
  pack.word(digest.low);
}

function writeFollow(pack: Pack, command: FollowCommand): void {
  const { position } = command;
  pack.uint(command.stream);
  pack.byte(command.isBackup ? BACKUP : 0);
  pack.uint(command.window);
  pack.uint(command.epoch);
  pack.id(command.writer, WRITER_LENGTH);
  pack.uint(command.heartbeatInterval);
  pack.uint(command.heartbeatLiveness);
  pack.name(command.subtree);
  if (position === undefined) return;
  const field = pack.openField(FIELDS.position);
  pack.uint(position.epoch);
  pack.uint(position.sequence);
  pack.closeField(field);
}

function writeWriter(pack: Pack, command: WriterCommand): void {
  const { done } = command;
  pack.uint(command.stream);
  pack.uint(command.index);
  pack.id(command.writer, WRITER_LENGTH);
  pack.uint(command.next);
  pack.uint(done.length);
  let before = 0;
  for (const [number, revision] of done) {
    pack.uint(number - before);
    pack.uint(revision);
    before = number;
  }
}

function writeLineage(pack: Pack, command: LineageCommand): void {
  pack.uint(command.stream);
  pack.uint(command.reigns.length);
  for (const { epoch, base } of command.reigns) {
    pack.uint(epoch);
    pack.uint(base);
  }
}

function writeRedirect(pack: Pack, command: RedirectCommand): void {
  const { endpoint } = command;
  pack.uint(command.epoch);
  const isSent = endpoint !== '' && Buffer.byteLength(endpoint) <= ENDPOINT_LIMIT;
  if (isSent) pack.textField(FIELDS.endpoint, endpoint);
}
