/**
 * What express says between the brokers of a pair and those who know both, written and read.
 *
 * A record is told once, and all that it means stands in its fixed part, so that a hole in the numbers is
 * all that can go wrong.
 */
import type { Failure } from '../../core/errors.ts';
import type { Frames } from '../../core/machine.ts';
import type { Pack } from '../../core/pack.ts';
import type { Reader } from '../../core/unpack.ts';
import type {
  FinishedCommand,
  FollowCommand,
  RecordCommand,
  RecordedCommand,
  ReplicaRecord,
  ReportCommand,
  SeenCommand,
  StandingCommand,
} from './commands.ts';
import {
  ACTIVE,
  ENDPOINT_LIMIT,
  FIELDS,
  HEIR,
  KEYS_LIMIT,
  KEYS_SIZE,
  RECORDS,
} from './express-format.ts';
import { readOutcome, writeOutcome } from './express-outcome.ts';

type PairCommand =
  | StandingCommand
  | SeenCommand
  | ReportCommand
  | FinishedCommand
  | FollowCommand
  | RecordCommand
  | RecordedCommand;

// Writing

export function writePair(pack: Pack, command: PairCommand): void {
  switch (command.type) {
    case 'standing':
      pack.byte((command.active ? ACTIVE : 0) | (command.isHeir === true ? HEIR : 0));
      pack.uint(command.epoch);
      return writeEndpoint(pack, command.endpoint);
    case 'seen':
      return pack.uint(command.epoch);
    case 'report':
      pack.uint(command.epoch);
      writeKeys(pack, command.running);
      return writeKeys(pack, command.finished);
    case 'finished':
      pack.name(command.key);
      pack.body(command.body);
      return writeOutcome(pack, { failure: command.failure });
    case 'follow':
      pack.session(command.session);
      return pack.uint(command.epoch);
    case 'record':
      pack.session(command.session);
      pack.uint(command.number);
      return writeRecord(pack, command.record);
    case 'recorded':
      pack.session(command.session);
      return pack.uint(command.number);
  }
}

function writeEndpoint(pack: Pack, endpoint: string): void {
  const isSent = endpoint !== '' && Buffer.byteLength(endpoint) <= ENDPOINT_LIMIT;
  if (isSent) pack.textField(FIELDS.endpoint, endpoint);
}

/** How many, then each. Of too many, or too many bytes of them, only the last ones. */
function writeKeys(pack: Pack, keys: readonly string[]): void {
  let first = keys.length;
  let size = 0;
  while (first > 0 && keys.length - first < KEYS_LIMIT) {
    size += 1 + Buffer.byteLength(keys[first - 1]!);
    if (size > KEYS_SIZE) break;
    first--;
  }
  pack.uint(keys.length - first);
  for (let index = first; index < keys.length; index++) pack.name(keys[index]!);
}

function writeRecord(pack: Pack, record: ReplicaRecord): void {
  pack.byte(RECORDS[record.kind]);
  switch (record.kind) {
    case 'reply':
      pack.name(record.service);
      pack.name(record.key);
      pack.uint(record.ttl);
      pack.body(record.body);
      return writeOutcome(pack, { failure: record.failure });
    case 'worker':
      pack.name(record.service);
      return pack.session(record.worker);
    case 'workerGone':
      return pack.session(record.worker);
    case 'complete':
      return pack.uint(record.epoch);
    case 'beat':
      return undefined;
  }
}

// Reading

export function readStanding(reader: Reader): StandingCommand {
  const flags = reader.byte();
  const epoch = reader.uint();
  let endpoint = '';
  while (reader.hasField) {
    if (reader.field() === FIELDS.endpoint) endpoint = reader.nameField(ENDPOINT_LIMIT);
    else reader.skipField();
  }
  const active = (flags & ACTIVE) !== 0;
  const isHeir = (flags & HEIR) !== 0;
  return { type: 'standing', dialect: 'express', active, isHeir, epoch, endpoint };
}

export function readReport(reader: Reader): ReportCommand {
  const epoch = reader.uint();
  const running = readKeys(reader);
  return { type: 'report', dialect: 'express', epoch, running, finished: readKeys(reader) };
}

function readKeys(reader: Reader): string[] {
  const count = reader.uint();
  const keys: string[] = [];
  if (count > KEYS_LIMIT) reader.refuse('too many keys');
  for (let index = 0; index < count && reader.reason === undefined; index++) {
    keys.push(reader.name());
  }
  return keys;
}

export function readFinished(reader: Reader): FinishedCommand {
  const key = reader.name();
  return { type: 'finished', dialect: 'express', key, ...readReply(reader) };
}

export function readFollow(reader: Reader): FollowCommand {
  const session = reader.session();
  return { type: 'follow', dialect: 'express', session, epoch: reader.uint() };
}

export function readRecorded(reader: Reader): RecordedCommand {
  const session = reader.session();
  return { type: 'recorded', dialect: 'express', session, number: reader.uint() };
}

export function readRecord(reader: Reader): RecordCommand {
  const session = reader.session();
  const number = reader.uint();
  return { type: 'record', dialect: 'express', session, number, record: readReplica(reader) };
}

function readReplica(reader: Reader): ReplicaRecord {
  switch (reader.byte()) {
    case RECORDS.reply: {
      const service = reader.name();
      const key = reader.name();
      const ttl = reader.uint();
      return { kind: 'reply', service, key, ttl, ...readReply(reader) };
    }
    case RECORDS.worker: {
      const service = reader.name();
      return { kind: 'worker', service, worker: reader.session() };
    }
    case RECORDS.workerGone:
      return { kind: 'workerGone', worker: reader.session() };
    case RECORDS.complete:
      return { kind: 'complete', epoch: reader.uint() };
    case RECORDS.beat:
      return { kind: 'beat' };
    default:
      // Skipped it would look like one that was understood.
      reader.refuse('a record of an unknown kind');
      return { kind: 'beat' };
  }
}

/** A body, and why there may be none. */
function readReply(reader: Reader): { body: Frames; failure: Failure | undefined } {
  const body = reader.body();
  const outcome: { failure: Failure | undefined } = { failure: undefined };
  readOutcome(reader, outcome);
  return { body, failure: outcome.failure };
}
