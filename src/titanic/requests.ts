/**
 * Every request that the store knows: one entry each, small, and without its body.
 *
 *   fresh ──► delayed ◄──► waiting ◄──► running ──► done | dead ──► closed ──► (forgotten)
 *
 * What an entry shows is durable: whatever happens to a request is stored first, and shown then. A fresh
 * one is not stored yet, and nobody is told of it.
 */
import type { TitanicErrorCode } from '../core/errors.ts';
import type { Frames, Instant } from '../core/machine.ts';
import type { RequestId, RequestState } from './commands.ts';
import { Linked } from './line.ts';
import type { ServiceLine } from './service-lines.ts';
import type { AskToken, ExecutionToken } from './titanic-events.ts';
import type { Write } from './writes.ts';

export type EntryState = 'fresh' | RequestState | 'closed';

/** How a request has ended, before that is stored. Times are of the wall clock. */
export type Ending =
  | { readonly type: 'done'; readonly finished: number; readonly body: Frames }
  | {
      readonly type: 'dead';
      readonly finished: number;
      readonly code: TitanicErrorCode;
      readonly message: string;
    };

/** How it is tried. */
export interface Policy {
  readonly retries: number;
  readonly backoff: number;
}

/** What is known of a request while it is pending. Also the key of its deadline. */
export interface Pending extends Policy {
  readonly request: StoredRequest;
  /** When the next attempt may begin, and when it is too late for any. */
  dueAt: Instant;
  deadlineAt: Instant;
  /** How many attempts were stored as begun; one that was handed back is stored already. */
  begun: number;
  /** How many have surely ended. */
  failures: number;
  /** An operator has submitted it again. */
  again: number;
  /** It counts among those that its service runs. */
  hasRoom: boolean;
  /** The attempt that is under way; 0 if there is none. */
  execution: ExecutionToken;
  /** To be stored. */
  ending: Ending | undefined;
}

/** Why it is dead, and how it would be tried again. */
export interface DeadLetter {
  readonly code: TitanicErrorCode;
  readonly message: string;
  readonly failures: number;
  /** Undefined if its record cannot be read: then it cannot be tried again. */
  readonly policy: Policy | undefined;
}

/** Neighbours in the order of submission. Symbols: no part of the plain data. */
const OLDER = Symbol('older');
const NEWER = Symbol('newer');

export class StoredRequest extends Linked {
  [OLDER]: StoredRequest | undefined = undefined;
  [NEWER]: StoredRequest | undefined = undefined;
  readonly id: RequestId;
  /** Undefined where nobody knows it any more. */
  service: ServiceLine | undefined = undefined;
  state: EntryState = 'fresh';
  attempts = 0;
  /** Bits of the records that are stored of it. */
  stored = 0;
  /** Bytes of its body; then of its reply, or of body and reason. */
  bytes = 0;
  /** By the wall clock: submitted; done, dead or closed. */
  submitted = 0;
  finished = 0;
  check: number | undefined = undefined;
  pending: Pending | undefined = undefined;
  dead: DeadLetter | undefined = undefined;
  /** What is being written of it: one thing at a time. */
  write: Write | undefined = undefined;
  /** Who asked to close it, while that is still to be done. */
  closers: AskToken[] | undefined = undefined;

  constructor(id: RequestId) {
    super();
    this.id = id;
  }
}

export type StateCounts = Record<RequestState, number>;

export function noRequests(): StateCounts {
  return { delayed: 0, waiting: 0, running: 0, done: 0, dead: 0 };
}

export interface RequestBounds {
  readonly pendingLimit: number;
  readonly pendingBytes: number;
}

export class Requests {
  /** In the order of submission. */
  readonly entries = new Map<RequestId, StoredRequest>();
  readonly counts: StateCounts & { closed: number } = { ...noRequests(), closed: 0 };
  /** Those that are not done yet, fresh ones among them. */
  readonly pending = { count: 0, bytes: 0 };
  readonly #bounds: RequestBounds;
  #oldest: StoredRequest | undefined;
  #newest: StoredRequest | undefined;

  constructor(bounds: RequestBounds) {
    this.#bounds = bounds;
  }

  get(id: RequestId): StoredRequest | undefined {
    return this.entries.get(id);
  }

  /** True if one more, whose body has so many bytes, may be pending. */
  fits(bytes: number): boolean {
    const { count, bytes: held } = this.pending;
    return count < this.#bounds.pendingLimit && held + bytes <= this.#bounds.pendingBytes;
  }

  /** A fresh one under an id that is not in use. */
  create(id: RequestId): StoredRequest {
    const request = new StoredRequest(id);
    this.entries.set(id, request);
    request[OLDER] = this.#newest;
    if (this.#newest === undefined) this.#oldest = request;
    else this.#newest[NEWER] = request;
    this.#newest = request;
    return request;
  }

  /** It is to be done: counted among the pending ones, from before it is stored until it is not pending. */
  begin(request: StoredRequest, pending: Pending): void {
    request.pending = pending;
    this.pending.count++;
    this.pending.bytes += request.bytes;
  }

  /** The counterpart of `begin`. */
  settle(request: StoredRequest): void {
    if (request.pending === undefined) return;
    request.pending = undefined;
    this.pending.count--;
    this.pending.bytes -= request.bytes;
  }

  show(request: StoredRequest, state: EntryState): void {
    const { service, state: former } = request;
    if (former === state) return;
    if (former !== 'fresh') this.counts[former]--;
    if (state !== 'fresh') this.counts[state]++;
    if (service !== undefined) {
      if (isShown(former)) service.counts[former]--;
      if (isShown(state)) service.counts[state]++;
    }
    request.state = state;
  }

  /** Nothing is stored of it any more. */
  forget(request: StoredRequest): void {
    this.show(request, 'fresh');
    if (!this.entries.delete(request.id)) return;
    const { [OLDER]: older, [NEWER]: newer } = request;
    if (older === undefined) this.#oldest = newer;
    else older[NEWER] = newer;
    if (newer === undefined) this.#newest = older;
    else newer[OLDER] = older;
    request[OLDER] = request[NEWER] = undefined;
  }

  /** Those submitted after this one, or all; a Map would have to be gone through from its beginning. */
  *after(request: StoredRequest | undefined): Generator<StoredRequest> {
    let next = request === undefined ? this.#oldest : request[NEWER];
    for (; next !== undefined; next = next[NEWER]) yield next;
  }
}

/** True if clients may know of one in this state. */
export function isShown(state: EntryState): state is RequestState {
  return state !== 'fresh' && state !== 'closed';
}
