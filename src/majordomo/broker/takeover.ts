/**
 * What a broker must hear before it gives a request under a key to anybody: what its predecessor gave to
 * workers that are still at it.
 *
 * All workers of the copied roster, and all that are here, are asked. Until they have said what they run
 * and have finished, requests under keys of their service are parked. What runs is adopted: a request
 * under its key waits for the end of that, or for the loss of all who run it.
 */
import type { Epoch } from '../../core/election.ts';
import type { Instant } from '../../core/machine.ts';
import type { ReportCommand, SessionId } from '../wire/commands.ts';
import { nameOf } from './idempotency.ts';
import type { Roster } from './replica.ts';
import type { Session } from './sessions.ts';

interface Awaited {
  readonly service: string;
  /** It has a session here: then that says how long it is waited for. */
  isHere: boolean;
}

/** Where requests of a service are parked. A lone surrogate, as of a worker's own line. */
export function parkedLineOf(service: string): string {
  return `\ud801${service}`;
}

export class Takeover {
  /** Plain data, for the fingerprint and for checkers. */
  readonly state = {
    /** 0 while this broker is not active. */
    epoch: 0,
    beganAt: 0 as Instant,
    /** Until when those are waited for that are not here. */
    untilAt: Infinity,
    awaited: new Map<SessionId, Awaited>(),
    /** How many of each service. */
    services: new Map<string, number>(),
    /** What runs elsewhere, by service and key: in whose hands. */
    runs: new Map<string, Set<Session>>(),
    /** The same by who has it. */
    runsOf: new Map<Session, Set<string>>(),
    workers: 0,
    isComplete: true,
  };
  /** Services of which something parked may go on, and what was lost with its workers. */
  readonly #changed = new Set<string>();
  readonly #lost = new Set<string>();

  get nextDue(): Instant {
    return this.state.untilAt;
  }

  /** This broker serves from now on. */
  begin(now: Instant, epoch: Epoch, until: Instant, roster: Roster): void {
    const { state } = this;
    state.epoch = epoch;
    state.beganAt = now;
    state.isComplete = false;
    state.untilAt = until;
    for (const [worker, service] of roster) this.#await(worker, { service, isHere: false });
  }

  /** Workers that have not said yet what they run. */
  get unheard(): Roster {
    return new Map([...this.state.awaited].map(([worker, { service }]) => [worker, service]));
  }

  /** It serves no more. */
  end(): void {
    const { state } = this;
    state.epoch = 0;
    state.untilAt = Infinity;
    state.isComplete = true;
    state.workers = 0;
    for (const all of [state.awaited, state.services, state.runs, state.runsOf]) all.clear();
    this.#changed.clear();
    this.#lost.clear();
  }

  /** This session began, or was here when it began, or has come back: it is asked. */
  asks(session: Session): boolean {
    const { express } = session;
    if (this.state.epoch === 0 || express?.worker === undefined) return false;
    express.isAsked = true;
    const { service } = session;
    const awaited = this.state.awaited.get(express.worker);
    if (awaited !== undefined) awaited.isHere = true;
    // Of those that come later nobody knew that they may run something.
    else if (!this.state.isComplete) this.#await(express.worker, { service, isHere: true });
    return true;
  }

  /**
   * A worker says what it runs, whoever gave it that. What it has finished, and is not known here, was
   * lost on its way or is still on it: that comes again, and is no less waited for.
   */
  report(session: Session, command: ReportCommand, isKnown: (key: string) => boolean): void {
    const { express, service } = session;
    const { epoch, running, finished } = command;
    const isAsked = this.state.epoch > 0 && epoch === this.state.epoch;
    if (!isAsked || express?.worker === undefined) return;
    express.isAsked = false;
    const own = new Set<string>();
    for (const { request } of session.running.values()) {
      if (request.key !== undefined) own.add(nameOf(service, request.key));
    }
    const unknown = finished.filter((key) => !isKnown(key));
    const names = new Set([...running, ...unknown].map((key) => nameOf(service, key)));
    for (const name of this.state.runsOf.get(session) ?? []) {
      if (!names.has(name)) this.#runsNoMore(session, name);
    }
    for (const name of names) if (!own.has(name)) this.#adopt(session, name);
    this.#hasSaid(express.worker);
  }

