/**
 * What is on the wire: 9/TSP and services of ours, as bodies of Majordomo requests and replies.
 *
 *   titanic.request   service body…          200 id
 *   titanic.reply     id                     200 body… | 300
 *   titanic.close     id                     200
 *   titanic.submit    terms service body…    200 id
 *   titanic.fetch     id wait                200 body… | 300
 *   titanic.status    id                     200 summary
 *   titanic.admin     { do, … }              200 what was asked for
 *
 * Whatever was asked may also get `400` or `500`. Behind these digits, which alone count, stands why; our
 * own services repeat it as JSON, `{ code, message }`. Reading is total: whatever the bytes, the result is
 * one question, or the answer that refuses it before anything is stored.
 */
import { BODY_LIMIT } from '../core/body.ts';
import { TITANIC_ERROR_CODES, type TitanicErrorCode } from '../core/errors.ts';
import { byteLength, decodeStrictText, decodeText, encodeText } from '../core/frames.ts';
import type { Frames } from '../core/machine.ts';
import { isName } from '../majordomo/wire/service-name.ts';
import {
  REQUEST_STATES,
  type Answer,
  type Question,
  type RequestId,
  type TitanicService,
  type TitanicStatusCode,
} from './commands.ts';
import { FieldError, Fields, readId } from './fields.ts';

/** Frames of a body which, with those in front of it, can still be handed on. */
export const BODY_FRAMES = BODY_LIMIT - 2;

/** Summaries in one answer to `list`, at most. */
export const PAGE_LIMIT = 1000;

const PAGE = 100;

/**
 * Milliseconds that an answer waits for a pending request, at most: a stock broker does not tell that
 * whoever asked has left. Whoever wants to wait longer asks again.
 */
export const WAIT_LIMIT = 60_000;

/** What of a message is sent: a refusal is not a way to ship megabytes. */
const MESSAGE_LIMIT = 4096;

/** Bytes of a frame that can hold the longest name, and one more. */
const NAME_GLANCE = 256;

/** What a server refuses before it looks closer. */
export interface ProtocolBounds {
  /** Bytes of one body. */
  readonly bodyLimit: number;
}

/** What is sent to a service of the Titanic. */
export interface TitanicRequest {
  readonly service: TitanicService;
  readonly body: Frames;
}

const COMMANDS = ['overview', 'list', 'inspect', 'resubmit'] as const;

/** These are TSP's: their peers expect one frame and no more. */
const STOCK: ReadonlySet<TitanicService> = new Set([
  'titanic.request',
  'titanic.reply',
  'titanic.close',
]);

/** Names that no request can be for: the broker's own, and the Titanic's. */
const RESERVED = ['mmi.', 'titanic.'];

/** Of refusals that do not say more. */
const DEFAULT_CODES = { 400: 'ERR_INVALID_ARGUMENT', 500: 'ERR_HANDLER_FAILED' } as const;

/** Why no request can be for this service; undefined if one can. */
export function serviceFault(service: unknown): string | undefined {
  if (typeof service !== 'string' || !isName(service))
    return 'a service is named by text of 1 to 255 bytes';
  const prefix = RESERVED.find((each) => service.startsWith(each));
  return prefix === undefined ? undefined : `services under '${prefix}' take no requests for later`;
}

// Of the server

/** The question that `service` was asked, or the answer that refuses it. */
export function decodeQuestion(
  service: TitanicService,
  frames: Frames,
  bounds: ProtocolBounds,
): Question | Answer {
  try {
    return READERS[service](frames, bounds);
  } catch (error) {
    if (!(error instanceof FieldError)) throw error;
    return { status: 400, code: 'ERR_INVALID_ARGUMENT', text: error.message };
  }
}

/** The frames of an answer to what `service` was asked. */
export function encodeAnswer(service: TitanicService, answer: Answer): Frames {
  const { status, body = [] } = answer;
  if (status === 200 || status === 300) return [encodeText(String(status)), ...body];
  const code = answer.code ?? DEFAULT_CODES[status];
  const message = (answer.text ?? '').slice(0, MESSAGE_LIMIT);
  const line = encodeText(`${status} ${code}: ${message}`);
  return STOCK.has(service) ? [line] : [line, encodeText(JSON.stringify({ code, message }))];
}

type Reader = (frames: Frames, bounds: ProtocolBounds) => Question;

const READERS: Readonly<Record<TitanicService, Reader>> = {
  'titanic.request': (frames, bounds) => submitIn(new Fields({}), frames, bounds),
  'titanic.reply': (frames) => ({ type: 'fetch', id: onlyId(frames), wait: 0 }),
  'titanic.close': (frames) => ({ type: 'close', id: onlyId(frames) }),
  'titanic.submit': ([terms, ...rest], bounds) => submitIn(Fields.read(terms), rest, bounds),
  'titanic.fetch': (frames) => {
    const [id, wait] = frames;
    expectFrames(frames, 2, 'an id and the milliseconds to wait');
    return { type: 'fetch', id: idIn(id!), wait: waitIn(wait!) };
  },
  'titanic.status': (frames) => ({ type: 'status', id: onlyId(frames) }),
  'titanic.admin': (frames) => {
    expectFrames(frames, 1, 'a JSON object');
    return commandIn(Fields.read(frames[0]));
  },
};

