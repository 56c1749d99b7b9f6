/** What a worker says of itself in a session of express: READY, heartbeats, its credit, goodbye. */
import type { Instant } from '../../core/machine.ts';
import { nextBeat, startBeats } from '../../core/reconciliation.ts';
import type { SessionId, WorkerOutput } from '../wire/commands.ts';
import type { SharedWork } from './shared-work.ts';
import type { ExpressPort, WorkerOutbox, WorkerSettings } from './worker-events.ts';
import type { WorkerRequests } from './worker-requests.ts';

export class SessionVoice {
  readonly #outbox: WorkerOutbox;
  readonly #port: ExpressPort;
  readonly #settings: WorkerSettings;
  readonly #shared: SharedWork;
  readonly #requests: WorkerRequests;
  /** Plain data, for the fingerprint of the machine that it is part of. */
  readonly state = {
    beats: startBeats(),
    /** A heartbeat whose echo is awaited, and when it was sent; 0: none. */
    probe: 0,
    probedAt: -Infinity,
    /** The credit that the broker was told last. */
    credit: 0,
    /** It has changed since READY: it is told again with each heartbeat, as the word may be lost. */
    hasToldCredit: false,
    /** There was no room in the queue to tell it. */
    isCreditDue: false,
    /** READY had no room in the queue. */
    isReadyDue: false,
  };

  constructor(
    outbox: WorkerOutbox,
    port: ExpressPort,
    settings: WorkerSettings,
    shared: SharedWork,
    requests: WorkerRequests,
  ) {
    this.#outbox = outbox;
    this.#port = port;
    this.#settings = settings;
    this.#shared = shared;
    this.#requests = requests;
  }

  sayReady(session: SessionId): void {
    const { state } = this;
    const { service, heartbeatInterval, heartbeatLiveness } = this.#settings;
    state.credit = this.#requests.credit;
    state.hasToldCredit = false;
    state.isCreditDue = false;
    state.isReadyDue = !this.#send({
      type: 'ready',
      dialect: 'express',
      service,
      session,
      credit: state.credit,
      heartbeatInterval,
      heartbeatLiveness,
      held: this.#requests.held,
      epoch: this.#shared.epochs.shown,
      worker: this.#shared.worker,
    });
  }

  /** @param isProbe its echo is to prove that all said before has arrived */
  sayBeat(now: Instant, isProbe: boolean): void {
    const { state } = this;
    const numbers = nextBeat(state.beats);
    if (isProbe && state.probe === 0) {
      state.probe = numbers.beat;
      state.probedAt = now;
    }
    this.#send({ type: 'heartbeat', dialect: 'express', ...numbers, held: this.#requests.held });
  }

  /** All that was said before this instant has arrived, as this echo proves; undefined: it proves nothing. */
  arrivalBy(echo: number): Instant | undefined {
    const { state } = this;
    if (state.probe === 0 || echo < state.probe || echo > state.beats.sent) return undefined;
    state.probe = 0;
    return state.probedAt;
  }

  /** The other side begins to count anew. */
  restartBeats(): void {
    this.state.beats = startBeats();
    this.state.probe = 0;
  }

  /**
   * If it has changed; what the queue has no room for, with the next heartbeat or as soon as there is room.
   * @param isBeat with a heartbeat, which tells it again, as the word may have been lost
   */
  tellCredit(isBeat: boolean): void {
    const { credit, hasToldCredit, isCreditDue } = this.state;
    const hasChanged = credit !== this.#requests.credit;
    if (isBeat ? hasToldCredit || hasChanged : hasChanged && !isCreditDue) this.#sayCredit();
  }

  /** The queue has room again. */
  flush(session: SessionId): void {
    if (this.state.isReadyDue) this.sayReady(session);
    this.state.isCreditDue = false;
  }

  #sayCredit(): void {
    const { state } = this;
    const { credit } = this.#requests;
    state.isCreditDue = !this.#send({ type: 'capacity', dialect: 'express', credit });
    if (state.isCreditDue) return;
    state.credit = credit;
    state.hasToldCredit = true;
  }

  sayGoodbye(): void {
    this.#send({ type: 'disconnect', dialect: 'express' });
  }

  #send(command: WorkerOutput): boolean {
    return this.#outbox.send(this.#port, '', command);
  }
}
