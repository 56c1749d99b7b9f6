/**
 * What must hold at a broker about its workers: nobody has more work than it takes, nobody is given up
 * without a reason or kept without one, and what is lost or unwanted is told.
 */
import { expiryOf } from '../../core/heartbeat.ts';
import type { Address, Frames, Instant } from '../../core/machine.ts';
import type { BrokerEvent } from '../../majordomo/broker/broker-events.ts';
import type { BrokerMachine, BrokerSettings } from '../../majordomo/broker/broker-machine.ts';
import type {
  BrokerInput,
  BrokerOutput,
  DispatchCommand,
  HeartbeatCommand,
  ReadyCommand,
  ResultCommand,
} from '../../majordomo/wire/commands.ts';
import { decodeFailure } from '../../core/error-body.ts';
import { isReserved } from '../../majordomo/wire/mmi.ts';
import type { PendingRequest } from '../../majordomo/broker/requests.ts';
import type { Session } from '../../majordomo/broker/sessions.ts';
import { requireThat } from '../violation.ts';
import { listed, lostBy, ROUNDING } from './peer-view.ts';
import { isOver, tagOf, WorkerView, type OpenDispatch, type Returned } from './worker-view.ts';

export class WorkersChecker {
  readonly #settings: BrokerSettings;
  readonly #machine: () => BrokerMachine;
  readonly #views = new Map<Address, WorkerView>();
  readonly #bySession = new Map<string, WorkerView>();
  /** What this step took from workers. */
  returned: Returned[] = [];
  #input: BrokerInput | undefined;
  #from: Address = '';
  #isStale = false;
  #foundLost: readonly OpenDispatch[] = [];
  #stalledAt: Instant = -Infinity;

  constructor(settings: BrokerSettings, machine: () => BrokerMachine) {
    this.#settings = settings;
    this.#machine = machine;
  }

  /** Dispatches that are out and not answered, of all workers. */
  *open(): Generator<OpenDispatch> {
    for (const { open } of this.#views.values()) yield* open.values();
  }

  // Inputs

  /** A step begins; `overslept`: the broker itself was stopped. */
  begin(now: Instant, overslept: boolean): void {
    if (overslept) this.#stalledAt = now;
    this.returned = [];
    this.#input = undefined;
    this.#isStale = false;
    this.#foundLost = [];
  }

  noteGone(now: Instant, from: Address): void {
    const view = this.#views.get(from);
    // One whose loop is stuck cannot come back to a link that was reset: its beacon has to tell.
    view?.noticed(now, view.stalled ? expiryOf(view.settings) : this.#settings.noticeGrace);
  }

  noteCommand(now: Instant, from: Address, command: BrokerInput): void {
    this.#input = command;
    this.#from = from;
    if (command.type === 'ready') return this.#noteReady(now, from, command);
    if (command.type === 'beacon') {
      const view = this.#bySession.get(command.session);
      if (view === undefined) return;
      if (command.stuck > 0) view.beaconHeard(now);
      if (command.stuck >= view.settings.heartbeatInterval) view.stalled = true;
      else if (command.stuck === 0) view.stalled = false;
      return;
    }
    if (isOfClient(command)) return;
    const view = this.#views.get(from);
    if (view === undefined) {
      this.#isStale = command.type === 'result';
      return;
    }
    if (command.type === 'disconnect') return this.#noteGoodbye(now, view);
    view.heard(now);
    view.stalled = false;
    if (command.type === 'announce') view.announced(command.bytes);
    else if (command.type === 'capacity') view.credit = command.credit;
    else if (command.type === 'result') this.#noteResult(now, view, command);
    else if (command.type === 'heartbeat') this.#noteHeartbeat(view, command);
    else if (command.type === 'handBack') {
      const dispatch = view.open.get(command.number);
      if (dispatch !== undefined) this.#take(view, dispatch, 'handedBack');
    }
  }

  #noteReady(now: Instant, from: Address, command: ReadyCommand): void {
    const { session, service } = command;
    const known = session === undefined ? undefined : this.#bySession.get(session);
    if (known?.service === service) {
      if (this.#views.get(known.address) === known) this.#views.delete(known.address);
      known.address = from;
      known.credit = command.credit ?? known.credit;
      known.heard(now);
      known.stalled = false;
      this.#views.set(from, known);
      return;
    }
    // A second READY of a stock worker ends its session, and begins none.
    if (session === undefined && this.#views.has(from)) return;
    this.#add(from, new WorkerView(now, from, command, this.#settings));
  }

  #add(from: Address, view: WorkerView): void {
    this.#views.set(from, view);
    if (view.session !== undefined) this.#bySession.set(view.session, view);
  }

  /** In the very turn of its dispatch it cannot have started; what it has, it said last in express. */
  #noteGoodbye(now: Instant, view: WorkerView): void {
    for (const dispatch of view.open.values()) {
      const { startedAt } = dispatch.request.dispatch ?? {};
      const isUnnamed = view.session !== undefined && !view.named.has(dispatch.number);
      if (startedAt === now || isUnnamed)
        this.returned.push({ dispatch, how: 'handedBack', bytes: 0, failure: undefined });
    }
  }

  #noteResult(now: Instant, view: WorkerView, command: ResultCommand): void {
    const { envelope, number = -1, final, body, sequence } = command;
    const isStock = view.session === undefined;
    const dispatch = isStock ? tagged(view, envelope) : view.open.get(number);
    if (dispatch === undefined) {
      this.#isStale = true;
      return;
    }
    dispatch.wordAt = now;
    dispatch.partBytes += body.reduce((sum, frame) => sum + frame.length, 0);
    if (!final) dispatch.parts++;
    else {
      const isWhole = isStock || sequence === dispatch.parts;
      this.#take(view, dispatch, isWhole ? 'answered' : 'lost', command);
    }
  }

