/**
 * The numbers of the stream's wire, and its bounds. `docs/clone-wire.md` is the specification.
 *
 * How commands become messages is the same in all our packed dialects, see `core/pack-format.ts`; the tag
 * is `UNSXCL01`. These are the fixed parts of the commands, then the body of those that have one, then
 * the optional fields. Numbers are varints where nothing is said. Behind `/` is how many bytes.
 *
 *   FOLLOW    stream flags/1 window epoch writer/8 interval liveness subtree          position
 *   PROGRESS  stream received sequence epoch
 *   WRITE     number floor kind/1 key                                           body  ttl ifMatch
 *   GOODBYE
 *   REDIRECT  epoch                                                                   endpoint
 *   BEGIN     stream mode/1 epoch sequence predecessor interval liveness
 *   ITEM      stream index revision key                                         body  ttl timeLeft
 *   WRITER    stream index writer/8 next count (step revision)…
 *   LINEAGE   stream count (epoch base)…
 *   END       stream count sequence predecessor digest/8
 *   UPDATE    stream sequence distance kind/1 key                               body  ttl timeLeft origin floor
 *   BEAT      stream flags/1 epoch sequence predecessor                               digest
 *   RESULT    number outcome/1 flags/1 revision                                       retryAfter
 *   EXPECTED  number
 *
 * A key or subtree is its length in one byte, and UTF-8. `distance` is how far the predecessor is behind
 * the sequence, `step` how much a number is more than the one before it.
 */
import { encodeText } from '../../core/frames.ts';
import type {
  BeginCommand,
  FollowerInput,
  FollowerOutput,
  WriteKind,
  WriteRefusal,
} from '../commands.ts';

export {
  COMMAND_LIMIT,
  FRAME_LIMIT,
  HEADER_LIMIT,
  INLINE_LIMIT,
  LARGE_FRAME,
  NUMBERS_LIMIT,
} from '../../core/pack-format.ts';

/** What every message of the stream begins with: the name, and the version in two digits. */
export const STREAM_TAG = encodeText('UNSXCL01');

/** What our own followers and servers say to each other. */
export type StreamDialect = FollowerInput | FollowerOutput;

/** The type bytes. A number is never given a second meaning; 0 and 128 upwards are reserved. */
export const TYPES = {
  follow: 1,
  progress: 2,
  write: 3,
  goodbye: 4,
  redirect: 5,
  begin: 6,
  item: 7,
  writer: 8,
  lineage: 9,
  end: 10,
  update: 11,
  beat: 12,
  result: 13,
  expected: 14,
} as const satisfies Record<StreamDialect['type'], number>;

/** The tags of optional fields, the same in every command that has them. */
export const FIELDS = {
  ttl: 1,
  timeLeft: 2,
  ifMatch: 3,
  origin: 4,
  position: 5,
  digest: 6,
  endpoint: 7,
  retryAfter: 8,
  floor: 9,
} as const;

/** What a write does. */
export const KINDS = {
  set: 1,
  delete: 2,
  clear: 3,
} as const satisfies Record<WriteKind, number>;

/** How a stream begins. */
export const MODES = {
  continue: 1,
  snapshot: 2,
  lost: 3,
} as const satisfies Record<BeginCommand['mode'], number>;

/** How a write ended; other numbers are refusals of a later version. */
export const DONE = 0;
export const REFUSALS = {
  conflict: 1,
  invalidKey: 2,
  invalidValue: 3,
  full: 4,
  busy: 5,
  storageFailed: 6,
} as const satisfies Record<WriteRefusal, number>;

/** The flag of a FOLLOW. */
export const BACKUP = 1;
/** The flag of a BEAT. */
export const CAUGHT_UP = 1;
/** The flag of a RESULT. */
export const REPLICATED = 1;

/** Bytes of a writer's id. */
export const WRITER_LENGTH = 8;

/** Reigns of one lineage. */
export const REIGNS_LIMIT = 1024;

/** Bytes of an endpoint; longer ones are not sent. */
export const ENDPOINT_LIMIT = 255;