function submitIn(fields: Fields, [name, ...body]: Frames, bounds: ProtocolBounds): Question {
  if (name === undefined) throw new FieldError('the service is missing');
  // What is longer than the longest name is no name, however it goes on.
  const service = decodeStrictText(name.subarray(0, NAME_GLANCE)) ?? '';
  const fault = serviceFault(service);
  if (fault !== undefined) throw new FieldError(fault);
  const bytes = byteLength(body);
  if (bytes > bounds.bodyLimit) {
    throw new FieldError(`the body has ${bytes} bytes, more than ${bounds.bodyLimit}`);
  }
  if (body.length > BODY_FRAMES) {
    throw new FieldError(`the body has ${body.length} frames, more than ${BODY_FRAMES}`);
  }
  const terms = {
    delay: fields.milliseconds('delay', 0),
    deadline: fields.milliseconds('deadline', 1),
    retries: fields.count('retries', 0),
    backoff: fields.milliseconds('backoff', 1),
  };
  return { type: 'submit', id: fields.id('id'), service, body, terms };
}

function commandIn(fields: Fields): Question {
  const type = fields.word('do', COMMANDS);
  if (type === undefined) throw new FieldError(`'do' is missing: ${COMMANDS.join(', ')}`);
  if (type === 'overview') return { type };
  if (type === 'list') {
    const [state, service] = [fields.word('state', REQUEST_STATES), fields.text('service')];
    const limit = Math.min(fields.count('limit', 1) ?? PAGE, PAGE_LIMIT);
    return { type, state, service, after: fields.id('after'), limit };
  }
  const id = fields.id('id');
  if (id === undefined) throw new FieldError(`'id' is missing: of which request?`);
  return { type, id };
}

function expectFrames(frames: Frames, wanted: number, what: string): void {
  if (frames.length === wanted) return;
  throw new FieldError(`expected is ${what}, not ${frames.length} frames`);
}

function onlyId(frames: Frames): RequestId {
  expectFrames(frames, 1, 'an id');
  return idIn(frames[0]!);
}

function idIn(frame: Uint8Array): RequestId {
  const id = frame.byteLength === 32 ? readId(decodeText(frame)) : undefined;
  if (id === undefined) throw new FieldError('an id has 32 hexadecimal digits');
  return id;
}

function waitIn(frame: Uint8Array): number {
  const digits = frame.byteLength <= 15 ? decodeText(frame) : '';
  if (!/^[0-9]+$/.test(digits)) throw new FieldError('the milliseconds to wait are not digits');
  return Math.min(Number(digits), WAIT_LIMIT);
}

// Of the client

/** How a question is asked: of our own services where TSP has no frame for it. */
export function encodeQuestion(question: Question): TitanicRequest {
  switch (question.type) {
    case 'submit': {
      const { id, service, body, terms } = question;
      return {
        service: 'titanic.submit',
        body: [jsonFrame({ id, ...terms }), encodeText(service), ...body],
      };
    }
    case 'fetch': {
      // Over stock MDP what does not wait would stand behind what does, for as long as that waits.
      if (question.wait === 0) {
        return { service: 'titanic.reply', body: [encodeText(question.id)] };
      }
      const wait = String(Math.ceil(question.wait));
      return { service: 'titanic.fetch', body: [encodeText(question.id), encodeText(wait)] };
    }
    case 'close':
      return { service: 'titanic.close', body: [encodeText(question.id)] };
    case 'status':
      return { service: 'titanic.status', body: [encodeText(question.id)] };
    default: {
      const { type, ...fields } = question;
      return { service: 'titanic.admin', body: [jsonFrame({ do: type, ...fields })] };
    }
  }
}

/** The answer in the frames of a reply, or the reason why there is none. */
export function decodeAnswer(frames: Frames): Answer | string {
  const [line, ...body] = frames;
  if (line === undefined || line.byteLength < 3) return 'no status';
  const digits = decodeText(line.subarray(0, 3));
  const isWhole = line.byteLength === 3 || line[3] === SPACE;
  const status = STATUSES.find((each) => isWhole && digits === String(each));
  if (status === undefined) return 'a status that is none of 200, 300, 400 and 500';
  if (status === 200 || status === 300) return { status, body };
  const text = decodeText(line.subarray(4, 4 + MESSAGE_LIMIT + NAME_GLANCE));
  return { status, ...reasonIn(status, body[0], text) };
}

const STATUSES: readonly TitanicStatusCode[] = [200, 300, 400, 500];

const SPACE = 0x20;

const CODES: ReadonlySet<string> = new Set(TITANIC_ERROR_CODES);

/** From the frame of JSON if there is one, or from the text, `CODE: message`. */
function reasonIn(
  status: 400 | 500,
  json: Uint8Array | undefined,
  line: string,
): Pick<Answer, 'code' | 'text'> {
  const fields = fieldsIn(json);
  const [, codeInLine, textInLine = line] = /^(ERR_\w+): (.*)$/s.exec(line) ?? [];
  const code = fields?.code ?? codeInLine;
  const text = fields?.message ?? textInLine;
  if (code === undefined) return { code: DEFAULT_CODES[status], text };
  if (CODES.has(code)) return { code: code as TitanicErrorCode, text };
  // Of a later version.
  return { code: DEFAULT_CODES[status], text: `${code}: ${text}` };
}

function fieldsIn(
  json: Uint8Array | undefined,
): { code: string | undefined; message: string | undefined } | undefined {
  if (json === undefined) return undefined;
  try {
    const fields = Fields.read(json);
    return { code: fields.text('code'), message: fields.text('message') };
  } catch {
    return undefined; // the line says it too
  }
}

function jsonFrame(value: object): Uint8Array {
  return encodeText(JSON.stringify(value));
}
