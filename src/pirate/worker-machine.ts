/**
 * The Pirate worker as a pure machine, simple and paranoid (6/PPP): it says READY, and then answers one
 * request at a time.
 *
 * Its life is that of any worker with one request at a time, see `core/worker-session.ts`. What is a
 * Pirate's own is what a broken link means, as neither protocol has a word for goodbye: an idle worker
 * begins anew, since a queue that was restarted knows nothing of it.
 */
import { encodeFailure } from '../core/error-body.ts';
import { fingerprintOf } from '../core/fingerprint.ts';
import { keepFrames } from '../core/frames.ts';
import type { Address, Frames, Instant, Machine } from '../core/machine.ts';
import {
  WorkerSession,
  type HandlerToken,
  type HeldRequest,
  type HeldRequestEvent,
  type SessionLoss,
  type SessionWire,
} from '../core/worker-session.ts';
import type { DispatchCommand, WorkerInput } from './commands.ts';
import type {
  QueueLossReason,
  WorkerCall,
  WorkerOutbox,
  WorkerPort,
  WorkerSettings,
} from './worker-events.ts';

export type {
  QueueLossReason,
  WorkerCall,
  WorkerEvent,
  WorkerPort,
  WorkerSettings,
} from './worker-events.ts';

interface Held extends HeldRequest {
  /** As it came: it leads the reply back to its client. */
  readonly stack: Frames | undefined;
}

const PORT = 'queue';

export class WorkerMachine
  implements Machine<WorkerPort, WorkerInput, WorkerCall>, SessionWire<Held, QueueLossReason>
{
  readonly #outbox: WorkerOutbox;
  readonly #settings: WorkerSettings;
  readonly #state = {
    phase: 'open' as 'open' | 'draining' | 'drained',
    endpoints: [] as string[],
    tokens: 0,
  };
  readonly #session: WorkerSession<Held, QueueLossReason>;

  constructor(outbox: WorkerOutbox, settings: WorkerSettings) {
    this.#outbox = outbox;
    this.#settings = settings;
    this.#session = new WorkerSession(this, settings, this.#state.endpoints);
  }

  get nextTimeout(): Instant {
    return this.#session.nextTimeout;
  }

  fingerprint(now: Instant): string {
    return fingerprintOf([this.#state, this.#session.state], now);
  }

  /** How many handlers run: one at most, of this session or of an earlier one. */
  get running(): number {
    return this.#session.running;
  }

  handleCommand(now: Instant, _port: WorkerPort, _from: Address, command: WorkerInput): void {
    if (!this.#session.isOpen) return;
    if (this.#session.hear(now)) this.#outbox.emit({ type: 'ready', endpoint: this.#endpoint() });
    if (command.type === 'dispatch') this.#start(now, command);
    this.#settle(now);
  }

  handleMalformed(_now: Instant, _port: WorkerPort, _from: Address, reason: string): void {
    this.#outbox.emit({ type: 'malformed', reason });
  }

  handleCall(now: Instant, call: WorkerCall): void {
    switch (call.type) {
      case 'connect':
        for (const endpoint of call.endpoints) {
          if (!this.#state.endpoints.includes(endpoint)) this.#state.endpoints.push(endpoint);
        }
        break;
      case 'reply':
        this.#session.finish(now, call.token, call.body);
        break;
      case 'fail':
        this.#session.finish(now, call.token, encodeFailure(call.failure));
        break;
      case 'drain':
      case 'stop':
        if (this.#state.phase === 'open') this.#state.phase = 'draining';
        if (call.type === 'stop') this.#session.stop();
        break;
    }
    this.#settle(now);
  }

  /**
   * The link broke, and the socket reconnects by itself under the same address. A queue that lives takes
   * a heartbeat that comes soon for a sign that the worker does too, so a request in hand goes on. Where
   * nobody beats, nothing could tell a queue that knows of it from one that does not.
   */
  handlePeerGone(now: Instant): void {
    const session = this.#session;
    if (!session.isOpen) return;
    const isParanoid = this.#settings.protocol === 'paranoid';
    if (isParanoid && session.running > 0) return session.beat(now);
    // Without a pause only after a session worth the name: links that break at once would do so all day.
    const { phase, begunAt } = session.state;
    const hasLasted = phase === 'active' && now - begunAt >= this.#settings.reconnectInterval;
    session.end(now, 'linkBroken', isParanoid && hasLasted);
    this.#settle(now);
  }

  handleWritable(now: Instant): void {
    this.#session.handleWritable();
    this.#settle(now);
  }

  handleStored(): void {
    // A worker stores nothing.
  }

  handleTimeout(now: Instant): void {
    this.#session.handleTimeout(now);
    this.#settle(now);
  }

  // What its life asks of it

  open(endpoint: number): void {
    const name = this.#state.endpoints[endpoint]!;
    this.#outbox.open(PORT, name);
    this.#outbox.send(PORT, '', { type: 'ready' });
    this.#outbox.emit({ type: 'connecting', endpoint: name });
  }

  beat(): void {
    this.#outbox.send(PORT, '', { type: 'heartbeat' });
  }

  leave(): void {
    this.#outbox.close(PORT, true);
  }

  lost(_now: Instant, { reason, endpoint, wasActive }: SessionLoss<QueueLossReason>): void {
    this.#outbox.close(PORT);
    this.#outbox.emit({ type: 'queueLost', endpoint: this.#state.endpoints[endpoint]!, reason });
    // Where silence means nothing, a queue that does not come back would be waited for for ever.
    if (wasActive && this.#settings.protocol === 'simple') this.#session.moveOn();
  }

  reply({ stack }: Held, body: Frames): boolean {
    return this.#outbox.send(PORT, '', { type: 'result', stack, body });
  }

  emit(event: HeldRequestEvent): void {
    this.#outbox.emit(event);
  }

  // Requests

  #start(now: Instant, { stack, body }: DispatchCommand): void {
    // A credit of one is all there is: more than that would be a queue without a bound.
    if (this.#session.running > 0) return this.#session.end(now, 'unexpectedCommand');
    const token: HandlerToken = this.#state.tokens++;
    const { session } = this.#session.state;
    this.#session.hold(token, { session, stack: stack && keepFrames(stack), reply: undefined });
    this.#outbox.emit({ type: 'request', token, body: keepFrames(body) });
  }

  /** Begins a session when one may, or ends for good when the user wishes so. */
  #settle(now: Instant): void {
    const state = this.#state;
    const session = this.#session;
    if (state.phase === 'open') {
      if (session.isIdle && state.endpoints.length > 0) session.connect(now);
      return;
    }
    session.retire();
    if (state.phase === 'drained' || session.running > 0) return;
    state.phase = 'drained';
    this.#outbox.emit({ type: 'drained' });
  }

  #endpoint(): string {
    return this.#state.endpoints[this.#session.state.endpoint]!;
  }
}
