/**
 * Reads one express command of each type. What is wrong with it, the reader notes: the command that
 * is returned then is not to be used.
 */
import type { Frames } from '../../core/machine.ts';
import { NO_FRAMES } from '../../core/pack-format.ts';
import type { Reader } from '../../core/unpack.ts';
import type {
  AnnounceCommand,
  BrokerInput,
  ClientInput,
  CreditCommand,
  DisconnectCommand,
  DispatchCommand,
  FollowerInput,
  HeartbeatCommand,
  HelloCommand,
  ReadyCommand,
  ReplyCommand,
  RequestCommand,
  ResultCommand,
  WelcomeCommand,
  WorkerInput,
} from './commands.ts';
import {
  BROADCAST,
  FAIL_FAST,
  FIELDS,
  FINAL,
  HEADERS_LIMIT,
  KEY_LIMIT,
  PRIORITY_LIMIT,
  RESUMED,
  STANDBY,
  TYPES,
} from './express-format.ts';
import { readOutcome, type Writable } from './express-outcome.ts';
import {
  readFinished,
  readFollow,
  readRecord,
  readRecorded,
  readReport,
  readStanding,
} from './express-pair.ts';

/** Reads a command of this type that a broker may be sent; undefined if there is none. */
export function readForBroker(reader: Reader, type: number): BrokerInput | undefined {
  switch (type) {
    case TYPES.request:
      return readRequest(reader);
    case TYPES.result:
      return readResult(reader);
    case TYPES.hello:
      return readHello(reader);
    case TYPES.ready:
      return readReady(reader);
    case TYPES.cancel:
    case TYPES.handBack: {
      const name = type === TYPES.cancel ? 'cancel' : 'handBack';
      return { type: name, dialect: 'express', number: reader.uint() };
    }
    case TYPES.credit:
      return readCredit(reader);
    case TYPES.capacity:
      return { type: 'capacity', dialect: 'express', credit: reader.uint() };
    case TYPES.beacon: {
      const session = reader.session();
      return { type: 'beacon', dialect: 'express', session, stuck: reader.uint() };
    }
    case TYPES.seen:
      return { type: 'seen', dialect: 'express', epoch: reader.uint() };
    case TYPES.report:
      return readReport(reader);
    case TYPES.finished:
      return readFinished(reader);
    case TYPES.follow:
      return readFollow(reader);
    case TYPES.recorded:
      return readRecorded(reader);
    default:
      return readCommon(reader, type);
  }
}

/** Reads a command of this type that a worker may be sent; undefined if there is none. */
export function readForWorker(reader: Reader, type: number): WorkerInput | undefined {
  switch (type) {
    case TYPES.dispatch:
      return readDispatch(reader);
    case TYPES.cancel:
      return { type: 'cancel', dialect: 'express', number: reader.uint() };
    case TYPES.credit:
      return readCredit(reader);
    case TYPES.welcome:
      return readWelcome(reader);
    case TYPES.standing:
      return readStanding(reader);
    default:
      return readCommon(reader, type);
  }
}

/** Reads a command of this type that a client may be sent; undefined if there is none. */
export function readForClient(reader: Reader, type: number): ClientInput | undefined {
  switch (type) {
    case TYPES.reply:
      return readReply(reader);
    case TYPES.welcome:
      return readWelcome(reader);
    case TYPES.standing:
      return readStanding(reader);
    default:
      return readCommon(reader, type);
  }
}

/** Reads a command of this type that a passive broker may be sent; undefined if there is none. */
export function readForFollower(reader: Reader, type: number): FollowerInput | undefined {
  switch (type) {
    case TYPES.record:
      return readRecord(reader);
    case TYPES.announce:
      return { type: 'announce', dialect: 'express', bytes: reader.uint() };
    case TYPES.disconnect:
      return { type: 'disconnect', dialect: 'express' };
    default:
      return undefined;
  }
}

/** What every side may be told. */
function readCommon(
  reader: Reader,
  type: number,
): HeartbeatCommand | AnnounceCommand | DisconnectCommand | undefined {
  switch (type) {
    case TYPES.heartbeat: {
      const beat = reader.uint();
      const echo = reader.uint();
      return { type: 'heartbeat', dialect: 'express', beat, echo, held: reader.ascending() };
    }
    case TYPES.announce:
      return { type: 'announce', dialect: 'express', bytes: reader.uint() };
    case TYPES.disconnect:
      return { type: 'disconnect', dialect: 'express' };
    default:
      return undefined;
  }
}

// Each command has one shape, whatever its fields: so whoever reads it stays fast.

