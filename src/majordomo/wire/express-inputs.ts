/**
 * Reads one express command of each type. What is wrong with it, the reader notes: the command that
 * is returned then is not to be used.
 */
import { type Failure, REQUEST_ERROR_CODES, type RequestErrorCode } from '../../core/errors.ts';
import type { Frames } from '../../core/machine.ts';
import type {
  AnnounceCommand,
  BrokerInput,
  ClientInput,
  CreditCommand,
  DisconnectCommand,
  DispatchCommand,
  HeartbeatCommand,
  ReplyCommand,
  RequestCommand,
  ResultCommand,
  WelcomeCommand,
  WorkerInput,
} from './commands.ts';
import {
  BROADCAST,
  FAIL_FAST,
  FAILURE_LIMIT,
  FIELDS,
  FINAL,
  KEY_LIMIT,
  PRIORITY_LIMIT,
  RESUMED,
  TYPES,
} from './express-format.ts';
import { NO_FRAMES, type Reader } from './express-reader.ts';

type Writable<Type> = { -readonly [Key in keyof Type]: Type[Key] };

const CODES: ReadonlySet<string> = new Set(REQUEST_ERROR_CODES);

/** Reads a command of this type that a broker may be sent; undefined if there is none. */
export function readForBroker(reader: Reader, type: number): BrokerInput | undefined {
  switch (type) {
    case TYPES.request:
      return readRequest(reader);
    case TYPES.result:
      return readResult(reader);
    case TYPES.hello:
      return { type: 'hello', dialect: 'express', session: reader.session(), ...settings(reader) };
    case TYPES.ready:
      return {
        type: 'ready',
        dialect: 'express',
        session: reader.session(),
        ...settings(reader),
        service: reader.name(),
        credit: reader.uint(),
        held: reader.ascending(),
      };
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
    default:
      return readCommon(reader, type);
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
        command.headers = reader.headersField();
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
        command.headers = reader.headersField();
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

/** The fields that a reply and a result have in common. */
function readOutcome(reader: Reader, command: Writable<ReplyCommand | ResultCommand>): void {
  let code: string | undefined;
  let message = '';
  let retryAfter: number | undefined;
  let attempts: number | undefined;
  while (reader.hasField) {
    switch (reader.field()) {
      case FIELDS.sequence:
        command.sequence = reader.uintField();
        break;
      case FIELDS.failureCode:
        code = reader.nameField(KEY_LIMIT);
        break;
      case FIELDS.failureMessage:
        message = reader.textField(FAILURE_LIMIT);
        break;
      case FIELDS.retryAfter:
        retryAfter = reader.uintField();
        break;
      case FIELDS.attempts:
        attempts = reader.uintField();
        break;
      default:
        reader.skipField();
    }
  }
  if (code !== undefined) {
    command.failure = { ...failureOf(code, message), ...given({ retryAfter, attempts }) };
  }
}

/** A code of a later version becomes `ERR_HANDLER_FAILED` with that code in the message. */
function failureOf(code: string, message: string): Failure {
  return CODES.has(code)
    ? { code: code as RequestErrorCode, message }
    : { code: 'ERR_HANDLER_FAILED', message: `${code}: ${message}` };
}

/** Without what is undefined. */
function given({ retryAfter, attempts }: Pick<Failure, 'retryAfter' | 'attempts'>): object {
  if (attempts === undefined) return retryAfter === undefined ? {} : { retryAfter };
  return retryAfter === undefined ? { attempts } : { retryAfter, attempts };
}

function readCredit(reader: Reader): CreditCommand {
  const number = reader.uint();
  return { type: 'credit', dialect: 'express', number, bytes: reader.uint() };
}

function readWelcome(reader: Reader): WelcomeCommand {
  const resumed = (reader.byte() & RESUMED) !== 0;
  return { type: 'welcome', dialect: 'express', resumed, ...settings(reader) };
}

function settings(reader: Reader): { heartbeatInterval: number; heartbeatLiveness: number } {
  const heartbeatInterval = reader.positive();
  return { heartbeatInterval, heartbeatLiveness: reader.positive() };
}
