/**
 * What must hold at a broker about its requests: each is in exactly one place, costs as many attempts
 * as it may, and goes to no worker when it is too late.
 */
import type { Instant } from '../../core/machine.ts';
import type { BrokerMachine, BrokerSettings } from '../../majordomo/broker/broker-machine.ts';
import type { BrokerInput, DispatchCommand } from '../../majordomo/wire/commands.ts';
import { itemsOf } from '../../core/fair-queue.ts';
import type { PendingRequest } from '../../majordomo/broker/requests.ts';
import { requireThat, Violation } from '../violation.ts';
import { ROUNDING } from './peer-view.ts';
import type { QueueChecker } from './queue-checker.ts';
import type { Returned } from './worker-view.ts';

/** What the checker knows of one accepted request. */
interface History {
  /** How many workers may have started it. */
  attempts: number;
  deadlineAt: Instant;
}

/** Time left is told in whole milliseconds. */
const WHOLE = 1 + ROUNDING;

export class RequestsChecker {
  readonly #settings: BrokerSettings;
  readonly #machine: () => BrokerMachine;
  readonly #queue: QueueChecker;
  readonly #histories = new WeakMap<PendingRequest, History>();
  #now: Instant = 0;
  #timeLeft = Infinity;

  constructor(settings: BrokerSettings, machine: () => BrokerMachine, queue: QueueChecker) {
    this.#settings = settings;
    this.#machine = machine;
    this.#queue = queue;
  }

  begin(now: Instant): void {
    this.#now = now;
    this.#timeLeft = Infinity;
  }

  noteCommand(command: BrokerInput): void {
    if (command.type !== 'request') return;
    const { timeLeft = Infinity, service, key } = command;
    this.#timeLeft = timeLeft;
    if (key === undefined) return;
    // Who joins under a key may wait for longer than who came first.
    for (const request of this.#machine().requests.state.open.values()) {
      if (request.key !== key || request.service !== service) continue;
      const history = this.#historyOf(request);
      history.deadlineAt = Math.max(history.deadlineAt, this.#deadlineOf(timeLeft));
    }
  }

  /** A hand-back costs no attempt. */
  noteReturned({ dispatch, how }: Returned): void {
    if (how === 'handedBack') this.#historyOf(dispatch.request).attempts--;
  }

  /** A dispatch leaves; returns its request. */
  dispatched(now: Instant, command: DispatchCommand): PendingRequest {
    const request = this.#requestOf(command);
    const history = this.#historyOf(request);
    history.attempts++;
    const { id } = request;
    const { maxAttempts } = this.#settings;
    requireThat(history.attempts <= maxAttempts, 'attempts are capped', () => {
      return `request ${id} was given to ${history.attempts} workers of ${maxAttempts}`;
    });
    requireThat(command.attempt === history.attempts, 'handing back costs no attempt', () => {
      return `dispatch ${command.number} is said to be attempt ${command.attempt}, and is ${history.attempts}`;
    });
    requireThat(request.partialsSent === 0, 'no repetition after a partial', () => {
      return `request ${id} is dispatched again after a part of its reply was sent`;
    });
    const { deadlineAt } = history;
    requireThat(now < deadlineAt, 'nothing expired is dispatched', () => {
      return `request ${id} expired at ${deadlineAt}, dispatched at ${now}`;
    });
    const { timeLeft = Infinity, key } = command;
    const left = key === undefined ? deadlineAt - now : Infinity;
    requireThat(
      timeLeft === left || Math.abs(timeLeft - left) <= WHOLE,
      'deadlines travel',
      () => `request ${id} has ${left} ms left, its worker is told ${timeLeft}`,
    );
    this.#queue.taken(request);
    return request;
  }

  /** The request that is being given away: its session does not have it yet. */
  #requestOf(command: DispatchCommand): PendingRequest {
    for (const request of this.#machine().requests.state.open.values()) {
      const isIt = request.state === 'inFlight' && request.dispatch === undefined;
      if (isIt && request.body === command.body) return request;
    }
    throw new Violation('conservation', `dispatch ${command.number} is of no request`);
  }

  // After each step

  end(now: Instant): void {
    const { requests } = this.#machine();
    this.#checkConservation();
    for (const request of requests.state.open.values()) {
      const { deadlineAt } = this.#historyOf(request);
      requireThat(now < deadlineAt + ROUNDING, 'deadlines travel', () => {
        return `request ${request.id} is ${request.state} at ${now}, its time was over at ${deadlineAt}`;
      });
    }
  }

  /** Every accepted request is in exactly one place. */
  #checkConservation(): void {
    const { requests, sessions } = this.#machine();
    const { state } = requests;
    const { replied, failed, expired, cancelled } = state.ended;
    const ended = replied + failed + expired + cancelled;
    // Most steps are heartbeats of nobody at work.
    if (state.open.size + state.queues.size === 0 && state.accepted === ended) return;
    const seen = new Set<PendingRequest>();
    const see = (request: PendingRequest, expected: 'queued' | 'inFlight'): void => {
      requireThat(!seen.has(request), 'conservation', () => {
        return `request ${request.id} is in two places`;
      });
      requireThat(request.state === expected, 'conservation', () => {
        return `request ${request.id} stands where ${expected} ones do, but is ${request.state}`;
      });
      seen.add(request);
    };
    for (const queue of state.queues.values()) {
      for (const request of itemsOf(queue)) see(request, 'queued');
    }
    const queued = seen.size;
    for (const session of sessions.all()) {
      for (const { request } of session.running.values()) {
        if (request.state === 'inFlight' || request.state === 'queued') see(request, 'inFlight');
      }
    }
    requireThat(state.accepted === seen.size + ended, 'conservation', () => {
      const ends = `${replied} replied, ${failed} failed, ${expired} expired, ${cancelled} cancelled`;
      return `${state.accepted} accepted, but ${queued} queued, ${seen.size - queued} in flight, ${ends}`;
    });
    const inFlight = seen.size - queued;
    const agree = state.queued === queued && state.inFlight === inFlight;
    requireThat(agree && state.open.size === seen.size, 'conservation', () => {
      return `counted ${state.queued} and ${state.inFlight}, found ${queued} and ${inFlight}`;
    });
  }

  #historyOf(request: PendingRequest): History {
    let history = this.#histories.get(request);
    if (history === undefined) {
      // What the broker asks itself has no client whose time could be over.
      const timeLeft = request.owner === undefined ? Infinity : this.#timeLeft;
      history = { attempts: 0, deadlineAt: this.#deadlineOf(timeLeft) };
      this.#histories.set(request, history);
    }
    return history;
  }
  #deadlineOf(timeLeft: number): Instant {
    return this.#now + Math.min(timeLeft, this.#settings.requestTtl);
  }
}
