/**
 * The queue of Simple Pirate and Paranoid Pirate, 6/PPP, as a pure machine.
 *
 * This is the protocol's side of it: who may say what, and what time brings. What the queue knows is in
 * `queue-requests.ts` and `queue-workers.ts`; what it does about it in `queue-dispatcher.ts`. The simple
 * queue is the same one with heartbeats that never come.
 */
import { fingerprintOf } from '../core/fingerprint.ts';
import type { HeartbeatSettings } from '../core/heartbeat.ts';
import type { Address, Instant, Machine } from '../core/machine.ts';
import type { BookBounds } from '../core/request-book.ts';
import type {
  PirateProtocol,
  QueueInput,
  QueuePort,
  RequestCommand,
  ResultCommand,
} from './commands.ts';
import { Dispatcher, type DispatcherSettings, type QueueOutbox } from './queue-dispatcher.ts';
import type { QueueStatus } from './queue-events.ts';
import { QueueRequests } from './queue-requests.ts';
import { isOverdue, WorkerTable, type Worker } from './queue-workers.ts';

/**
 * `drain`: take nothing new, fail what is queued, let what runs finish. `stop`: the same without waiting.
 */
export type QueueCall = { readonly type: 'drain' } | { readonly type: 'stop' };

/** In the simple protocol `heartbeatInterval` is `Infinity`: nobody beats, and nobody expires. */
export interface QueueSettings extends HeartbeatSettings, BookBounds, DispatcherSettings {
  readonly protocol: PirateProtocol;
  readonly workerLimit: number;
  readonly noticeGrace: number;
}

/** Where there are no heartbeats: so late, in milliseconds, a timeout says that this side was stopped. */
const PATIENCE = 100;

export class QueueMachine implements Machine<QueuePort, QueueInput, QueueCall> {
  readonly requests: QueueRequests;
  readonly workers: WorkerTable;
  readonly #settings: QueueSettings;
  readonly #outbox: QueueOutbox;
  readonly #dispatcher: Dispatcher;
  readonly #patience: number;
  #phase: 'serving' | 'draining' | 'drained' = 'serving';

  constructor(outbox: QueueOutbox, settings: QueueSettings) {
    const { heartbeatInterval } = settings;
    this.requests = new QueueRequests(settings);
    this.workers = new WorkerTable(settings);
    this.#settings = settings;
    this.#outbox = outbox;
    this.#dispatcher = new Dispatcher(this.requests, this.workers, settings, outbox);
    this.#patience = heartbeatInterval === Infinity ? PATIENCE : heartbeatInterval;
  }

  get nextTimeout(): Instant {
    return Math.min(this.workers.nextDue, this.requests.nextDue);
  }

