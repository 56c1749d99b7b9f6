/**
 * What must hold at a worker over express: it tells the truth about what it has, answers what it was
 * given and nothing else, sends no more parts than there is room for, and passes on that nobody waits.
 */
import { sizeOf } from '../../core/frames.ts';
import type { Address, Instant } from '../../core/machine.ts';
import type {
  DispatchCommand,
  DispatchNumber,
  HeartbeatCommand,
  ResultCommand,
  SessionId,
  WorkerInput,
  WorkerOutput,
} from '../../majordomo/wire/commands.ts';
import type {
  HandlerToken,
  WorkerCall,
  WorkerMachineEvent,
  WorkerPort,
} from '../../majordomo/worker/worker-machine.ts';
import type { MachineChecker } from '../machine-role.ts';
import { requireThat } from '../violation.ts';
import type { Input } from '../watched-machine.ts';
import { Announcements, listed, lostBy, Patience, ROUNDING } from './peer-view.ts';

/** A dispatch that came and has no end yet. */
interface Held {
  readonly number: DispatchNumber;
  /** Heartbeats that had been sent before it came. */
  readonly sentAfter: number;
  readonly deadlineAt: Instant;
  readonly window: number;
  /** It has an idempotency key. */
  readonly isKeyed: boolean;
  sentBytes: number;
  takenBytes: number;
  parts: number;
  /** Undefined until a handler has it. */
  token: HandlerToken | undefined;
  /** The handler was told that nobody waits, or has returned. */
  isDone: boolean;
}

export class WorkerChecker implements MachineChecker<
  WorkerPort,
  WorkerInput,
  WorkerOutput,
  WorkerCall,
  WorkerMachineEvent
