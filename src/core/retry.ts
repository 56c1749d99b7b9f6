/**
 * Exponential back-off with full jitter on its upper half: delay n lies between half of
 * `first × 2ⁿ` and all of it, capped. The half that is fixed keeps a floor under the pace, the half
 * that is random keeps many clients from coming back at the same instant.
 */
export interface BackoffSettings {
  /** Milliseconds before the first retry, at most. */
  readonly backoff: number;
  /** Milliseconds that no delay exceeds. */
  readonly backoffLimit: number;
}

/** A source of randomness: uniform in [0, 1). Handed to machines, never taken from a global. */
export type Random = () => number;

/** Milliseconds to wait before retry number `retry` (0 is the first). */
export function backoffDelay(settings: BackoffSettings, retry: number, random: Random): number {
  const ceiling = Math.min(settings.backoffLimit, settings.backoff * 2 ** Math.min(retry, 30));
  return ceiling / 2 + (ceiling / 2) * random();
}
