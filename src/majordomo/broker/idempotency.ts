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
  /** In a pair: the other broker would know it too, or may not serve: see `followers.ts`. */
  mayBeTold: boolean;
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

  /** The request ended; with a worker's answer, which is returned if it is kept, or without one. */
  ended(now: Instant, request: PendingRequest, answer?: Outcome): StoredReply | undefined {
    const { service, key } = request;
    if (key === undefined) return undefined;
    this.state.open.delete(nameOf(service, key));
    return answer === undefined ? undefined : this.keep(now, service, key, answer);
  }

  /**
   * Keeps what a worker answered; undefined if that is not for ever, or too large.
   * @param ttl milliseconds for which it is kept
   */
  keep(
    now: Instant,
    service: string,
    key: string,
    { body, failure }: Outcome,
    ttl = this.#bounds.idempotencyTtl,
  ): StoredReply | undefined {
    if (!isLasting(failure)) return undefined;
    const bytes = sizeOf(body) + (failure?.message.length ?? 0) + REPLY_OVERHEAD;
    if (bytes > this.#bounds.idempotencyBytes) return undefined;
    const name = nameOf(service, key);
    this.#forget(name);
    const expiresAt = now + ttl;
    const kept = { failure, body: keepFrames(body), bytes, expiresAt, mayBeTold: true };
    this.state.replies.set(name, kept);
    this.state.bytes += bytes;
    for (const oldest of this.state.replies.keys()) {
      if (this.state.bytes <= this.#bounds.idempotencyBytes) break;
      this.#forget(oldest);
    }
    return kept;
  }

  /** All that is kept, oldest first. */
  *all(): Generator<{ service: string; key: string; reply: StoredReply }> {
    for (const [name, reply] of this.state.replies) yield { ...partsOf(name), reply };
  }

  /** Forgets all replies. */
  clear(): void {
    this.state.replies.clear();
    this.state.bytes = 0;
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
export function isLasting(failure: Failure | undefined): boolean {
  return failure === undefined || failure.code === 'ERR_HANDLER_FAILED';
}

/** The service's length stands in front, so that no two pairs give one name. */
export function nameOf(service: string, key: string): string {
  return `${service.length}:${service}${key}`;
}

function partsOf(name: string): { service: string; key: string } {
  const begin = name.indexOf(':') + 1;
  const end = begin + Number(name.slice(0, begin - 1));
  return { service: name.slice(begin, end), key: name.slice(end) };
}
