/**
 * What must hold at a broker about its requests: each is in exactly one place, costs as many attempts
 * as it may, and goes to no worker when it is too late.
 */
import type { Instant } from '../../core/machine.ts';
import type { BrokerMachine, BrokerSettings } from '../../majordomo/broker/broker-machine.ts';
import type { BrokerInput, DispatchCommand } from '../../majordomo/wire/commands.ts';
import type { PendingRequest } from '../../majordomo/broker/requests.ts';
import { parkedLineOf } from '../../majordomo/broker/takeover.ts';
import { checkConservation, type OrderChecker } from '../book-checker.ts';
import { requireThat, Violation } from '../violation.ts';
import { ROUNDING } from './peer-view.ts';
import type { Returned } from './worker-view.ts';

/** What the checker knows of one accepted request. */
interface History {
  /** How many workers may have started it. */
  attempts: number;
  deadlineAt: Instant;
  /** It waited for what another broker had given away: that may have cost attempts. */
  wasParked: boolean;
}

/** Time left is told in whole milliseconds. */
const WHOLE = 1 + ROUNDING;

export class RequestsChecker {
  readonly #settings: BrokerSettings;
  readonly #machine: () => BrokerMachine;
  readonly #queue: OrderChecker<PendingRequest>;
  readonly #histories = new WeakMap<PendingRequest, History>();
  #now: Instant = 0;
  #timeLeft = Infinity;

  constructor(
    settings: BrokerSettings,
    machine: () => BrokerMachine,
    queue: OrderChecker<PendingRequest>,
  ) {
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
    const { wasParked } = history;
    if (wasParked) history.attempts = Math.max(history.attempts, command.attempt ?? 0);
    history.wasParked = false;
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
    // What was parked goes before all others.
    if (!wasParked) this.#queue.taken(request);
    return request;
  }

  /** There was no room for it: it was its client's turn all the same. */
  refused(command: DispatchCommand): void {
    const request = this.#requestOf(command);
    if (!this.#historyOf(request).wasParked) this.#queue.taken(request);
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
      const history = this.#historyOf(request);
      const { deadlineAt } = history;
      if (request.line === parkedLineOf(request.service)) history.wasParked = true;
      requireThat(now < deadlineAt + ROUNDING, 'deadlines travel', () => {
        return `request ${request.id} is ${request.state} at ${now}, its time was over at ${deadlineAt}`;
      });
    }
  }

  #checkConservation(): void {
    const { requests, sessions, pair } = this.#machine();
    checkConservation(requests, function* held() {
      for (const { running } of sessions.all()) {
        // What is answered is in nobody's hands, whoever still works on it.
        for (const { request } of running.values()) if (request.answer === undefined) yield request;
      }
      if (pair === undefined) return;
      for (const { request } of pair.followers.state.withheld) {
        if (request !== undefined) yield request;
      }
    });
  }

  #historyOf(request: PendingRequest): History {
    let history = this.#histories.get(request);
    if (history === undefined) {
      // What the broker asks itself has no client whose time could be over.
      const timeLeft = request.owner === undefined ? Infinity : this.#timeLeft;
      history = { attempts: 0, deadlineAt: this.#deadlineOf(timeLeft), wasParked: false };
      this.#histories.set(request, history);
    }
    return history;
  }
  #deadlineOf(timeLeft: number): Instant {
    return this.#now + Math.min(timeLeft, this.#settings.requestTtl);
  }
}
