/**
 * The Titanic as a pure machine, 9/TSP and what we add to it.
 *
 * A request is stored before it is acknowledged, an attempt before it begins, a reply before anybody sees
 * it, a close before it is confirmed: `store` goes out, and what follows from it comes with `handleStored`.
 * This is the outer side of it: questions, time, and the end. What is done with a request is in `intake.ts`
 * and `lives.ts`, and the parts that know one thing each are named in `parts.ts`.
 */
import type { StorageState } from '../core/batch.ts';
import { fingerprintOf } from '../core/fingerprint.ts';
import type { Instant, Machine } from '../core/machine.ts';
import { jsonBody, pageOf, statusOf, summaryOf, type TitanicMachineStatus } from './admin-view.ts';
import { UNKNOWN } from './answers.ts';
import type { Question, RequestSummary } from './commands.ts';
import { Intake } from './intake.ts';
import { Lives } from './lives.ts';
import { Parts, type TitanicSettings } from './parts.ts';
import { Recovery } from './recovery.ts';
import type { AskToken, TitanicCall } from './titanic-events.ts';
import type { TitanicOutbox, Write } from './writes.ts';

export type { TitanicMachineStatus } from './admin-view.ts';
export type { TitanicSettings } from './parts.ts';

export class TitanicMachine implements Machine<never, never, TitanicCall> {
  readonly parts: Parts;
  readonly #intake: Intake;
  readonly #lives: Lives;
  /** What is still to be taken over from a former life. */
  #recovery: Recovery | undefined;
  #phase: 'serving' | 'draining' | 'drained' = 'serving';

  /** @param recovery what was stored before; its requests are taken over with the first timeout, at once */
  constructor(outbox: TitanicOutbox, settings: TitanicSettings, recovery = new Recovery()) {
    this.parts = new Parts(outbox, settings);
    this.#lives = new Lives(this.parts);
    this.#intake = new Intake(this.parts, this.#lives);
    this.#recovery = recovery;
  }

