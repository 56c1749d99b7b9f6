/**
 * What a worker tells a broker of a pair of the requests under keys that it was given by another one, or
 * in an earlier session: `finished` for each outcome, and `report` when it was asked.
 *
 * All of it waits for room in the queue. The broker asks again until it has the report, which may stand
 * behind many outcomes: a new answer is not begun before the last one can have arrived.
 */
import type { Epoch } from '../../core/election.ts';
import type { Instant } from '../../core/machine.ts';
import { announcedBytes, patientUntil } from '../wire/large.ts';
import type { SharedWork } from './shared-work.ts';
import type { ExpressPort, WorkerOutbox } from './worker-events.ts';

export class Reports {
  readonly #outbox: WorkerOutbox;
  readonly #port: ExpressPort;
  readonly #shared: SharedWork;
  /** Plain data, for the fingerprint of the machine that it is part of. */
  readonly state = {
    /** Outcomes to be told of, by their keys. */
    untold: new Set<string>(),
    /** Of the present answer. */
    told: [] as string[],
    /** The epoch that was asked under, until the report has left; 0: it has. */
    asked: 0 as Epoch,
    /** Until then the last answer may be on its way. */
    underWayUntilAt: -Infinity,
  };

  constructor(outbox: WorkerOutbox, port: ExpressPort, shared: SharedWork) {
    this.#outbox = outbox;
    this.#port = port;
    this.#shared = shared;
  }

  /** The broker that serves under `epoch` asks for what has ended since. */
  answer(now: Instant, epoch: Epoch, since: Instant): void {
    const { state } = this;
    if (state.asked === epoch || now < state.underWayUntilAt) return;
    const { outcomes } = this.#shared;
    outcomes.expire(now);
    state.untold = new Set(outcomes.keysSince(since));
    state.told = [];
    state.asked = epoch;
    state.underWayUntilAt = patientUntil(now, now, outcomes.bytes);
    this.flush();
  }

  /** There is an outcome that the broker may wait for. */
  tell(key: string): void {
    this.state.untold.add(key);
    this.flush();
  }

  /** The session is over, or its broker serves no more. */
  clear(): void {
    const { state } = this;
    state.untold.clear();
    state.told = [];
    state.asked = 0;
    state.underWayUntilAt = -Infinity;
  }

  /** Sends what there is room for. */
  flush(): void {
    const { state } = this;
    for (const key of state.untold) {
      if (!this.#sayFinished(key)) return;
      state.untold.delete(key);
    }
    if (state.asked > 0 && this.#sayReport()) state.asked = 0;
  }

  #sayFinished(key: string): boolean {
    const outcome = this.#shared.outcomes.get(key);
    // Forgotten while it waited.
    if (outcome === undefined) return true;
    const { body, failure } = outcome;
    const bytes = announcedBytes(body);
    if (bytes !== undefined) {
      this.#outbox.send(this.#port, '', { type: 'announce', dialect: 'express', bytes });
    }
    const command = { type: 'finished', dialect: 'express', key, body, failure } as const;
    if (!this.#outbox.send(this.#port, '', command)) return false;
    if (this.state.asked > 0) this.state.told.push(key);
    return true;
  }

  #sayReport(): boolean {
    const { asked: epoch, told: finished } = this.state;
    const running = this.#shared.runningKeys();
    return this.#outbox.send(this.#port, '', {
      type: 'report',
      dialect: 'express',
      epoch,
      running,
      finished,
    });
  }
}
