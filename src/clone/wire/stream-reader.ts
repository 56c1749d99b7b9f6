/**
 * Reads one command of the stream of each type. What is wrong with it, the reader notes: the command that
 * is returned then is not to be used.
 */
import type { Frames } from '../../core/machine.ts';
import { unpack, type Reader } from '../../core/unpack.ts';
import type {
  BeatCommand,
  BeginCommand,
  Digest,
  EndCommand,
  FollowCommand,
  FollowerInput,
  FollowerOutput,
  ItemCommand,
  LineageCommand,
  Origin,
  Position,
  ProgressCommand,
  RedirectCommand,
  Reign,
  ResultCommand,
  UpdateCommand,
  WriteCommand,
  WriteKind,
  WriteRefusal,
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
  NUMBERS_LIMIT,
  REFUSALS,
  REIGNS_LIMIT,
  REPLICATED,
  STREAM_TAG,
  TYPES,
  WRITER_LENGTH,
} from './stream-format.ts';

/** Reads the commands that a server may be sent; returns why the message was refused, if it was. */
export function decodeForServer(
  frames: Frames,
  deliver: (command: FollowerOutput) => void,
): string | undefined {
  return unpack(frames, STREAM_TAG, readForServer, isKnown, deliver);
}

/** Reads the commands that a follower may be sent. */
export function decodeForFollower(
  frames: Frames,
  deliver: (command: FollowerInput) => void,
): string | undefined {
  return unpack(frames, STREAM_TAG, readForFollower, isKnown, deliver);
}

function isKnown(type: number): boolean {
  return type >= TYPES.follow && type <= TYPES.expected;
}

function readForServer(reader: Reader, type: number): FollowerOutput | undefined {
  switch (type) {
    case TYPES.write:
      return readWrite(reader);
    case TYPES.progress:
      return readProgress(reader);
    case TYPES.follow:
      return readFollow(reader);
    case TYPES.goodbye:
      return { type: 'goodbye' };
    default:
      return undefined;
  }
}

function readForFollower(reader: Reader, type: number): FollowerInput | undefined {
  switch (type) {
    case TYPES.update:
      return readUpdate(reader);
    case TYPES.item:
      return readItem(reader);
    case TYPES.result:
      return readResult(reader);
    case TYPES.beat:
      return readBeat(reader);
    case TYPES.begin:
      return readBegin(reader);
    case TYPES.end:
      return readEnd(reader);
    case TYPES.writer:
      return readWriter(reader);
    case TYPES.lineage:
      return readLineage(reader);
    case TYPES.redirect:
      return readRedirect(reader);
    case TYPES.expected:
      return { type: 'expected', number: reader.uint() };
    default:
      return undefined;
  }
}

// What a follower says

function readFollow(reader: Reader): FollowCommand {
  const stream = reader.uint();
  const isBackup = (reader.byte() & BACKUP) !== 0;
  const window = reader.uint();
  const epoch = reader.uint();
  const writer = reader.id(WRITER_LENGTH);
  const heartbeatInterval = reader.positive();
  const heartbeatLiveness = reader.positive();
  const subtree = reader.text();
  let position: Position | undefined;
  while (reader.hasField) {
    if (reader.field() === FIELDS.position) position = readPosition(reader);
    else reader.skipField();
  }
  const beats = { heartbeatInterval, heartbeatLiveness };
  return { type: 'follow', stream, subtree, position, window, epoch, isBackup, writer, ...beats };
}

function readPosition(reader: Reader): Position {
  const end = reader.openField();
  const epoch = reader.uint();
  const sequence = reader.uint();
  reader.closeField(end);
  return { epoch, sequence };
}

function readProgress(reader: Reader): ProgressCommand {
  const stream = reader.uint();
  const received = reader.uint();
  const sequence = reader.uint();
  return { type: 'progress', stream, received, sequence, epoch: reader.uint() };
}

function readWrite(reader: Reader): WriteCommand {
  const number = reader.uint();
  // The next one must have a number, too.
  if (number === Number.MAX_SAFE_INTEGER) reader.refuse('a number is too large');
  const floor = reader.uint();
  const kind = readKind(reader);
  const key = reader.text();
  const value = reader.body();
  if (value.length !== (kind === 'set' ? 1 : 0)) refuseValue(reader);
  let ttl: number | undefined;
  let ifMatch: number | undefined;
  while (reader.hasField) {
    const tag = reader.field();
    if (tag === FIELDS.ttl) ttl = reader.uintField();
    else if (tag === FIELDS.ifMatch) ifMatch = reader.uintField();
    else reader.skipField();
  }
  return { type: 'write', number, floor, kind, key, ttl, ifMatch, value };
}

function readKind(reader: Reader): WriteKind {
  switch (reader.byte()) {
    case KINDS.set:
      return 'set';
    case KINDS.delete:
      return 'delete';
    case KINDS.clear:
      return 'clear';
    default:
      // Skipped it would look like one that was understood.
      reader.refuse('a write of an unknown kind');
      return 'set';
  }
}

function refuseValue(reader: Reader): void {
  reader.refuse('a value of another number of frames');
}

// What a server says

function readUpdate(reader: Reader): UpdateCommand {
  const stream = reader.uint();
  const sequence = reader.uint();
  const distance = reader.uint();
  if (distance > sequence) reader.refuse('a predecessor before the first');
  const kind = readKind(reader);
  const key = reader.text();
  const value = reader.body();
  if (kind !== 'set' && value.length > 0) refuseValue(reader);
  let ttl: number | undefined;
  let timeLeft: number | undefined;
  let origin: Origin | undefined;
  let floor: number | undefined;
  while (reader.hasField) {
    const tag = reader.field();
    if (tag === FIELDS.ttl) ttl = reader.uintField();
    else if (tag === FIELDS.timeLeft) timeLeft = reader.uintField();
    else if (tag === FIELDS.origin) origin = readOrigin(reader);
    else if (tag === FIELDS.floor) floor = reader.uintField();
    else reader.skipField();
  }
  if (origin !== undefined && floor !== undefined) origin = { ...origin, floor };
  return {
    type: 'update',
    stream,
    sequence,
    predecessor: sequence - distance,
    kind,
    key,
    ttl,
    timeLeft,
    origin,
    value,
  };
}

