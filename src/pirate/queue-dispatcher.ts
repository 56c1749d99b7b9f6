/**
 * Where requests meet workers: who gets what to do, and what becomes of it.
 *
 * One rule carries the reliability: a dispatched request stays the queue's until the reply for exactly
 * that dispatch arrives; whatever else ends the dispatch puts the request back at the head of the queue,
 * or ends it by name.
 */
import { encodeFailure } from '../core/error-body.ts';
import type { RequestErrorCode } from '../core/errors.ts';
import type { Address, Frames, Instant, Outbox } from '../core/machine.ts';
import type { Random } from '../core/retry.ts';
import type { QueueOutput, QueuePort, RequestCommand, ResultCommand } from './commands.ts';
import {
  QUEUE_EVENT_TYPES,
  type EventCounts,
  type QueueEvent,
  type RefusalReason,
  type ReplyRefusal,
  type WorkerLossReason,
} from './queue-events.ts';
import type { PendingRequest, QueueRequests } from './queue-requests.ts';
import { DispatchTags } from './queue-tags.ts';
import type { Worker, WorkerTable } from './queue-workers.ts';

export type QueueOutbox = Outbox<QueuePort, QueueOutput, QueueEvent>;

export interface DispatcherSettings {
  readonly maxAttempts: number;
  readonly attemptTimeout: number;
  readonly random: Random;
}

/** What a refused client is told. */
const REFUSALS: Readonly<Record<RefusalReason, readonly [RequestErrorCode, string]>> = {
  closing: ['ERR_SERVER_CLOSING', 'the queue is closing: try again at another, or later'],
  queueFull: ['ERR_QUEUE_FULL', 'the queue is full: try again later'],
};

export class Dispatcher {
  readonly counts: EventCounts;
  readonly tags: DispatchTags;
  readonly #requests: QueueRequests;
  readonly #workers: WorkerTable;
  readonly #settings: DispatcherSettings;
  readonly #outbox: QueueOutbox;
  #isClosing = false;

  constructor(
    requests: QueueRequests,
    workers: WorkerTable,
    settings: DispatcherSettings,
    outbox: QueueOutbox,
  ) {
    this.counts = Object.fromEntries(QUEUE_EVENT_TYPES.map((type) => [type, 0])) as EventCounts;
    this.tags = new DispatchTags(settings.random);
    this.#requests = requests;
    this.#workers = workers;
    this.#settings = settings;
    this.#outbox = outbox;
  }

  /** Tells the user, and counts. */
  emit(event: QueueEvent): void {
    this.counts[event.type]++;
    this.#outbox.emit(event);
  }

  /** From now on nothing is given to workers, and what they lose fails. */
  close(): void {
    this.#isClosing = true;
  }

  // Requests come in

  /** It does not stay in the queue if there is a worker at once. */
  take(now: Instant, from: Address, command: RequestCommand): void {
    if (this.#isClosing) return this.#refuse(from, command, 'closing');
    const idle = this.#requests.hasQueued() ? undefined : this.#workers.nextIdle;
    if (idle === undefined && !this.#requests.hasRoom(command)) {
      return this.#refuse(from, command, 'queueFull');
    }
    const request = this.#requests.accept(now, from, command, idle !== undefined);
    if (idle === undefined) return;
    this.#start(now, idle, request);
    // Its outgoing queue was full: another worker may be idle.
    if (request.state === 'queued') this.serve(now);
  }

  #refuse(client: Address, { stack }: RequestCommand, reason: RefusalReason): void {
    this.emit({ type: 'requestRefused', client, reason });
    this.#reply(client, stack, encodeFailure(failureOf(REFUSALS[reason])));
  }

  // They are given to workers

