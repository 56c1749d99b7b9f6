/**
 * What must hold at a Majordomo broker after every step, judged from outside: from its inputs, its
 * outputs, and a look at its plain state.
 */
import { expiryOf } from '../../core/heartbeat.ts';
import type { Address, Instant } from '../../core/machine.ts';
import type {
  BrokerMachine,
  BrokerPort,
  BrokerCall,
  BrokerSettings,
} from '../../majordomo/broker-machine.ts';
import type { BrokerInput, BrokerOutput, DispatchCommand } from '../../majordomo/commands.ts';
import { itemsOf } from '../../majordomo/fair-queue.ts';
import { isReserved } from '../../majordomo/mmi.ts';
import type { PendingRequest } from '../../majordomo/requests.ts';
import type { Session } from '../../majordomo/sessions.ts';
import { toAddress } from '../../core/frames.ts';
import { requireThat } from '../violation.ts';
import type { Input, Watcher } from '../watched-machine.ts';

type BrokerMachineInput = Input<BrokerPort, BrokerInput, BrokerCall>;

/** What the checker knows of one accepted request. */
interface History {
  /** How often it was given to a worker; hand-backs in the very turn are taken back. */
  dispatches: number;
  /** The step at which it last came back. */
  returnedAt: number;
}

/** What the checker knows of one worker's address. */
interface WorkerView {
  heardAt: Instant;
  /** The tag of the dispatch that it has not answered, and when it last said something about it. */
  open: string | undefined;
  openedAt: Instant;
}

export class BrokerChecker implements Watcher<BrokerPort, BrokerInput, BrokerCall> {
  readonly #settings: BrokerSettings;
  readonly #machine: () => BrokerMachine;
  readonly #histories = new WeakMap<PendingRequest, History>();
  readonly #workers = new Map<Address, WorkerView>();
  readonly #departedAt = new Map<Address, Instant>();
  #dispatched: { to: Address; command: DispatchCommand }[] = [];
  #step = 0;
  #lastAt: Instant = -Infinity;
  #stalledAt: Instant = -Infinity;

  constructor(settings: BrokerSettings, machine: () => BrokerMachine) {
    this.#settings = settings;
    this.#machine = machine;
  }

  /** An output, as the machine gave it. */
  sent(now: Instant, to: Address, command: BrokerOutput): void {
    if (command.type === 'disconnect') this.#workers.delete(to);
    if (command.type !== 'dispatch') return;
    const view = this.#workers.get(to);
    const tag = toAddress(command.envelope[0]!);
    requireThat(view !== undefined, 'credit', () => `a dispatch to ${to}, which is no worker`);
    requireThat(view.open === undefined, 'credit', () => {
      return `a second dispatch to ${to}, which still holds ${view.open}`;
    });
    view.open = tag;
    view.openedAt = now;
    this.#dispatched.push({ to, command });
  }

