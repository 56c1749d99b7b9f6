/**
 * The numbers of the express wire, and its bounds. `docs/express.md` is the specification.
 * How commands become messages is the same in all our packed dialects: see `core/pack-format.ts`.
 */
import { encodeText } from '../../core/frames.ts';
import type { Command, ReplicaRecord } from './commands.ts';

export { HEADERS_LIMIT } from './headers.ts';
export {
  COMMAND_LIMIT,
  FRAME_LIMIT,
  HEADER_LIMIT,
  INLINE_LIMIT,
  LARGE_FRAME,
  NUMBERS_LIMIT as HELD_LIMIT,
  PROLOGUE,
  SESSION_LENGTH,
} from '../../core/pack-format.ts';

/** What every express message begins with: the name, and the version in two digits. */
export const EXPRESS_TAG = encodeText('UNSX01');

/** The type bytes. A number is never given a second meaning; 0 and 128 upwards are reserved. */
export const TYPES = {
  hello: 1,
  welcome: 2,
  request: 3,
  reply: 4,
  ready: 5,
  dispatch: 6,
  result: 7,
  heartbeat: 8,
  disconnect: 9,
  cancel: 10,
  credit: 11,
  capacity: 12,
  handBack: 13,
  beacon: 14,
  announce: 15,
  standing: 16,
  seen: 17,
  report: 18,
  finished: 19,
  follow: 20,
  record: 21,
  recorded: 22,
} as const satisfies Record<Command['type'], number>;

/** The tags of optional fields, the same in every command that has them. */
export const FIELDS = {
  timeLeft: 1,
  priority: 2,
  key: 3,
  headers: 4,
  window: 5,
  sequence: 6,
  failureCode: 7,
  failureMessage: 8,
  retryAfter: 9,
  attempts: 10,
  epoch: 11,
  worker: 12,
  endpoint: 13,
} as const;

/** What a RECORD tells. */
export const RECORDS = {
  reply: 1,
  worker: 2,
  workerGone: 3,
  complete: 4,
  beat: 5,
} as const satisfies Record<ReplicaRecord['kind'], number>;

/** Bits of the flags byte of a request. */
export const FAIL_FAST = 1;
export const BROADCAST = 2;
/** The flag of a reply and a result. */
export const FINAL = 1;
/** The flags of a welcome. */
export const RESUMED = 1;
export const STANDBY = 2;
/** The flags of a standing. */
export const ACTIVE = 1;
export const HEIR = 2;

/** Bytes of the message of a failure. */
export const FAILURE_LIMIT = 16 * 1024;

/** Bytes of an idempotency key. */
export const KEY_LIMIT = 255;

/** Keys of one list of a report. */
export const KEYS_LIMIT = 65_536;

/** Bytes of one list of a report: of longer ones only the last keys are sent. */
export const KEYS_SIZE = 256 * 1024;

/** Bytes of an endpoint; longer ones are not sent. */
export const ENDPOINT_LIMIT = 255;

/** The highest priority. */
export const PRIORITY_LIMIT = 9;