  /** Gives queued requests to idle workers, as far as both go. */
  serve(now: Instant): void {
    if (this.#isClosing) return;
    while (this.#requests.hasQueued()) {
      const worker = this.#workers.nextIdle;
      if (worker === undefined) return;
      this.#start(now, worker, this.#requests.takeNext()!);
    }
  }

  /** Gives a request, which is in flight from now on, to a worker that may work. */
  #start(now: Instant, worker: Worker, request: PendingRequest): void {
    const number = this.tags.count();
    const stack = this.tags.stackFor(number);
    const { body } = request;
    if (this.#outbox.send('backend', worker.address, { type: 'dispatch', stack, body })) {
      worker.dispatch = { number, request, timeoutAt: now + this.#settings.attemptTimeout };
    } else {
      worker.writable = false;
      this.#requests.requeue(request, true);
    }
    this.#workers.update(worker);
  }

  // They are answered

  /**
   * A result came: it counts only for what the worker holds, and frees it only then. The caller serves
   * afterwards.
   */
  settle(worker: Worker, { stack, body }: ResultCommand): void {
    const { dispatch, address } = worker;
    if (dispatch === undefined || !this.tags.isOf(dispatch.number, stack)) {
      return this.refuseReply(address, 'stale');
    }
    const { request } = dispatch;
    worker.dispatch = undefined;
    this.#workers.update(worker);
    if (request === undefined) {
      this.refuseReply(address, 'stale');
      this.emit({ type: 'workerRecovered', worker: address });
    } else if (this.#requests.end(request, 'replied')) {
      const isSent = this.#reply(request.owner.address, request.stack, body);
      if (!isSent) this.refuseReply(address, 'clientQueueFull');
    } else this.refuseReply(address, 'requestEnded');
  }

  refuseReply(worker: Address, reason: ReplyRefusal): void {
    this.emit({ type: 'replyRefused', worker, reason });
  }

  // Or lost

  /** A worker's session ends; what it held goes to another. */
  endWorker(now: Instant, worker: Worker, reason: WorkerLossReason): void {
    const request = worker.dispatch?.request;
    const held = request?.state === 'inFlight';
    this.#workers.remove(worker);
    this.emit({ type: 'workerLost', worker: worker.address, reason, held });
    if (held) this.#recover(now, request);
  }

  /** A worker has held its request for too long: the request is not its own any more. */
  giveUp(now: Instant, worker: Worker): void {
    const { dispatch } = worker;
    if (dispatch?.request === undefined) return;
    const { request } = dispatch;
    dispatch.request = undefined;
    this.#workers.update(worker);
    this.emit({ type: 'workerOverdue', worker: worker.address });
    if (request.state === 'inFlight') this.#recover(now, request);
  }

  #recover(now: Instant, request: PendingRequest): void {
    const { attempts, body } = request;
    const client = request.owner.address;
    if (this.#isClosing) return this.failAsClosing(request);
    if (attempts < this.#settings.maxAttempts) {
      this.#requests.requeue(request, false);
      this.emit({ type: 'requestRequeued', client, attempts });
      return this.serve(now);
    }
    this.emit({ type: 'deadLetter', client, body, attempts });
    const message = `the request cost ${attempts} workers and is given up`;
    this.#fail(request, 'failed', ['ERR_ATTEMPTS_EXHAUSTED', message]);
  }

  // Or end without an answer; a worker that holds one is busy until it answers all the same

  expire(request: PendingRequest): void {
    const running = request.state === 'inFlight';
    this.emit({ type: 'requestExpired', client: request.owner.address, running });
    const where = running ? 'while a worker held it' : 'before a worker was free';
    this.#fail(request, 'expired', ['ERR_REQUEST_EXPIRED', `the request expired ${where}`]);
  }

  /** Nobody waits for it any more. */
  cancel(request: PendingRequest): void {
    this.emit({ type: 'requestCancelled', client: request.owner.address });
    this.#requests.end(request, 'cancelled');
  }

  failAsClosing(request: PendingRequest): void {
    const message = 'the queue closed before a worker replied';
    this.#fail(request, 'failed', ['ERR_SERVER_CLOSING', message]);
  }

  #fail(
    request: PendingRequest,
    how: 'failed' | 'expired',
    told: readonly [RequestErrorCode, string],
  ): void {
    this.#requests.end(request, how);
    this.#reply(request.owner.address, request.stack, encodeFailure(failureOf(told)));
  }

  /** False: the client's queue is full, and nothing was sent. */
  #reply(to: Address, stack: Frames | undefined, body: Frames): boolean {
    return this.#outbox.send('frontend', to, { type: 'reply', stack, body });
  }
}

function failureOf([code, message]: readonly [RequestErrorCode, string]) {
  return { code, message };
}
