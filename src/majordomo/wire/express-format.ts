/**
 * The numbers of the express wire, and its bounds. `docs/express.md` is the specification.
 *
 *   message  header frame, further frames…
 *   header   'UNSX01' command…
 *   command  type (1 byte), length of the rest (4 bytes, big-endian), fixed fields, body, fields…
 *   body     number of frames, then for each: length + 1 and its bytes, or 0, index and length of a
 *            further frame
 *   field    tag (1 byte), length, value; tags ascend, unknown ones are skipped
 *
 * All numbers but the length of a command are varints: seven bits a byte, lowest first.
 */
import { encodeText } from '../../core/frames.ts';
import type { Command, ReplicaRecord } from './commands.ts';

export { HEADERS_LIMIT } from './headers.ts';

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

/** Bytes of type and length in front of each command. */
export const PROLOGUE = 5;

/** Bytes of a session id. */
export const SESSION_LENGTH = 16;

/** Frames of one body; as many further frames may follow the header of one message. */
export { FRAME_LIMIT } from '../../core/codec.ts';

/** Bytes of a header frame. */
export const HEADER_LIMIT = 1024 * 1024;

/** Commands of one message. */
export const COMMAND_LIMIT = 65_536;

/**
 * Bytes of a frame inside a header: what is kept of it is then copied (`keepFrames`), and never keeps
 * the whole header in memory.
 */
export const INLINE_LIMIT = 8 * 1024;

/** Numbers of one list of what is under way. */
export const HELD_LIMIT = 65_536;

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