function readRequest(reader: Reader): RequestCommand {
  const number = reader.uint();
  const flags = reader.byte();
  const service = reader.name();
  const body = readWholeBody(reader);
  const command: Writable<RequestCommand> = {
    type: 'request',
    dialect: 'express',
    service,
    body,
    number,
    timeLeft: undefined,
    priority: undefined,
    key: undefined,
    headers: undefined,
    window: undefined,
    failFast: (flags & FAIL_FAST) !== 0,
    broadcast: (flags & BROADCAST) !== 0,
  };
  while (reader.hasField) {
    switch (reader.field()) {
      case FIELDS.timeLeft:
        command.timeLeft = reader.uintField();
        break;
      case FIELDS.priority:
        command.priority = reader.uintField();
        if (command.priority > PRIORITY_LIMIT) reader.refuse('a priority is too high');
        break;
      case FIELDS.key:
        command.key = reader.nameField(KEY_LIMIT);
        break;
      case FIELDS.headers:
        command.headers = reader.bytesField(HEADERS_LIMIT, 'headers are too large');
        break;
      case FIELDS.window:
        command.window = reader.uintField();
        break;
      default:
        reader.skipField();
    }
  }
  return command;
}

function readDispatch(reader: Reader): DispatchCommand {
  const number = reader.uint();
  const attempt = reader.positive();
  const command: Writable<DispatchCommand> = {
    type: 'dispatch',
    dialect: 'express',
    envelope: NO_FRAMES,
    body: readWholeBody(reader),
    number,
    attempt,
    timeLeft: undefined,
    key: undefined,
    headers: undefined,
    window: undefined,
  };
  while (reader.hasField) {
    switch (reader.field()) {
      case FIELDS.timeLeft:
        command.timeLeft = reader.uintField();
        break;
      case FIELDS.key:
        command.key = reader.nameField(KEY_LIMIT);
        break;
      case FIELDS.headers:
        command.headers = reader.bytesField(HEADERS_LIMIT, 'headers are too large');
        break;
      case FIELDS.window:
        command.window = reader.uintField();
        break;
      default:
        reader.skipField();
    }
  }
  return command;
}

/** A body that has to have a frame, as other dialects cannot say it otherwise. */
function readWholeBody(reader: Reader): Frames {
  const body = reader.body();
  if (body.length === 0) reader.refuse('no body');
  return body;
}

function readReply(reader: Reader): ReplyCommand {
  const number = reader.uint();
  const final = (reader.byte() & FINAL) !== 0;
  const body = reader.body();
  const command: Writable<ReplyCommand> = {
    type: 'reply',
    dialect: 'express',
    service: '',
    body,
    final,
    number,
    sequence: undefined,
    failure: undefined,
  };
  if (reader.hasField) readOutcome(reader, command);
  return command;
}

function readResult(reader: Reader): ResultCommand {
  const number = reader.uint();
  const final = (reader.byte() & FINAL) !== 0;
  const body = reader.body();
  const command: Writable<ResultCommand> = {
    type: 'result',
    dialect: 'express',
    envelope: NO_FRAMES,
    body,
    final,
    number,
    sequence: undefined,
    failure: undefined,
  };
  if (reader.hasField) readOutcome(reader, command);
  return command;
}

function readCredit(reader: Reader): CreditCommand {
  const number = reader.uint();
  return { type: 'credit', dialect: 'express', number, bytes: reader.uint() };
}

function readHello(reader: Reader): HelloCommand {
  const session = reader.session();
  const command: Writable<HelloCommand> = {
    type: 'hello',
    dialect: 'express',
    session,
    ...settings(reader),
    epoch: undefined,
  };
  while (reader.hasField) {
    if (reader.field() === FIELDS.epoch) command.epoch = reader.uintField();
    else reader.skipField();
  }
  return command;
}

function readReady(reader: Reader): ReadyCommand {
  const session = reader.session();
  const command: Writable<ReadyCommand> = {
    type: 'ready',
    dialect: 'express',
    session,
    ...settings(reader),
    service: reader.name(),
    credit: reader.uint(),
    held: reader.ascending(),
    epoch: undefined,
    worker: undefined,
  };
  while (reader.hasField) {
    switch (reader.field()) {
      case FIELDS.epoch:
        command.epoch = reader.uintField();
        break;
      case FIELDS.worker:
        command.worker = reader.sessionField();
        break;
      default:
        reader.skipField();
    }
  }
  return command;
}

function readWelcome(reader: Reader): WelcomeCommand {
  const flags = reader.byte();
  const command: Writable<WelcomeCommand> = {
    type: 'welcome',
    dialect: 'express',
    resumed: (flags & RESUMED) !== 0,
    ...settings(reader),
    epoch: undefined,
    standby: (flags & STANDBY) !== 0,
  };
  while (reader.hasField) {
    if (reader.field() === FIELDS.epoch) command.epoch = reader.uintField();
    else reader.skipField();
  }
  return command;
}

function settings(reader: Reader): { heartbeatInterval: number; heartbeatLiveness: number } {
  const heartbeatInterval = reader.positive();
  return { heartbeatInterval, heartbeatLiveness: reader.positive() };
}
