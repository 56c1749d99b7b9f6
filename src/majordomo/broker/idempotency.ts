/**
 * Idempotency keys: a request under a key that is known joins the first one, or gets its reply.
 *
 * While the first is queued or running the key stands for it; when it has ended with a worker's answer
 * that answer is kept, bounded by time and bytes, oldest first out. A request that ended otherwise
 * (cancelled, expired, its workers lost) leaves nothing: the next one under its key is a new start.
 */
import type { Failure } from '../../core/errors.ts';
import { keepFrames, sizeOf } from '../../core/frames.ts';
import type { Instant } from '../../core/machine.ts';

import type { PendingRequest } from './requests.ts';
import type { Outcome } from './voice.ts';

export interface IdempotencyBounds {
  /** Milliseconds for which a reply is kept. */
  readonly idempotencyTtl: number;
  /** Bytes of all kept replies. */
  readonly idempotencyBytes: number;
}

/** What a worker answered. */
export interface StoredReply extends Outcome {
  readonly bytes: number;
  readonly expiresAt: Instant;
}

/** What a stored reply costs beside its body. */
const REPLY_OVERHEAD = 256;

export class KeyBook {
  /** Plain data, for the fingerprint and for checkers. The first reply is the oldest. */
  readonly state = {
    open: new Map<string, PendingRequest>(),
    replies: new Map<string, StoredReply>(),
    bytes: 0,
  };
  readonly #bounds: IdempotencyBounds;

  constructor(bounds: IdempotencyBounds) {
    this.#bounds = bounds;
  }

  /** When the oldest reply is forgotten. */
  get nextExpiry(): Instant {
    for (const { expiresAt } of this.state.replies.values()) return expiresAt;
    return Infinity;
  }

  /** The request that is queued or running under this key. */
  openUnder(service: string, key: string): PendingRequest | undefined {
    return this.state.open.get(nameOf(service, key));
  }

  /** The reply that is kept under this key. */
  replyUnder(service: string, key: string): StoredReply | undefined {
    return this.state.replies.get(nameOf(service, key));
  }

  began(request: PendingRequest): void {
    if (request.key !== undefined)
      this.state.open.set(nameOf(request.service, request.key), request);
  }

  /** The request ended; with a worker's answer, or without one. */
  ended(now: Instant, request: PendingRequest, answer?: Outcome): void {
    if (request.key === undefined) return;
    const name = nameOf(request.service, request.key);
    this.state.open.delete(name);
    if (answer === undefined || !isLasting(answer.failure)) return;
    const { body, failure } = answer;
    const bytes = sizeOf(body) + (failure?.message.length ?? 0) + REPLY_OVERHEAD;
    if (bytes > this.#bounds.idempotencyBytes) return;
    const { idempotencyTtl } = this.#bounds;
    const expiresAt = now + idempotencyTtl;
    this.state.replies.set(name, { failure, body: keepFrames(body), bytes, expiresAt });
    this.state.bytes += bytes;
    for (const oldest of this.state.replies.keys()) {
      if (this.state.bytes <= this.#bounds.idempotencyBytes) break;
      this.#forget(oldest);
    }
  }

  /** Forgets what was kept long enough. */
  expire(now: Instant): void {
    for (const [name, { expiresAt }] of this.state.replies) {
      if (expiresAt > now) return;
      this.#forget(name);
    }
  }

  #forget(name: string): void {
    this.state.bytes -= this.state.replies.get(name)?.bytes ?? 0;
    this.state.replies.delete(name);
  }
}

/** What the handler itself said. A worker also fails what was cancelled or ran out of time meanwhile. */
function isLasting(failure: Failure | undefined): boolean {
  return failure === undefined || failure.code === 'ERR_HANDLER_FAILED';
}

/** The service's length stands in front, so that no two pairs give one name. */
function nameOf(service: string, key: string): string {
  return `${service.length}:${service}${key}`;
}