  before(now: Instant, input: BrokerMachineInput): void {
    this.#step++;
    this.#dispatched = [];
    const wasDue = this.#machine().nextTimeout;
    if (now - wasDue > this.#settings.heartbeatInterval) this.#stalledAt = now;
    requireThat(now >= this.#lastAt, 'monotonic time', () => `${now} after ${this.#lastAt}`);
    this.#lastAt = now;
    if (input.kind === 'peerGone') this.#noteDeparture(now, input.from);
    if (input.kind === 'command') this.#noteCommand(now, input.from, input.command);
  }

  after(now: Instant): void {
    const machine = this.#machine();
    for (const { to } of this.#dispatched) this.#checkDispatch(now, machine, to);
    this.#checkConservation(machine);
    this.#checkBounds(machine);
    for (const session of machine.sessions.all()) this.#checkSession(now, session);
    for (const worker of this.#workers.keys()) {
      if (machine.sessions.of(worker) === undefined) this.#workers.delete(worker);
    }
  }

  #noteDeparture(now: Instant, from: Address): void {
    if (!this.#departedAt.has(from)) this.#departedAt.set(from, now);
  }

  #noteCommand(now: Instant, from: Address, command: BrokerInput): void {
    if (command.type === 'request') {
      this.#departedAt.delete(from);
      return;
    }
    if (command.type === 'disconnect') {
      this.#noteHandBack(now, from);
      this.#workers.delete(from);
      return;
    }
    if (command.type === 'ready' && !this.#workers.has(from)) {
      this.#workers.set(from, { heardAt: now, open: undefined, openedAt: -Infinity });
    }
    const view = this.#workers.get(from);
    if (view === undefined) return;
    view.heardAt = now;
    if (command.type !== 'result' || command.envelope.length !== 1) return;
    if (toAddress(command.envelope[0]!) !== view.open) return;
    if (command.final) view.open = undefined;
    else view.openedAt = now;
  }

  /** A worker that leaves in the very turn of its dispatch cannot have started: no attempt is spent. */
  #noteHandBack(now: Instant, from: Address): void {
    const dispatch = this.#machine().sessions.of(from)?.dispatch;
    if (dispatch === undefined || dispatch.startedAt !== now) return;
    const history = this.#histories.get(dispatch.request);
    if (history === undefined) return;
    history.dispatches--;
    history.returnedAt = this.#step;
  }

  #checkDispatch(now: Instant, machine: BrokerMachine, to: Address): void {
    const request = machine.sessions.of(to)?.dispatch?.request;
    if (request === undefined) return; // already over within the same step
    const history = this.#historyOf(request);
    const isFresh = history.returnedAt === 0;
    history.returnedAt = 0;
    history.dispatches++;
    const { maxAttempts, noticeGrace } = this.#settings;
    requireThat(history.dispatches <= maxAttempts, 'attempts are capped', () => {
      return `request ${request.id} was given to ${history.dispatches} workers of ${maxAttempts}`;
    });
    requireThat(!request.partialSent, 'no repetition after a partial', () => {
      return `request ${request.id} is dispatched again after a part of its reply was sent`;
    });
    requireThat(now < request.expiresAt, 'nothing expired is dispatched', () => {
      return `request ${request.id} expired at ${request.expiresAt}, dispatched at ${now}`;
    });
    const departed = this.#departedAt.get(request.client) ?? Infinity;
    requireThat(now <= departed + noticeGrace, 'nothing runs for nobody', () => {
      return `request ${request.id} is dispatched at ${now}; its client left at ${departed}`;
    });
    if (!isFresh) return;
    for (const other of this.#queuedFor(machine, request.service)) {
      const returned = this.#histories.get(other)?.returnedAt ?? 0;
      requireThat(returned === 0 || returned === this.#step, 'requeue at the head', () => {
        return `request ${request.id} is dispatched while ${other.id}, which came back, waits`;
      });
    }
  }

  /** Every accepted request is in exactly one place. */
  #checkConservation(machine: BrokerMachine): void {
    const { state } = machine.requests;
    const seen = new Set<PendingRequest>();
    const see = (request: PendingRequest, expected: 'queued' | 'inFlight'): void => {
      requireThat(
        !seen.has(request),
        'conservation',
        () => `request ${request.id} is in two places`,
      );
      requireThat(request.state === expected, 'conservation', () => {
        return `request ${request.id} stands where ${expected} ones do, but is ${request.state}`;
      });
      seen.add(request);
    };
    for (const queue of state.queues.values()) {
      for (const request of itemsOf(queue)) {
        see(request, 'queued');
        this.#noteReturn(request, queue.returned.includes(request));
      }
    }
    const queued = seen.size;
    for (const session of machine.sessions.all()) {
      const request = session.dispatch?.request;
      if (request === undefined || (request.state !== 'inFlight' && request.state !== 'queued'))
        continue;
      see(request, 'inFlight');
    }
    const { replied, failed, expired, cancelled } = state.ended;
    const total = seen.size + replied + failed + expired + cancelled;
    requireThat(state.accepted === total, 'conservation', () => {
      const ends = `${replied} replied, ${failed} failed, ${expired} expired, ${cancelled} cancelled`;
      return `${state.accepted} accepted, but ${queued} queued, ${seen.size - queued} in flight, ${ends}`;
    });
    requireThat(
      state.queued === queued && state.inFlight === seen.size - queued,
      'conservation',
      () => {
        return `counted ${state.queued} and ${state.inFlight}, found ${queued} and ${seen.size - queued}`;
      },
    );
  }

  /** It waits again: after a lost worker, or because its worker's queue was full. */
  #noteReturn(request: PendingRequest, isPutBack: boolean): void {
    const history = this.#historyOf(request);
    if (history.dispatches === 0 && !isPutBack) return;
    if (history.returnedAt === 0) history.returnedAt = this.#step;
  }

  #checkBounds(machine: BrokerMachine): void {
    const { queues } = machine.requests.state;
    let fresh = 0;
    let bytes = 0;
    for (const { lines } of queues.values()) {
      for (const line of lines.values()) {
        fresh += line.size;
        for (const request of line) bytes += request.bytes;
      }
    }
    const { queueLimit, queueBytes } = this.#settings;
    requireThat(fresh <= queueLimit && bytes <= queueBytes, 'bounded queue', () => {
      return `${fresh} requests of ${bytes} bytes are queued; ${queueLimit} of ${queueBytes} are allowed`;
    });
    requireThat(machine.sessions.size <= this.#settings.workerLimit, 'bounded workers', () => {
      return `${machine.sessions.size} workers, ${this.#settings.workerLimit} are allowed`;
    });
  }

  #checkSession(now: Instant, session: Session): void {
    const view = this.#workers.get(session.address);
    requireThat(view !== undefined, 'sessions', () => `${session.address} never said READY`);
    requireThat(!isReserved(session.service), 'reserved names', () => {
      return `${session.address} is registered for ${session.service}`;
    });
    const expiry = expiryOf(this.#settings);
    // After a stall of its own a broker gives everyone one more interval.
    if (now - this.#stalledAt <= expiry) return;
    requireThat(now - view.heardAt <= expiry, 'silent workers expire', () => {
      const state = session.dispatch === undefined ? 'idle' : 'busy';
      return `${session.address} (${state}) is registered at ${now}, last heard at ${view.heardAt}`;
    });
    if (session.dispatch === undefined) return;
    requireThat(
      view.open !== undefined,
      'credit',
      () => `${session.address} answered, but is busy`,
    );
    const attempt = this.#settings.attemptTimeout + expiry;
    requireThat(now - view.openedAt <= attempt, 'attempts time out', () => {
      return `${session.address} holds a request at ${now} since ${view.openedAt}`;
    });
  }

  #historyOf(request: PendingRequest): History {
    let history = this.#histories.get(request);
    if (history === undefined) {
      history = { dispatches: 0, returnedAt: 0 };
      this.#histories.set(request, history);
    }
    return history;
  }

  *#queuedFor(machine: BrokerMachine, service: string): Generator<PendingRequest> {
    const queue = machine.requests.state.queues.get(service);
    if (queue !== undefined) yield* itemsOf(queue);
  }
}
