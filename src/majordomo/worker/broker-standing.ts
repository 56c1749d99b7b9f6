/**
 * How the broker of one session stands: it serves, or it is the passive one of a pair; and what it is told
 * for that. A broker that is alone serves under no epoch, so that none is higher.
 */
import type { Epoch } from '../../core/election.ts';
import type { Instant } from '../../core/machine.ts';
import { Reports } from './reports.ts';
import type { SharedWork } from './shared-work.ts';
import type { ExpressPort, WorkerOutbox } from './worker-events.ts';

export class BrokerStanding {
  readonly #outbox: WorkerOutbox;
  readonly #port: ExpressPort;
  readonly #shared: SharedWork;
  readonly #reports: Reports;
  /** Plain data, for the fingerprint of the machine that it is part of. */
  readonly state = {
    /** What it said last. */
    says: 'nothing' as 'nothing' | 'standby' | 'serving',
    epoch: Infinity,
  };

  constructor(outbox: WorkerOutbox, port: ExpressPort, shared: SharedWork) {
    this.#outbox = outbox;
    this.#port = port;
    this.#shared = shared;
    this.#reports = new Reports(outbox, port, shared);
  }

  /** For the fingerprint of the machine that it is part of. */
  get states(): readonly object[] {
    return [this.state, this.#reports.state];
  }

  get isStandby(): boolean {
    return this.state.says === 'standby';
  }

  /** True if it serves, and is one of a pair. */
  get isServing(): boolean {
    const { says, epoch } = this.state;
    return says === 'serving' && epoch === this.#shared.epochs.highest;
  }

  /** True if another one serves by now: what it gives us others may give, too. */
  get isOutdated(): boolean {
    return this.state.epoch < this.#shared.epochs.highest;
  }

  /** A session begins, or is over. */
  clear(): void {
    this.state.says = 'nothing';
    this.state.epoch = Infinity;
    this.#reports.clear();
  }

  /** The link broke: what it was being told may be lost, and it asks again. */
  unlink(): void {
    this.#reports.clear();
  }

  /** It serves, under this epoch if it is one of a pair. */
  serves(endpoint: string, epoch: Epoch | undefined): void {
    const { state } = this;
    const { says } = state;
    state.says = 'serving';
    state.epoch = epoch ?? Infinity;
    if (epoch !== undefined) this.#noteReign(endpoint, epoch);
    if (says === 'serving') return;
    this.#outbox.emit({ type: 'ready', endpoint, dialect: 'express', session: 0, epoch });
  }

  /** It does not serve; this is the highest epoch that it knows. */
  standsBy(endpoint: string, epoch: Epoch): void {
    const { state } = this;
    const { says } = state;
    state.says = 'standby';
    state.epoch = epoch;
    this.#reports.clear();
    if (says !== 'standby') this.#outbox.emit({ type: 'standby', endpoint, epoch });
  }

  #noteReign(endpoint: string, epoch: Epoch): void {
    const { state } = this.#shared;
    const { servedUnder } = state;
    if (epoch <= servedUnder) return;
    state.servedUnder = epoch;
    state.hadArrivedAt = state.arrivedAt;
    if (servedUnder > 0) this.#outbox.emit({ type: 'failedOver', endpoint, epoch });
  }

  // What it is told

  /**
   * It asks what runs, and what has ended. An heir has what its predecessor had, but for what that one had too
   * late to tell it: which is found out, and mended, within two expiries.
   */
  answer(now: Instant, isHeir: boolean, expiry: number): void {
    const since = isHeir ? this.#shared.state.hadArrivedAt - 2 * expiry : -Infinity;
    this.#reports.answer(now, this.state.epoch, since);
  }

  /** What was said to it before `at` has arrived. */
  noteArrival(at: Instant): void {
    const { state } = this.#shared;
    if (this.isServing) state.arrivedAt = Math.max(state.arrivedAt, at);
  }

  /** True if no outcome waits to be told. */
  get hasToldAll(): boolean {
    return this.#reports.state.untold.size === 0;
  }

  /** There is an outcome that it may wait for. */
  tell(key: string): void {
    this.#reports.tell(key);
  }

  /** There is a higher epoch than its own. */
  saySeen(): void {
    const { highest: epoch } = this.#shared.epochs;
    this.#outbox.send(this.#port, '', { type: 'seen', dialect: 'express', epoch });
  }

  /** The queue has room again. */
  flush(): void {
    this.#reports.flush();
  }
}