  /** True if this worker runs something that is waited for: it is asked now and then, as words get lost. */
  waitsFor(session: Session): boolean {
    return this.state.runsOf.has(session);
  }

  /** The worker has ended this without an answer: others may run it too. */
  stopped(session: Session, key: string): void {
    this.#runsNoMore(session, nameOf(session.service, key));
  }

  /** There is an answer: whoever else runs it is not waited for. */
  answered(service: string, key: string): void {
    const name = nameOf(service, key);
    for (const session of this.state.runs.get(name) ?? []) this.#leave(session, name);
    this.state.runs.delete(name);
  }

  /** This session has ended, with a goodbye or without. */
  left(session: Session, saidGoodbye: boolean): void {
    const { state } = this;
    const worker = session.express?.worker;
    if (state.epoch === 0 || worker === undefined) return;
    for (const name of state.runsOf.get(session) ?? []) this.#runsNoMore(session, name);
    const awaited = state.awaited.get(worker);
    if (awaited === undefined) return;
    awaited.isHere = false;
    // Its link may have broken: it has as much time to come back as those that were never here.
    if (saidGoodbye || state.untilAt === Infinity) this.#hasSaid(worker);
  }

  /** Those that are not here were waited for long enough. */
  handleTimeout(now: Instant): void {
    const { state } = this;
    if (state.untilAt > now) return;
    state.untilAt = Infinity;
    for (const [worker, { isHere }] of state.awaited) if (!isHere) this.#hasSaid(worker);
  }

  /** True if a request under this key may not be given to a worker yet. */
  parks(service: string, key: string): boolean {
    return this.state.services.has(service) || this.state.runs.has(nameOf(service, key));
  }

  /** True once if those who ran it were lost: that has cost an attempt. */
  takeLost(service: string, key: string): boolean {
    return this.#lost.delete(nameOf(service, key));
  }

  /** What nobody had asked for need not be remembered. */
  forgetLost(): void {
    this.#lost.clear();
  }

  /** Services whose parked requests are to be looked at again. */
  takeChanged(): readonly string[] {
    if (this.#changed.size === 0) return NONE;
    const changed = [...this.#changed];
    this.#changed.clear();
    return changed;
  }

  /** True once, when all have been heard. */
  takeCompletion(): boolean {
    const { state } = this;
    if (state.isComplete || state.awaited.size > 0) return false;
    state.isComplete = true;
    state.untilAt = Infinity;
    return true;
  }

  #await(worker: SessionId, awaited: Awaited): void {
    const { awaited: all, services } = this.state;
    all.set(worker, awaited);
    this.state.workers++;
    services.set(awaited.service, (services.get(awaited.service) ?? 0) + 1);
  }

  #hasSaid(worker: SessionId): void {
    const { awaited, services } = this.state;
    const service = awaited.get(worker)?.service;
    if (service === undefined) return;
    awaited.delete(worker);
    const left = services.get(service)! - 1;
    if (left > 0) services.set(service, left);
    else services.delete(service);
    this.#changed.add(service);
  }

  #adopt(session: Session, name: string): void {
    const { runs, runsOf } = this.state;
    const sessions = runs.get(name) ?? new Set();
    runs.set(name, sessions.add(session));
    const names = runsOf.get(session) ?? new Set();
    runsOf.set(session, names.add(name));
  }

  #runsNoMore(session: Session, name: string): void {
    this.#leave(session, name);
    const sessions = this.state.runs.get(name);
    sessions?.delete(session);
    if (sessions?.size !== 0) return;
    this.state.runs.delete(name);
    this.#lost.add(name);
    this.#changed.add(session.service);
  }

  #leave(session: Session, name: string): void {
    const names = this.state.runsOf.get(session);
    names?.delete(name);
    if (names?.size === 0) this.state.runsOf.delete(session);
  }
}

const NONE: readonly string[] = [];