function readOrigin(reader: Reader): Origin {
  const end = reader.openField();
  const writer = reader.id(WRITER_LENGTH);
  const number = reader.uint();
  reader.closeField(end);
  return { writer, number };
}

function readItem(reader: Reader): ItemCommand {
  const stream = reader.uint();
  const index = reader.uint();
  const revision = reader.uint();
  const key = reader.text();
  const value = reader.body();
  if (value.length !== 1) refuseValue(reader);
  let ttl: number | undefined;
  let timeLeft: number | undefined;
  while (reader.hasField) {
    const tag = reader.field();
    if (tag === FIELDS.ttl) ttl = reader.uintField();
    else if (tag === FIELDS.timeLeft) timeLeft = reader.uintField();
    else reader.skipField();
  }
  return { type: 'item', stream, index, key, revision, ttl, timeLeft, value };
}

function readBegin(reader: Reader): BeginCommand {
  const stream = reader.uint();
  const mode = readMode(reader);
  const epoch = reader.uint();
  const sequence = reader.uint();
  const predecessor = reader.uint();
  const heartbeatInterval = reader.positive();
  const heartbeatLiveness = reader.positive();
  const beats = { heartbeatInterval, heartbeatLiveness };
  return { type: 'begin', stream, mode, epoch, sequence, predecessor, ...beats };
}

function readMode(reader: Reader): BeginCommand['mode'] {
  switch (reader.byte()) {
    case MODES.continue:
      return 'continue';
    case MODES.snapshot:
      return 'snapshot';
    case MODES.lost:
      return 'lost';
    default:
      reader.refuse('a stream that begins in an unknown way');
      return 'lost';
  }
}

function readWriter(reader: Reader): WriterCommand {
  const stream = reader.uint();
  const index = reader.uint();
  const writer = reader.id(WRITER_LENGTH);
  const next = reader.uint();
  const count = reader.uint();
  const done: [number: number, revision: number][] = [];
  if (count > NUMBERS_LIMIT) reader.refuse('too many numbers');
  let number = 0;
  for (let at = 0; at < count && reader.reason === undefined; at++) {
    const step = reader.uint();
    if (step === 0 && at > 0) reader.refuse('numbers do not ascend');
    number += step;
    if (number > Number.MAX_SAFE_INTEGER) reader.refuse('a number is too large');
    done.push([number, reader.uint()]);
  }
  return { type: 'writer', stream, index, writer, next, done };
}

function readLineage(reader: Reader): LineageCommand {
  const stream = reader.uint();
  const count = reader.uint();
  const reigns: Reign[] = [];
  if (count > REIGNS_LIMIT) reader.refuse('too many reigns');
  for (let index = 0; index < count && reader.reason === undefined; index++) {
    const epoch = reader.uint();
    reigns.push({ epoch, base: reader.uint() });
  }
  return { type: 'lineage', stream, reigns };
}

function readEnd(reader: Reader): EndCommand {
  const stream = reader.uint();
  const count = reader.uint();
  const sequence = reader.uint();
  const predecessor = reader.uint();
  return { type: 'end', stream, count, sequence, predecessor, digest: readDigest(reader) };
}

function readDigest(reader: Reader): Digest {
  const high = reader.word();
  return { high, low: reader.word() };
}

function readBeat(reader: Reader): BeatCommand {
  const stream = reader.uint();
  const isCaughtUp = (reader.byte() & CAUGHT_UP) !== 0;
  const epoch = reader.uint();
  const sequence = reader.uint();
  const predecessor = reader.uint();
  let digest: Digest | undefined;
  while (reader.hasField) {
    if (reader.field() === FIELDS.digest) {
      const end = reader.openField();
      digest = readDigest(reader);
      reader.closeField(end);
    } else reader.skipField();
  }
  return { type: 'beat', stream, epoch, sequence, predecessor, digest, isCaughtUp };
}

function readResult(reader: Reader): ResultCommand {
  const number = reader.uint();
  const refusal = readRefusal(reader);
  const isReplicated = (reader.byte() & REPLICATED) !== 0;
  const revision = reader.uint();
  let retryAfter: number | undefined;
  while (reader.hasField) {
    if (reader.field() === FIELDS.retryAfter) retryAfter = reader.uintField();
    else reader.skipField();
  }
  return { type: 'result', number, refusal, revision, retryAfter, isReplicated };
}

/** Refusals by their numbers. */
const NAMES = new Map<number, WriteRefusal>(
  Object.entries(REFUSALS).map(([name, number]) => [number, name as WriteRefusal]),
);

/** One of a later version counts as `busy`: it was not done. */
function readRefusal(reader: Reader): WriteRefusal | undefined {
  const outcome = reader.byte();
  return outcome === DONE ? undefined : (NAMES.get(outcome) ?? 'busy');
}

function readRedirect(reader: Reader): RedirectCommand {
  const epoch = reader.uint();
  let endpoint = '';
  while (reader.hasField) {
    if (reader.field() === FIELDS.endpoint) endpoint = reader.nameField(ENDPOINT_LIMIT);
    else reader.skipField();
  }
  return { type: 'redirect', epoch, endpoint };
}
