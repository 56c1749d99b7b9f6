/**
 * What the express sessions of one worker have in common: its room for handlers, what it knows of a pair of
 * brokers, and what it remembers for the one that takes over.
 */
import type { Epoch } from '../../core/election.ts';
import type { Instant } from '../../core/machine.ts';
import type { Random } from '../../core/retry.ts';
import { SeenEpochs } from '../epochs.ts';
import type { SessionId } from '../wire/commands.ts';
import { Outcomes } from './outcomes.ts';
import type { ExpressPort } from './worker-events.ts';

/** Who has the sessions. */
export interface SharedHost {
  /** Under `key` there is an outcome now: whoever serves wants to know, but on `told`, where it was said. */
  handleOutcome(key: string, told: ExpressPort | undefined): void;
  /** The keys of what runs, and can be told of when it ends. */
  runningKeys(): readonly string[];
}

export class SharedWork {
  readonly epochs = new SeenEpochs();
  readonly outcomes = new Outcomes();
  readonly #host: SharedHost;
  readonly #random: Random;
  /** Plain data, for the fingerprint of the machine that it is part of. */
  readonly state = {
    /** Of this worker, the same in all of its sessions; made when it is first said. */
    worker: '' as SessionId,
    /** Requests that the worker takes at a time over express. */
    room: 0,
    /** Handlers that have not settled. */
    unsettled: 0,
    isDraining: false,
    /** The last epoch under which a broker served; 0: none. */
    servedUnder: 0 as Epoch,
    /** When a broker of a pair was last known to be there. */
    pairSeenAt: -Infinity,
    /** What was said before this instant to the one that serves has arrived there. */
    arrivedAt: -Infinity,
    /** The same of the one that served before. */
    hadArrivedAt: -Infinity,
  };

  constructor(host: SharedHost, random: Random) {
    this.#host = host;
    this.#random = random;
  }

  /** For the fingerprint of the machine that it is part of. */
  get states(): readonly object[] {
    return [this.state, this.epochs.state, this.outcomes.state];
  }

  get worker(): SessionId {
    this.state.worker ||= newSessionId(this.#random);
    return this.state.worker;
  }

  /** So many handlers may run in one session, beside those of the others. */
  roomBeside(unsettled: number): number {
    const { room, unsettled: all } = this.state;
    return room - (all - unsettled);
  }

  /** Remembers how a request under a key ended. @param told the port on which it was said */
  ended(
    now: Instant,
    key: string,
    outcome: Parameters<Outcomes['remember']>[2],
    told: ExpressPort | undefined,
  ): void {
    this.outcomes.remember(now, key, outcome);
    this.#host.handleOutcome(key, told);
  }

  runningKeys(): readonly string[] {
    return this.#host.runningKeys();
  }
}

/** 16 random bytes. */
export function newSessionId(random: Random): SessionId {
  return String.fromCharCode(...Array.from({ length: 16 }, () => Math.floor(random() * 256)));
}
