/**
 * The Majordomo worker as a pure machine: 7/MDP, 18/MDP and express.
 *
 * It asks its broker which dialect to speak (`negotiation.ts`), and speaks it: over one session of
 * express, one with each broker of a pair, or over as many of stock MDP as it takes requests at a time. When the answer changes, or a
 * session ends, handlers of the old one still run: whatever they leave free the new one may use, so
 * that never more run than the user wants.
 */
import type { Failure } from '../../core/errors.ts';
import { Deadlines } from '../../core/deadlines.ts';
import { fingerprintOf } from '../../core/fingerprint.ts';
import type { Address, Frames, Instant, Machine } from '../../core/machine.ts';
import type { WorkerInput } from '../wire/commands.ts';
import { ExpressSessions } from './express-sessions.ts';
import { Negotiation } from '../negotiation.ts';
import { StockWorkerSession } from './stock-worker-session.ts';
import type {
  ExpressPort,
  HandlerToken,
  SessionHost,
  StockPort,
  WorkerCall,
  WorkerOutbox,
  WorkerPort,
  WorkerSettings,
} from './worker-events.ts';

export type {
  BrokerLossReason,
  CancelReason,
  HandlerToken,
  WorkerCall,
  WorkerEvent,
  WorkerMachineEvent,
  WorkerPort,
  WorkerSettings,
} from './worker-events.ts';

const NO_FRAMES: Frames = [];

