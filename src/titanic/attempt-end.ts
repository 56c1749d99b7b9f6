/** What the failure of a request to a service means for the attempt that it was. */
import { RequestError, UnsinkableError, type ErrorCode } from '../core/errors.ts';
import type { AttemptEnd } from './titanic-events.ts';

/** Nobody was given the request: it never left, or the broker did not take it. */
const UNSTARTED: ReadonlySet<ErrorCode> = new Set([
  'ERR_BROKER_CLOSING',
  'ERR_CLOSED',
  'ERR_NOT_CONNECTED',
  'ERR_NO_SERVICE',
  'ERR_QUEUE_FULL',
]);

/** In doubt `lost`: it may have run, or still run. */
export function attemptEndOf(error: unknown): AttemptEnd {
  if (!(error instanceof UnsinkableError)) return 'lost';
  if (error.code === 'ERR_HANDLER_FAILED') return 'failed';
  if (error.code === 'ERR_ATTEMPTS_EXHAUSTED') return 'poison';
  const isUntouched = error instanceof RequestError && error.attempts === 0;
  return isUntouched || UNSTARTED.has(error.code) ? 'unstarted' : 'lost';
}