  #noteHeartbeat(view: WorkerView, command: HeartbeatCommand): void {
    if (view.session === undefined) return;
    const underWay = [...view.open.values()].map(
      ({ number, sentAfter }) => [number, sentAfter] as const,
    );
    this.#foundLost = lostBy(command, view.beats, underWay).map((number) => {
      const dispatch = view.open.get(number)!;
      view.open.delete(number);
      return dispatch;
    });
    view.named = new Set(command.held);
    for (const dispatch of view.open.values()) {
      // It goes on although it was told: it is told again.
      if (view.named.has(dispatch.number) && isOver(dispatch.request)) dispatch.cancelled = false;
    }
  }

  #take(
    view: WorkerView,
    dispatch: OpenDispatch,
    how: Returned['how'],
    command?: ResultCommand,
  ): void {
    view.open.delete(dispatch.number);
    const failure = command?.failure ?? decodeFailure(command?.body ?? []);
    this.returned.push({ dispatch, how, bytes: dispatch.partBytes, failure });
  }

  /** Nothing that was given away is this broker's any more. */
  disowned(): void {
    for (const view of this.#views.values()) view.open.clear();
    this.#foundLost = [];
  }

  // Outputs

  /** The broker says something to a worker, whether or not there was room for it. */
  said(to: Address, command: BrokerOutput): void {
    const view = this.#views.get(to);
    if (command.type === 'reply') {
      requireThat(!this.#isStale, 'stale attempts are refused', () => {
        return `a result of ${this.#from} that no dispatch asked for leads to a reply to ${to}`;
      });
    }
    if (view === undefined) return;
    if (command.type === 'heartbeat') this.#checkTruth(view, command);
    else if (command.type === 'cancel') {
      const dispatch = view.open.get(command.number);
      if (dispatch !== undefined) dispatch.cancelled = true;
    } else if (command.type === 'welcome') {
      const { heartbeatInterval, heartbeatLiveness } = view.settings;
      requireThat(
        command.heartbeatInterval === heartbeatInterval &&
          command.heartbeatLiveness === heartbeatLiveness,
        'the slower heartbeat wins',
        () => `${to} is told ${command.heartbeatInterval} × ${command.heartbeatLiveness}`,
      );
    }
  }

  /** A worker is told of what it was given: from what is missing it concludes. */
  #checkTruth(view: WorkerView, { beat, held = [] }: HeartbeatCommand): void {
    view.beats = beat ?? view.beats;
    if (view.session === undefined) return;
    const isTrue = held.length === view.open.size && held.every((it) => view.open.has(it));
    requireThat(isTrue, 'heartbeats tell the truth', () => {
      return `${view.address} is told of ${listed(held)}, and has ${listed(view.open.keys())}`;
    });
  }

  /** A dispatch leaves, of this request. */
  dispatched(now: Instant, to: Address, command: DispatchCommand, request: PendingRequest): void {
    const view = this.#views.get(to);
    requireThat(view !== undefined, 'credit', () => `a dispatch to ${to}, which is no worker`);
    requireThat(view.open.size < view.credit, 'credit', () => {
      return `a dispatch to ${to}, which holds ${listed(view.open.keys())} and takes ${view.credit}`;
    });
    requireThat(!view.stalled, 'stalled workers rest', () => `a dispatch to ${to}, which is stuck`);
    requireThat(view.noticedAt === Infinity, 'a break is graced', () => {
      return `a dispatch to ${to}, whose link broke at ${view.noticedAt}`;
    });
    const { number = -1, envelope } = command;
    const tag = view.session === undefined ? tagOf(envelope[0]!) : '';
    view.open.set(number, {
      worker: view,
      number,
      tag,
      request,
      sentAfter: view.beats,
      wordAt: now,
      parts: 0,
      partBytes: 0,
      cancelled: false,
    });
  }

  told(now: Instant, event: BrokerEvent): void {
    if (event.type !== 'workerLost') return;
    const view = this.#views.get(event.worker);
    if (view === undefined) return;
    const { reason } = event;
    if (reason === 'expired') view.checkPatience(now);
    if (reason === 'gone') {
      const inParts =
        view.session === undefined && [...view.open.values()].some((it) => it.parts > 0);
      requireThat(
        view.isGone(now) || (inParts && view.noticedAt === now),
        'a break is graced',
        () => `${view.address} is given up at ${now}, its link broke at ${view.noticedAt}`,
      );
    }
    if (reason === 'disconnected') {
      const saidSo = this.#input?.type === 'disconnect' && this.#from === view.address;
      requireThat(saidSo, 'a break is graced', () => `${view.address} said no goodbye`);
    }
    if (view.session === undefined) return;
    requireThat(reason !== 'attemptTimeout' && reason !== 'requestEnded', 'sessions', () => {
      return `the session of ${view.address} ends by ${reason}`;
    });
  }

  // After each step

  end(now: Instant): void {
    const { sessions } = this.#machine();
    for (const [address, view] of this.#views) {
      const session = sessions.of(address);
      if (session !== undefined && session.express?.id === view.session) continue;
      this.#views.delete(address);
      if (view.session !== undefined && this.#bySession.get(view.session) === view) {
        this.#bySession.delete(view.session);
      }
    }
    this.#checkLost();
    const { workerLimit } = this.#settings;
    requireThat(sessions.size <= workerLimit, 'bounded workers', () => {
      return `${sessions.size} workers, ${workerLimit} are allowed`;
    });
    for (const session of sessions.all()) this.#checkSession(now, session);
    if (this.#input?.type === 'disconnect') {
      requireThat(sessions.of(this.#from) === undefined, 'a goodbye is immediate', () => {
        return `${this.#from} said goodbye, and is registered`;
      });
    }
  }

  /** What a heartbeat proved to be lost is not waited for. */
  #checkLost(): void {
    for (const { worker, number, request } of this.#foundLost) {
      const isKept = request.state === 'inFlight' && request.dispatch?.number === number;
      requireThat(!isKept, 'what is lost is found', () => {
        return `${worker.address} does not have dispatch ${number}, and is waited for`;
      });
    }
  }

  #checkSession(now: Instant, session: Session): void {
    const { address } = session;
    const view = this.#views.get(address);
    requireThat(view !== undefined, 'sessions', () => `${address} never said READY`);
    requireThat(!isReserved(session.service), 'reserved names', () => {
      return `${address} is registered for ${session.service}`;
    });
    for (const dispatch of view.open.values()) this.#checkCancelled(view, dispatch);
    for (const number of session.running.keys()) {
      requireThat(
        view.open.has(number),
        'credit',
        () => `${address} answered ${number}, and is busy with it`,
      );
    }
    const expiry = expiryOf(view.settings);
    // After a stall of its own a broker gives everyone one more interval.
    if (now - this.#stalledAt <= expiry) return;
    requireThat(
      now <= Math.max(view.heardAt + expiry, view.patientUntil) + ROUNDING,
      'silent workers expire',
      () => {
        const state = session.running.size === 0 ? 'idle' : 'busy';
        return `${address} (${state}) is registered at ${now}, last heard at ${view.heardAt}`;
      },
    );
    requireThat(
      !view.isGone(now - 2 * ROUNDING) || now === view.noticedAt,
      'silent workers expire',
      () => `${address} is registered at ${now}, its link broke at ${view.noticedAt}`,
    );
    if (view.session !== undefined) return;
    const attempt = this.#settings.attemptTimeout + expiry;
    for (const { wordAt } of view.open.values()) {
      requireThat(now - wordAt <= attempt, 'attempts time out', () => {
        return `${address} holds a request at ${now} since ${wordAt}`;
      });
    }
  }

  /** Nobody waits for it: then its worker has been told. */
  #checkCancelled(view: WorkerView, { request, cancelled, number }: OpenDispatch): void {
    if (view.session === undefined || !isOver(request)) return;
    requireThat(cancelled, 'cancels reach the worker', () => {
      return `${view.address} works on dispatch ${number}, whose request is ${request.state}`;
    });
  }
}

/** What only clients say. */
function isOfClient({ type }: BrokerInput): boolean {
  return type === 'request' || type === 'hello' || type === 'cancel' || type === 'credit';
}

/** What a stock worker answers, if the envelope is one that it was given. */
function tagged({ open }: WorkerView, envelope: Frames): OpenDispatch | undefined {
  const [frame] = envelope;
  if (frame === undefined || envelope.length > 1) return undefined;
  const tag = tagOf(frame);
  for (const dispatch of open.values()) if (dispatch.tag === tag) return dispatch;
  return undefined;
}
