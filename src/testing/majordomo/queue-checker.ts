/**
 * What must hold at a broker about who is next: what came back goes first, priorities age, no client
 * waits while another is served twice, and no queue outgrows its bound.
 */
import type { BrokerMachine, BrokerSettings } from '../../majordomo/broker/broker-machine.ts';
import type { FairQueue } from '../../core/fair-queue.ts';
import type { PendingRequest } from '../../majordomo/broker/requests.ts';
import { requireThat } from '../violation.ts';

export class QueueChecker {
  readonly #settings: BrokerSettings;
  readonly #machine: () => BrokerMachine;
  /** Requests that have been given away, or put back: they go before all others. */
  readonly #returned = new WeakSet<PendingRequest>();
  /** How many requests had been served when this one was first seen in a queue. */
  readonly #entered = new WeakMap<PendingRequest, number>();
  /** How many had been served when this client was, by the level that it was served at. */
  readonly #served = new Map<string, Map<unknown, number>>();
  #count = 0;

  constructor(settings: BrokerSettings, machine: () => BrokerMachine) {
    this.#settings = settings;
    this.#machine = machine;
  }

  /** It has just left its queue, or never was in one. */
  taken(request: PendingRequest): void {
    const { line } = request;
    const queue = this.#machine().requests.state.queues.get(line);
    const isFresh = !this.#returned.has(request);
    this.#returned.add(request);
    if (isFresh && queue !== undefined) {
      this.#checkHead(queue, request);
      this.#checkLevels(queue, request);
      this.#checkClients(queue, request);
    }
    if (!isFresh) return;
    this.#count++;
    const level = levelOf(request);
    const served = this.#served.get(level) ?? new Map<unknown, number>();
    this.#served.set(level, served.set(request.owner, this.#count));
  }

  #checkHead(queue: FairQueue<PendingRequest>, request: PendingRequest): void {
    const waiting = [...freshOf(queue)].filter((other) => this.#returned.has(other));
    const [first] = [...queue.returned, ...waiting];
    requireThat(first === undefined, 'requeue at the head', () => {
      return `request ${request.id} is dispatched while ${first?.id}, which came back, waits`;
    });
  }

  /** At no other level everybody came earlier, each step of priority counted as waiting. */
  #checkLevels(queue: FairQueue<PendingRequest>, request: PendingRequest): void {
    const { priorityAgeing } = this.#settings;
    const cameAt = (it: PendingRequest): number => it.acceptedAt - it.priority * priorityAgeing;
    const byLevel = new Map<number, PendingRequest[]>();
    for (const other of freshOf(queue)) {
      if (other.priority === request.priority) continue;
      byLevel.set(other.priority, [...(byLevel.get(other.priority) ?? []), other]);
    }
    for (const others of byLevel.values()) {
      const isLate = others.every((other) => cameAt(other) < cameAt(request));
      requireThat(!isLate, 'priorities age', () => {
        return `request ${request.id} of priority ${request.priority} goes before ${others[0]!.id} of ${others[0]!.priority}`;
      });
    }
  }

  /** Nobody of the same level has waited since before its client was served the last time. */
  #checkClients(queue: FairQueue<PendingRequest>, request: PendingRequest): void {
    const served = this.#served.get(levelOf(request));
    const lastServed = served?.get(request.owner);
    if (served === undefined || lastServed === undefined) return;
    for (const other of freshOf(queue)) {
      if (other.priority !== request.priority || other.owner === request.owner) continue;
      const waitsSince = this.#entered.get(other) ?? Infinity;
      const isFair = waitsSince >= lastServed || (served.get(other.owner) ?? -1) > lastServed;
      requireThat(isFair, 'fair to every client', () => {
        return `request ${request.id} goes before ${other.id}, whose client waits for longer`;
      });
    }
  }

  /** After each step. */
  end(): void {
    let fresh = 0;
    let bytes = 0;
    for (const queue of this.#machine().requests.state.queues.values()) {
      for (const request of queue.returned) this.#returned.add(request);
      for (const request of freshOf(queue)) {
        fresh++;
        bytes += request.bytes;
        if (!this.#entered.has(request)) this.#entered.set(request, this.#count);
      }
    }
    const { queueLimit, queueBytes } = this.#settings;
    requireThat(fresh <= queueLimit && bytes <= queueBytes, 'bounded queue', () => {
      return `${fresh} requests of ${bytes} bytes are queued; ${queueLimit} of ${queueBytes} are allowed`;
    });
  }
}

/** Those that wait for their first worker, or stand where those do. */
function* freshOf({ levels }: FairQueue<PendingRequest>): Generator<PendingRequest> {
  for (const lines of levels.values()) for (const line of lines.values()) yield* line;
}

function levelOf({ line, priority }: PendingRequest): string {
  return `${priority} ${line}`;
}
