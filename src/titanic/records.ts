/**
 * What is stored of a request, and what it means.
 *
 *   request:ID    { service, submitted, … }, and the frames of its body
 *   attempts:ID   { attempts, failures }       once more was begun than `request:ID` says
 *   reply:ID      { service, submitted, … }, and the frames of its reply; nothing else is left then
 *   dead:ID       { finished, code, message, … }   beside `request:ID`
 *   closed:ID     { closed }                   and nothing else
 *
 * The first frame of each is JSON. All instants are milliseconds since 1970. Reading is total: a record
 * is understood, or it is said why not; fields that are unknown are not looked at.
 */
import { TITANIC_ERROR_CODES, type TitanicErrorCode } from '../core/errors.ts';
import { encodeText } from '../core/frames.ts';
import type { Frames } from '../core/machine.ts';
import type { RequestId } from './commands.ts';
import { FieldError, Fields } from './fields.ts';

/** The kinds of records, and the bit of each in what is known to be stored of a request. */
export const RECORD_BITS = { request: 1, attempts: 2, reply: 4, dead: 8, closed: 16 } as const;

export type RecordKind = keyof typeof RECORD_BITS;

export const RECORD_KINDS: readonly RecordKind[] = [
  'request',
  'attempts',
  'reply',
  'dead',
  'closed',
];

/** A request as it was submitted. */
export interface RequestMeta {
  readonly service: string;
  readonly submitted: number;
  /** Milliseconds from `submitted` on; undefined: at once, and for ever. */
  readonly delay?: number | undefined;
  readonly deadline?: number | undefined;
  readonly retries: number;
  readonly backoff: number;
  /** 1 if its first attempt was begun as soon as this was stored. */
  readonly begun: number;
  /** The hash of service and body; only if the client chose the id, and may so submit it again. */
  readonly check?: number | undefined;
}

/** How far it has come. */
export interface AttemptsMeta {
  readonly attempts: number;
  /** How many attempts have surely ended. */
  readonly failures: number;
  /** 1 once an operator has submitted it again: delay and deadline are void. */
  readonly again: number;
}

export interface ReplyMeta {
  readonly service: string;
  readonly submitted: number;
  readonly finished: number;
  readonly attempts: number;
  readonly check?: number | undefined;
}

export interface DeadMeta {
  readonly finished: number;
  readonly attempts: number;
  readonly failures: number;
  readonly code: TitanicErrorCode;
  readonly message: string;
}

export interface ClosedMeta {
  readonly closed: number;
}

/** What one record says. */
export type RecordMeta =
  | ({ readonly kind: 'request' } & RequestMeta)
  | ({ readonly kind: 'attempts' } & AttemptsMeta)
  | ({ readonly kind: 'reply' } & ReplyMeta)
  | ({ readonly kind: 'dead' } & DeadMeta)
  | ({ readonly kind: 'closed' } & ClosedMeta);

/** A record's first frame. What is undefined is left out. */
export function encodeMeta(
  meta: RequestMeta | AttemptsMeta | ReplyMeta | DeadMeta | ClosedMeta,
): Uint8Array {
  return encodeText(JSON.stringify(meta));
}

export function keyOf(kind: RecordKind, id: RequestId): string {
  return `${kind}:${id}`;
}

/** The keys of the records of one request, as its bits say, without those of `kept`. */
export function deletesOf(stored: number, id: RequestId, kept = 0): string[] {
  const deletes: string[] = [];
  for (const kind of RECORD_KINDS) {
    if ((stored & ~kept & RECORD_BITS[kind]) !== 0) deletes.push(keyOf(kind, id));
  }
  return deletes;
}

const ID = /^[0-9a-f]{32}$/;

/** What a key names; undefined if it is none of ours. */
export function readKey(
  key: string,
): { readonly kind: RecordKind; readonly id: RequestId } | undefined {
  const colon = key.indexOf(':');
  const [kind, id] = [key.slice(0, colon), key.slice(colon + 1)];
  return Object.hasOwn(RECORD_BITS, kind) && ID.test(id)
    ? { kind: kind as RecordKind, id }
    : undefined;
}

/** What the record says, or why it cannot be read. */
export function decodeRecord(kind: RecordKind, frames: Frames): RecordMeta | string {
  try {
    return READERS[kind](Fields.read(frames[0]));
  } catch (error) {
    if (error instanceof FieldError) return error.message;
    throw error;
  }
}

/** The hash of what a second submit under the same id has to repeat: 32 bits, with their sign. */
export function checkOf(service: string, body: Frames): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < service.length; index++)
    hash = mixed(hash, service.charCodeAt(index));
  for (const frame of body) {
    hash = mixed(hash, frame.byteLength);
    const words = frame.byteLength & ~3;
    for (let at = 0; at < words; at += 4) {
      const [low, high] = [
        frame[at]! | (frame[at + 1]! << 8),
        frame[at + 2]! | (frame[at + 3]! << 8),
      ];
      hash = mixed(hash, low | (high << 16));
    }
    for (let at = words; at < frame.byteLength; at++) hash = mixed(hash, frame[at]!);
  }
  return hash | 0;
}

/** One word more, and its bits spread: the upper ones have to reach the lower ones. */
function mixed(hash: number, word: number): number {
  const product = Math.imul(hash ^ word, 0x9e3779b1);
  return product ^ (product >>> 15);
}

const LEAST_CHECK = -(2 ** 31);

const READERS: Readonly<Record<RecordKind, (fields: Fields) => RecordMeta>> = {
  request: (fields) => ({
    kind: 'request',
    service: needed(fields.text('service'), 'service'),
    submitted: needed(fields.milliseconds('submitted', 0), 'submitted'),
    delay: fields.milliseconds('delay', 0),
    deadline: fields.milliseconds('deadline', 0),
    retries: needed(fields.count('retries', 0), 'retries'),
    backoff: needed(fields.milliseconds('backoff', 0), 'backoff'),
    begun: needed(fields.count('begun', 0), 'begun'),
    check: fields.count('check', LEAST_CHECK),
  }),
  attempts: (fields) => ({
    kind: 'attempts',
    attempts: needed(fields.count('attempts', 0), 'attempts'),
    failures: needed(fields.count('failures', 0), 'failures'),
    again: fields.count('again', 0) ?? 0,
  }),
  reply: (fields) => ({
    kind: 'reply',
    service: needed(fields.text('service'), 'service'),
    submitted: needed(fields.milliseconds('submitted', 0), 'submitted'),
    finished: needed(fields.milliseconds('finished', 0), 'finished'),
    attempts: needed(fields.count('attempts', 0), 'attempts'),
    check: fields.count('check', LEAST_CHECK),
  }),
  dead: (fields) => ({
    kind: 'dead',
    finished: needed(fields.milliseconds('finished', 0), 'finished'),
    attempts: needed(fields.count('attempts', 0), 'attempts'),
    failures: needed(fields.count('failures', 0), 'failures'),
    code: needed(fields.word('code', TITANIC_ERROR_CODES), 'code'),
    message: needed(fields.text('message'), 'message'),
  }),
  closed: (fields) => ({
    kind: 'closed',
    closed: needed(fields.milliseconds('closed', 0), 'closed'),
  }),
};

function needed<Value>(value: Value | undefined, name: string): Value {
  if (value === undefined) throw new FieldError(`'${name}' is missing`);
  return value;
}
