/** How a failure is written in express: as fields of whatever ends with one. */
import { type Failure, REQUEST_ERROR_CODES, type RequestErrorCode } from '../../core/errors.ts';
import type { Pack } from '../../core/pack.ts';
import type { Reader } from '../../core/unpack.ts';
import { FAILURE_LIMIT, FIELDS, KEY_LIMIT } from './express-format.ts';

/** A command while it is being read. */
export type Writable<Type> = { -readonly [Key in keyof Type]: Type[Key] };

/** What a command may say beside its body of how a thing went. */
export interface OutcomeFields {
  readonly sequence?: number | undefined;
  readonly failure?: Failure | undefined;
}

/** Characters of a failure's message that are sent: an error is not a way to ship megabytes. */
const MESSAGE_LIMIT = 4096;

const CODES: ReadonlySet<string> = new Set(REQUEST_ERROR_CODES);

/** Writes the fields that there are. */
export function writeOutcome(pack: Pack, { sequence, failure }: OutcomeFields): void {
  if (sequence !== undefined) pack.uintField(FIELDS.sequence, sequence);
  if (failure === undefined) return;
  pack.textField(FIELDS.failureCode, failure.code);
  pack.textField(FIELDS.failureMessage, failure.message.slice(0, MESSAGE_LIMIT));
  if (failure.retryAfter !== undefined) pack.uintField(FIELDS.retryAfter, failure.retryAfter);
  if (failure.attempts !== undefined) pack.uintField(FIELDS.attempts, failure.attempts);
}

/** Reads the fields that are left into `command`. */
export function readOutcome(reader: Reader, command: Writable<OutcomeFields>): void {
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
