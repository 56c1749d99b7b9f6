/** Options that several patterns have, with one meaning and one default everywhere. */
import type { Logger } from './logger.ts';
import { count, milliseconds, such, type Rule } from './options.ts';

/** Heartbeats: both sides of a link should agree on them, as no RFC negotiates them. */
export interface HeartbeatOptions {
  /** Milliseconds between two heartbeats. Default 1,000. */
  readonly heartbeatInterval?: number | undefined;
  /** Intervals of silence after which a peer counts as lost. Default 3 (the RFCs suggest 3 to 5). */
  readonly heartbeatLiveness?: number | undefined;
}

/** What every role has. */
export interface CommonOptions {
  /** Bound of each peer's outgoing queue in bytes. One larger message still passes. Default 64 MiB. */
  readonly peerQueueBytes?: number | undefined;
  /** How long `close()` waits for what is in flight, in milliseconds. Default 5,000. */
  readonly drainTimeout?: number | undefined;
  /** Receives what happens, in pino's shape. Default: silence. */
  readonly logger?: Logger | undefined;
}

export const MiB = 1024 * 1024;

export const heartbeatRules = {
  heartbeatInterval: milliseconds(1000),
  heartbeatLiveness: count(3, 2),
};

export const commonRules = {
  peerQueueBytes: count(64 * MiB, 1024),
  drainTimeout: milliseconds(5000, 0),
  logger: such<Logger | undefined>(undefined, "a logger with pino's methods", isLogger),
};

/** One that is something else when left out, which the class says. */
export const optionalMilliseconds: Rule<number | undefined> = such<number | undefined>(
  undefined,
  'milliseconds, 1 or more',
  (value) => milliseconds(1).accepts(value),
);

/** As before, but it may also be for ever. */
export const optionalTimeout: Rule<number | undefined> = such<number | undefined>(
  undefined,
  'milliseconds, 1 or more, or Infinity',
  (value) => milliseconds(1, 1, true).accepts(value),
);

export const optionalCount: Rule<number | undefined> = such<number | undefined>(
  undefined,
  'a whole number, 0 or more',
  (value) => count(0, 0).accepts(value),
);

export const optionalSignal: Rule<AbortSignal | undefined> = such<AbortSignal | undefined>(
  undefined,
  'an AbortSignal',
  (value) => value instanceof AbortSignal,
);

function isLogger(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const methods = value as Record<string, unknown>;
  return ['debug', 'info', 'warn', 'error'].every((name) => typeof methods[name] === 'function');
}