export class WorkerMachine implements Machine<WorkerPort, WorkerInput, WorkerCall>, SessionHost {
  readonly #outbox: WorkerOutbox;
  readonly #settings: WorkerSettings;
  readonly #state = {
    phase: 'open' as 'open' | 'draining' | 'drained',
    endpoints: [] as string[],
    tokens: 0,
  };
  readonly #negotiation: Negotiation;
  readonly #express: ExpressSessions;
  /** As many as were ever needed at a time. */
  readonly #stock: StockWorkerSession[] = [];
  readonly #stockDue = new Deadlines<StockWorkerSession>();

  constructor(outbox: WorkerOutbox, settings: WorkerSettings) {
    this.#outbox = outbox;
    this.#settings = settings;
    this.#negotiation = new Negotiation(outbox, settings.protocol, settings.random);
    this.#express = new ExpressSessions(outbox, this, settings, this.#state.endpoints);
  }

  get nextTimeout(): Instant {
    return Math.min(this.#express.nextTimeout, this.#negotiation.nextTimeout, this.#stockDue.next);
  }

  fingerprint(now: Instant): string {
    const stock = this.#stock.map(({ states }) => states);
    const parts = [this.#state, this.#negotiation.state, ...this.#express.states, stock];
    return fingerprintOf(parts, now);
  }

  /** How many handlers run, of present sessions and of earlier ones. */
  get running(): number {
    const inStock = this.#stock.reduce((sum, { running }) => sum + running, 0);
    return this.#express.running + inStock;
  }

  /** How many handlers have not settled. */
  get handling(): number {
    return this.running - this.#express.running + this.#express.unsettled;
  }

  /** Bytes of the outcomes that it remembers for a broker that takes over. */
  get rememberedBytes(): number {
    return this.#express.rememberedBytes;
  }

  handleCommand(now: Instant, port: WorkerPort, _from: Address, command: WorkerInput): void {
    if (isExpress(port)) {
      this.#express.handleCommand(now, port, command);
      // Hot: these change nothing for anybody else, but that credit lets the last reply go.
      const isHot = command.type === 'dispatch' || command.type === 'credit';
      if (isHot && this.#state.phase === 'open') return;
    } else if (port === 'probe') {
      if (command.type === 'reply') this.#negotiation.handleReply(command);
      else this.#outbox.emit({ type: 'malformed', reason: `${command.type} instead of an answer` });
    } else {
      return this.#toStock(now, port, (session) => session.handleCommand(now, command));
    }
    this.#settle(now);
  }

  handleMalformed(_now: Instant, _port: WorkerPort, _from: Address, reason: string): void {
    this.#outbox.emit({ type: 'malformed', reason });
  }

  handleCall(now: Instant, call: WorkerCall): void {
    switch (call.type) {
      case 'connect':
        this.#connect(now, call.endpoints);
        break;
      case 'write':
        this.#write(call.token, call.body);
        return;
      case 'reply':
        return this.#finish(now, call.token, call.body);
      case 'fail':
        return this.#finish(now, call.token, NO_FRAMES, call.failure);
      case 'drain':
      case 'stop':
        this.#drain(now, call.type === 'stop');
        break;
    }
    this.#settle(now);
  }

  handlePeerGone(now: Instant, port: WorkerPort): void {
    if (port === 'probe') return;
    if (!isExpress(port)) {
      return this.#toStock(now, port, (session) => session.handlePeerGone(now));
    }
    this.#express.of(port)?.handlePeerGone(now);
  }

  handleWritable(now: Instant, port: WorkerPort): void {
    if (port === 'probe') return;
    if (!isExpress(port)) {
      return this.#toStock(now, port, (session) => session.handleWritable());
    }
    this.#express.of(port)?.handleWritable();
    if (this.#state.phase !== 'open') this.#settle(now);
  }

  handleStored(): void {
    // A worker stores nothing.
  }

  handleTimeout(now: Instant): void {
    this.#negotiation.handleTimeout(now);
    this.#express.handleTimeout(now);
    for (;;) {
      const due = this.#stockDue.takeDue(now);
      if (due === undefined) break;
      due.handleTimeout(now);
      this.#reschedule(due);
    }
    this.#settle(now);
  }

  // What sessions ask of it

  nextToken(): HandlerToken {
    return this.#state.tokens++;
  }

  sessionLost(now: Instant, endpoint: number): void {
    if (this.#state.phase !== 'open') return;
    // One of stock MDP that was still busy after the upgrade is not missed.
    if (this.#negotiation.verdict === 'express' && this.#express.isOpen) return;
    this.#negotiation.start(now, this.#state.endpoints, endpoint);
  }

  // Which sessions there are

  #connect(now: Instant, endpoints: readonly string[]): void {
    const state = this.#state;
    const isFirst = state.endpoints.length === 0;
    state.endpoints.push(...endpoints);
    if (isFirst && endpoints.length > 0 && state.phase === 'open') {
      this.#negotiation.start(now, state.endpoints);
    }
  }

  /** Brings the sessions in line with the verdict, or with the user's wish to end. */
  #settle(now: Instant): void {
    const { phase, endpoints } = this.#state;
    const { verdict } = this.#negotiation;
    if (phase !== 'open') return this.#finishDraining(now);
    if (endpoints.length === 0 || verdict === 'asking') return;
    if (verdict === 'plain') return this.#fillStock(now);
    const room = this.#settings.concurrency - this.#retireStock();
    this.#express.settle(now, room, this.#negotiation.endpoint);
  }

  /**
   * As many sessions of stock MDP as handlers may run beside those of ended sessions of express, and as
   * there are lanes.
   */
  #fillStock(now: Instant): void {
    const { concurrency, lanes } = this.#settings;
    let free = Math.min(concurrency - this.#express.orphans, lanes);
    for (const session of this.#stock) if (!session.isIdle) free--;
    for (let number = 0; free > 0; number++) {
      const session = this.#stock[number] ?? this.#addStock(number);
      if (!session.isIdle) continue;
      session.connect(now, this.#negotiation.answeredBy);
      this.#reschedule(session);
      free--;
    }
  }

  #addStock(number: number): StockWorkerSession {
    const { endpoints } = this.#state;
    const session = new StockWorkerSession(number, this.#outbox, this, this.#settings, endpoints);
    this.#stock.push(session);
    return session;
  }

  /** Ends those without a request in hand. Returns how many have one. */
  #retireStock(): number {
    let inUse = 0;
    for (const session of this.#stock) {
      session.retire();
      this.#reschedule(session);
      if (session.isInUse) inUse++;
    }
    if (inUse === 0) this.#stock.length = 0;
    return inUse;
  }

  #drain(now: Instant, atOnce: boolean): void {
    if (this.#state.phase === 'open') this.#state.phase = 'draining';
    this.#negotiation.stop();
    this.#express.drain();
    if (!atOnce) return;
    this.#express.stop(now);
    for (const session of this.#stock) session.stop();
  }

  #finishDraining(now: Instant): void {
    if (this.#state.phase === 'drained') return;
    this.#express.retire(now);
    if (this.#retireStock() + this.#express.running > 0) return;
    this.#state.phase = 'drained';
    this.#outbox.emit({ type: 'drained' });
  }

  // Sessions of stock MDP

  #toStock(now: Instant, port: StockPort, tell: (session: StockWorkerSession) => void): void {
    const session = this.#stock[Number(port.slice('stock-'.length))];
    if (session === undefined) return;
    tell(session);
    this.#reschedule(session);
    this.#stockSettled(now);
  }

  /** While plain MDP is spoken, what one session does is its own affair. */
  #stockSettled(now: Instant): void {
    if (this.#state.phase !== 'open' || this.#negotiation.verdict === 'express') this.#settle(now);
  }

  #reschedule(session: StockWorkerSession): void {
    this.#stockDue.set(session, session.nextTimeout);
  }

  // Requests

  #write(token: HandlerToken, body: Frames): void {
    const express = this.#express.with(token);
    if (express !== undefined) return express.write(token, body);
    this.#stockWith(token)?.write(token, body);
    this.#outbox.emit({ type: 'written', token });
  }

  #finish(now: Instant, token: HandlerToken, body: Frames, failure?: Failure): void {
    const express = this.#express.with(token);
    if (express !== undefined) {
      const wasOrphan = this.#express.finish(now, express, token, body, failure);
      // Hot: a reply in the ordinary course of things changes nothing for anybody else.
      if (wasOrphan || this.#state.phase !== 'open') this.#settle(now);
      return;
    }
    const session = this.#stockWith(token);
    if (session === undefined) return;
    session.finish(now, token, body, failure);
    this.#reschedule(session);
    this.#stockSettled(now);
  }

  #stockWith(token: HandlerToken): StockWorkerSession | undefined {
    return this.#stock.find((session) => session.has(token));
  }
}

function isExpress(port: WorkerPort): port is ExpressPort {
  return port === 'express' || port.startsWith('express-');
}