  fingerprint(now: Instant): string {
    const { requests, workers } = this;
    const { next } = this.#dispatcher.tags;
    return fingerprintOf([requests.state, requests.clients, workers.state, next, this.#phase], now);
  }

  status(): QueueStatus {
    const { accepted, ended, queued, queuedBytes, inFlight } = this.requests.state;
    let overdue = 0;
    for (const worker of this.workers.all()) if (isOverdue(worker)) overdue++;
    return {
      workers: this.workers.size,
      idle: this.workers.state.idle.size,
      overdue,
      queued,
      queuedBytes,
      inFlight,
      requests: { accepted, ...ended },
      events: { ...this.#dispatcher.counts },
    };
  }

  handleCommand(now: Instant, _port: QueuePort, from: Address, command: QueueInput): void {
    if (command.type === 'request') {
      this.#handleRequest(now, from, command);
      return;
    }
    const worker = this.workers.of(from);
    if (worker !== undefined) this.workers.heard(now, worker);
    // A heartbeat says nothing more: 6/PPP, the first message in any conversation MUST be READY.
    if (command.type === 'ready') this.#handleReady(now, from, worker);
    else if (command.type === 'result') this.#handleResult(now, from, worker, command);
    this.#dispatcher.serve(now);
    this.#finishDraining(now);
  }

  handleMalformed(_now: Instant, port: QueuePort, from: Address, reason: string): void {
    this.#dispatcher.emit({ type: 'malformed', port, from, reason });
  }

  handleCall(now: Instant, call: QueueCall): void {
    if (this.#phase === 'drained') return;
    this.#phase = 'draining';
    this.#dispatcher.close();
    for (const request of this.requests.state.open.values()) {
      if (call.type === 'stop' || request.state === 'queued') {
        this.#dispatcher.failAsClosing(request);
      }
    }
    this.#finishDraining(now);
  }

  handlePeerGone(now: Instant, port: QueuePort, from: Address): void {
    const goneAt = now + this.#settings.noticeGrace;
    if (port === 'frontend') return this.requests.noticed(from, goneAt);
    const worker = this.workers.of(from);
    if (worker !== undefined) this.workers.noticed(worker, goneAt);
  }

  handleWritable(now: Instant, port: QueuePort, to: Address): void {
    const worker = port === 'backend' ? this.workers.of(to) : undefined;
    if (worker === undefined) return;
    worker.writable = true;
    this.workers.update(worker);
    this.#dispatcher.serve(now);
  }

  handleStored(): void {
    // A queue keeps its requests in memory; Titanic is the pattern that stores them.
  }

  handleTimeout(now: Instant): void {
    // Who was stopped itself (SIGSTOP, a blocked loop) has not heard the others: that is no evidence.
    if (now - this.nextTimeout > this.#patience) {
      this.workers.forgive(now, now + this.#patience);
      this.requests.forgive(now + this.#patience);
    }
    this.#endRequests(now);
    this.#attendWorkers(now);
    this.#finishDraining(now);
  }

  // Workers

  #handleReady(now: Instant, from: Address, known: Worker | undefined): void {
    if (known !== undefined && known.dispatch === undefined) return this.#beat(known);
    // It has begun anew, and what it held is lost.
    if (known !== undefined) this.#dispatcher.endWorker(now, known, 'replaced');
    this.#register(now, from);
  }

  #handleResult(
    now: Instant,
    from: Address,
    worker: Worker | undefined,
    command: ResultCommand,
  ): void {
    if (worker !== undefined) return this.#dispatcher.settle(worker, command);
    this.#dispatcher.refuseReply(from, 'unknownWorker');
    // A REQ socket that has sent waits for a request, whoever it believes us to be.
    if (this.#settings.protocol === 'simple') this.#register(now, from);
  }

  #register(now: Instant, from: Address): void {
    const isFull = this.workers.size >= this.#settings.workerLimit;
    if (isFull || this.#phase !== 'serving') {
      const reason = this.#phase === 'serving' ? 'workerLimit' : 'closing';
      return this.#dispatcher.emit({ type: 'workerRefused', worker: from, reason });
    }
    const worker = this.workers.register(now, from);
    this.#dispatcher.emit({ type: 'workerReady', worker: from });
    // 6/PPP does not acknowledge READY; a heartbeat at once tells the worker that it is known.
    this.#beat(worker);
  }

  /** All that is lost is known before any of it is settled: no request goes from one to the next. */
  #attendWorkers(now: Instant): void {
    let taken = this.workers.takeAllDue(now);
    // Who is overdue may be due for a heartbeat, too.
    while (taken.length > 0) {
      for (const { worker, due } of taken) {
        if (due === 'beat') this.#beat(worker);
        else if (due === 'overdue') this.#dispatcher.giveUp(now, worker);
        else this.#dispatcher.endWorker(now, worker, due);
      }
      taken = this.workers.takeAllDue(now);
    }
  }

  #beat({ address }: Worker): void {
    if (this.#settings.protocol === 'simple') return;
    this.#outbox.send('backend', address, { type: 'heartbeat' });
  }

  // Requests

  #handleRequest(now: Instant, from: Address, command: RequestCommand): void {
    const isBack = this.requests.heard(from);
    // A REQ socket with a fixed name that comes back has given up what it asked before, and could not
    // tell the reply to that from the one to this.
    if (isBack && command.stack?.length === 0) this.#cancelAll(from);
    this.#dispatcher.take(now, from, command);
  }

  #cancelAll(from: Address): void {
    const open = Array.from(this.requests.clients.get(from)?.requests ?? []);
    for (const request of open) this.#dispatcher.cancel(request);
  }

  #endRequests(now: Instant): void {
    for (;;) {
      const request = this.requests.nextExpired(now);
      if (request === undefined) break;
      this.#dispatcher.expire(request);
    }
    for (;;) {
      const client = this.requests.nextGone(now);
      if (client === undefined) return;
      this.#cancelAll(client.address);
    }
  }

  #finishDraining(now: Instant): void {
    if (this.#phase !== 'draining' || this.requests.state.inFlight > 0) return;
    this.#phase = 'drained';
    for (const worker of Array.from(this.workers.all())) {
      this.#dispatcher.endWorker(now, worker, 'closing');
    }
    this.#dispatcher.emit({ type: 'drained' });
  }
}