> {
  readonly #name: string;
  readonly #port: string;
  readonly #mayOutlive: boolean;
  readonly #held = new Map<DispatchNumber, Held>();
  readonly #announcements = new Announcements();
  readonly #patience = new Patience();
  #session = '';
  #now: Instant = 0;
  #beats = 0;
  #arriving: Held | undefined;
  /** Handlers that this step must tell. */
  readonly #toTell = new Set<HandlerToken>();

  /**
   * @param port of the session that is watched
   * @param mayOutlive whether what runs under an idempotency key goes on when its session ends
   */
  constructor(name: string, port = 'express', mayOutlive = false) {
    this.#name = name;
    this.#port = port;
    this.#mayOutlive = mayOutlive;
  }

  /** Of its express session; empty without one. */
  get session(): SessionId {
    return this.#session;
  }

  /** True if it has this dispatch, and has not sent the end of its answer. */
  holds(number: DispatchNumber): boolean {
    return this.#held.has(number);
  }

  before(now: Instant, input: Input<WorkerPort, WorkerInput, WorkerCall>): void {
    this.#now = now;
    this.#arriving = undefined;
    this.#toTell.clear();
    if (input.kind === 'call') this.#noteCall(input.call);
    if (input.kind === 'peerGone' && input.port === this.#port) this.#patience.forget();
    if (input.kind === 'command' && input.port === this.#port) this.#note(now, input.command);
  }

  #noteCall(call: WorkerCall): void {
    if (call.type !== 'reply' && call.type !== 'fail') return;
    const held = this.#holding(call.token);
    if (held !== undefined) held.isDone = true;
  }

  #note(now: Instant, command: WorkerInput): void {
    if (command.dialect !== 'express' || this.#session === '') return;
    this.#patience.heard(now, command);
    switch (command.type) {
      case 'dispatch':
        return this.#noteDispatch(now, command);
      case 'credit': {
        const held = this.#held.get(command.number);
        if (held !== undefined) held.takenBytes = Math.max(held.takenBytes, command.bytes);
        return;
      }
      case 'cancel':
        return this.#mustTell(this.#held.get(command.number));
      case 'heartbeat':
        return this.#noteHeartbeat(command);
      case 'welcome':
        if (!command.resumed) {
          for (const held of this.#held.values()) this.#isLost(held);
          this.#held.clear();
          this.#beats = 0;
        }
        return;
      case 'standing':
        // Of what it gave away nothing is its own any more.
        if (command.active) return;
        for (const held of this.#held.values()) this.#isLost(held);
        this.#held.clear();
        return;
      default:
    }
  }

  #noteDispatch(now: Instant, { number = 0, window, timeLeft, key }: DispatchCommand): void {
    if (this.#held.has(number)) return;
    this.#arriving = {
      number,
      sentAfter: this.#beats,
      deadlineAt: now + (timeLeft ?? Infinity),
      window: window ?? Infinity,
      isKeyed: key !== undefined,
      sentBytes: 0,
      takenBytes: 0,
      parts: 0,
      token: undefined,
      isDone: false,
    };
    this.#held.set(number, this.#arriving);
  }

  #noteHeartbeat(command: HeartbeatCommand): void {
    const underWay = [...this.#held.values()]
      .filter(({ token }) => token !== undefined)
      .map(({ number, sentAfter }) => [number, sentAfter] as const);
    for (const number of lostBy(command, this.#beats, underWay)) {
      this.#isLost(this.#held.get(number));
      this.#held.delete(number);
    }
  }

  /** The broker knows nothing of it: another one may ask for what it has done under a key. */
  #isLost(held: Held | undefined): void {
    if (!this.#mayOutlive || held?.isKeyed !== true) this.#mustTell(held);
  }

  #mustTell(held: Held | undefined): void {
    if (held?.token === undefined || held.isDone) return;
    this.#toTell.add(held.token);
    held.isDone = true;
  }

  // Outputs

  said(port: WorkerPort, _to: Address, command: WorkerOutput, accepted: boolean): void {
    // A heartbeat that is refused counts: its number is used.
    if (port !== this.#port || (!accepted && command.type !== 'heartbeat')) return;
    this.#announcements.sent(port, command);
    switch (command.type) {
      case 'ready':
        if (command.session !== this.#session) {
          this.#session = command.session ?? '';
          this.#beats = 0;
          this.#held.clear();
        }
        return this.#checkTruth(command.held ?? []);
      case 'heartbeat':
        this.#beats = command.beat ?? 0;
        return this.#checkTruth(command.held ?? []);
      case 'result':
        return this.#checkResult(command);
      case 'handBack': {
        const held = this.#held.get(command.number);
        requireThat(held?.token === undefined, 'handing back costs no attempt', () => {
          return `${this.#name} hands back ${command.number}, which a handler has`;
        });
        this.#held.delete(command.number);
        return;
      }
      default:
    }
  }

  #checkTruth(said: readonly DispatchNumber[]): void {
    const isTrue = said.length === this.#held.size && said.every((it) => this.#held.has(it));
    requireThat(isTrue, 'heartbeats tell the truth', () => {
      return `${this.#name} says that it has ${listed(said)}, and has ${listed(this.#held.keys())}`;
    });
  }

  #checkResult({ number = 0, sequence, final, body }: ResultCommand): void {
    const held = this.#held.get(number);
    requireThat(held !== undefined, 'one outcome', () => {
      return `${this.#name} answers ${number}, and has ${listed(this.#held.keys())}`;
    });
    requireThat(sequence === held.parts, 'partials in order', () => {
      return `${this.#name} sends part ${sequence} of ${number} after ${held.parts}`;
    });
    if (final) {
      this.#held.delete(number);
      return;
    }
    requireThat(held.sentBytes - held.takenBytes < held.window, 'windows are respected', () => {
      return `${this.#name} sends part ${sequence} of ${number}, for which there is no room`;
    });
    held.parts++;
    held.sentBytes += sizeOf(body);
  }

  told(event: WorkerMachineEvent): void {
    switch (event.type) {
      case 'request':
        if (this.#arriving !== undefined) this.#arriving.token = event.token;
        return;
      case 'requestCancelled':
      case 'requestLost': {
        this.#toTell.delete(event.token);
        const held = this.#holding(event.token);
        if (held !== undefined) held.isDone = true;
        return;
      }
      case 'brokerLost':
        // Of a session of stock MDP it may be, too: those hear no announcement.
        if (event.reason === 'silent') this.#patience.check(this.#now, this.#name);
        return;
      case 'sessionClosed':
        this.#patience.forget();
        this.#held.clear();
        this.#session = '';
        return;
      default:
    }
  }

  after(now: Instant): void {
    for (const token of this.#toTell) {
      requireThat(false, 'cancels reach the worker', () => {
        return `${this.#name} does not tell handler ${token} that nobody waits for it`;
      });
    }
    for (const { deadlineAt, token, isDone, number } of this.#held.values()) {
      const isLate = token !== undefined && !isDone && now > deadlineAt + ROUNDING;
      requireThat(!isLate, 'deadlines travel', () => {
        return `${this.#name} works on ${number} at ${now}, whose time was over at ${deadlineAt}`;
      });
    }
  }

  #holding(token: HandlerToken): Held | undefined {
    for (const held of this.#held.values()) if (held.token === token) return held;
    return undefined;
  }
}