  get nextTimeout(): Instant {
    if (this.#phase === 'drained') return Infinity;
    if (this.#recovery !== undefined) return -Infinity;
    const { answers, attempts, retention, services, writes } = this.parts;
    return Math.min(
      answers.waiters.nextDue,
      attempts.nextDue,
      services.nextDue,
      writes.nextDue,
      this.#phase === 'serving' ? retention.nextDue : Infinity,
    );
  }

  fingerprint(now: Instant): string {
    const { answers, attempts, requests, retention, services, writes } = this.parts;
    const { condition } = this.#lives;
    const isNew = this.#recovery !== undefined;
    const { entries, counts, pending } = requests;
    const kept = [condition, attempts.condition, retention.condition, writes.condition];
    const state = [kept, services, answers.waiters, entries, counts, pending, this.#phase, isNew];
    return fingerprintOf(state, now);
  }

  status(): TitanicMachineStatus {
    return statusOf(this.parts, this.#lives.keptBytes);
  }

  /** What is known of one request; undefined if it is unknown or closed. */
  summary(id: string): RequestSummary | undefined {
    return summaryOf(this.parts, this.parts.requests.get(id));
  }

  handleCall(now: Instant, call: TitanicCall): void {
    if (this.#recovery !== undefined) this.handleTimeout(now);
    if (call.type === 'ask') this.#ask(now, call.token, call.question);
    else if (call.type === 'withdraw') this.#withdraw(call.token);
    else if (this.#phase !== 'drained') this.#learn(now, call);
    this.#finish(now);
  }

  handleStored(now: Instant, token: number, error?: Error): void {
    if (this.#recovery !== undefined) this.handleTimeout(now);
    const write = this.parts.writes.take(token);
    // After the end nothing follows from it: the next life will see.
    if (write === undefined || this.#phase === 'drained') return;
    this.#noteOutcome(now, write, error);
    this.#settle(now, write, error);
    this.#finish(now);
  }

  handleTimeout(now: Instant): void {
    if (this.#phase === 'drained') return;
    this.#takeOver(now);
    const { answers, attempts, services, writes } = this.parts;
    for (;;) {
      const request = attempts.takeDue(now);
      if (request === undefined) break;
      this.#lives.due(now, request);
    }
    for (;;) {
      const token = answers.waiters.takeDue(now);
      if (token === undefined) break;
      answers.pending(token);
    }
    for (;;) {
      const service = services.takeRested(now);
      if (service === undefined) break;
      attempts.serve(now, service);
    }
    writes.probe(now);
    this.#finish(now);
  }

  // It has no peers: what it is asked comes from its shell.

  handleCommand(): void {}

  handleMalformed(): void {}

  handlePeerGone(): void {}

  handleWritable(): void {}

  // Questions

  #ask(now: Instant, token: AskToken, question: Question): void {
    const { answers, requests } = this.parts;
    const isOver = this.#phase === 'drained';
    switch (question.type) {
      case 'fetch': {
        const wait = isOver ? 0 : question.wait;
        return answers.fetch(now, token, requests.get(question.id), wait);
      }
      case 'status':
      case 'inspect': {
        const summary = this.summary(question.id);
        if (summary === undefined) return answers.refuse(token, UNKNOWN);
        return answers.done(token, jsonBody(summary));
      }
      case 'overview':
        return answers.done(token, jsonBody(this.status()));
      case 'list': {
        const page = pageOf(this.parts, question);
        if (page === undefined) return answers.refuse(token, UNKNOWN);
        return answers.done(token, jsonBody(page));
      }
      default:
        if (isOver) this.#intake.refuseAsClosing(token);
        else this.#change(now, token, question);
    }
  }

  #change(
    now: Instant,
    token: AskToken,
    question: Extract<Question, { type: 'submit' | 'close' | 'resubmit' }>,
  ): void {
    if (question.type === 'submit') this.#intake.submit(now, token, question);
    else if (question.type === 'close') this.#lives.close(now, token, question.id);
    else this.#intake.resubmit(now, token, question.id);
  }

  #withdraw(token: AskToken): void {
    this.parts.answers.waiters.withdraw(token);
  }

  // What the shell says

  #learn(now: Instant, call: Exclude<TitanicCall, { type: 'ask' | 'withdraw' }>): void {
    switch (call.type) {
      case 'replied':
        return this.#lives.replied(now, call.execution, call.body);
      case 'attemptFailed':
        return this.#lives.attemptFailed(now, call.execution, call.end, call.message);
      case 'unreadable':
        return this.#lives.unreadable(now, call.id, call.reason);
      case 'link':
        return this.#handleLink(now, call.isUp);
      case 'storage':
        return this.#handleStorage(now, call.state);
      case 'drain':
        return this.#drain();
      case 'stop':
        return this.#stop();
    }
  }

  #handleLink(now: Instant, isUp: boolean): void {
    const { attempts } = this.parts;
    attempts.isLinked = isUp;
    if (isUp) attempts.serveAll(now);
  }

  #handleStorage(now: Instant, state: StorageState): void {
    if (this.parts.writes.told(now, state)) this.#resume(now);
  }

  /** The store takes all again. */
  #resume(now: Instant): void {
    this.#lives.storeKept(now);
    this.parts.attempts.serveAll(now);
  }

  #noteOutcome(now: Instant, write: Write, error: Error | undefined): void {
    const { outbox, writes } = this.parts;
    const isUrgent = write.kind === 'close' || write.kind === 'sweep';
    if (error !== undefined) {
      if (writes.refused(now)) outbox.emit({ type: 'storeFailed', reason: error.message });
    } else if (!isUrgent && writes.taken()) this.#resume(now);
  }

  #settle(now: Instant, write: Write, error: Error | undefined): void {
    switch (write.kind) {
      case 'accept':
        return this.#intake.accepted(now, write, error);
      case 'begin':
        return this.#lives.begun(now, write, error);
      case 'return':
        return this.#lives.returned(now, write, error);
      case 'end':
        return this.#lives.ended(now, write, error);
      case 'close':
        return this.#lives.closed(now, write, error);
      case 'resubmit':
        return this.#intake.resubmitted(now, write, error);
      case 'sweep':
        return this.#lives.swept(now, write, error);
      case 'probe':
        return;
    }
  }

  // Beginning and end

  #takeOver(now: Instant): void {
    const recovery = this.#recovery;
    if (recovery === undefined) return;
    this.#recovery = undefined;
    for (const request of recovery.restore(now, this.parts)) {
      if (request.pending !== undefined) this.#lives.exhausted(now, request.pending);
    }
  }

  #drain(): void {
    this.#phase = 'draining';
    this.parts.attempts.isOpen = false;
  }

  #stop(): void {
    this.#drain();
    this.parts.attempts.abandonAll();
    for (const token of this.#lives.takeAsks()) this.#intake.refuseAsClosing(token);
    this.#end();
  }

  /** What follows from whatever has happened. */
  #finish(now: Instant): void {
    const { attempts, retention, writes } = this.parts;
    if (this.#phase === 'serving') retention.sweep(now);
    if (this.#phase === 'draining' && attempts.running === 0 && writes.size === 0) this.#end();
  }

  #end(): void {
    const { answers, outbox } = this.parts;
    this.#phase = 'drained';
    for (const token of answers.waiters.takeAll()) answers.pending(token);
    outbox.emit({ type: 'drained' });
  }
}
