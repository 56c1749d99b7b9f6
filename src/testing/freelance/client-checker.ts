/**
 * What must hold at a Freelance client: each call ends once and in time, with what answers one of its
 * own tries; nothing waits while a server could be asked, and nothing is asked too often.
 */
import { decodeFailure } from '../../core/error-body.ts';
import type { RequestErrorCode } from '../../core/errors.ts';
import { sizeOf, toAddress } from '../../core/frames.ts';
import type { Address, Instant } from '../../core/machine.ts';
import type {
  ClientCall,
  ClientEvent,
  ClientMachine,
  ClientSettings,
  RequestId,
} from '../../freelance/client-machine.ts';
import type { ClientInput, ClientOutput, ReplyCommand } from '../../freelance/commands.ts';
import type { ServerPort } from '../../freelance/servers.ts';
import type { MachineChecker } from '../machine-role.ts';
import { requireThat, Violation } from '../violation.ts';
import type { Input } from '../watched-machine.ts';
import { Call, type Attempt } from './call.ts';
import { CopiesChecker } from './copies-checker.ts';
import type { PlannedOperation } from './plan.ts';
import { ServersChecker } from './servers-checker.ts';
import { ROGUE } from './rogue-role.ts';
import { endpointOf, type FreelanceStage } from './stage.ts';
import { decodeAnswer, decodeWork, echoedBy, encodeWork, type Work } from '../work.ts';

/** Milliseconds by which two sums of the same instants may differ. */
const ROUNDING = 1e-3;

/** Milliseconds after a failure in which its room may stay free: many fail together. */
const REST = 1;

export class ClientChecker implements MachineChecker<
  ServerPort,
  ClientInput,
  ClientOutput,
  ClientCall,
  ClientEvent
> {
  /** All that were asked of this incarnation; an id is a place here. */
  readonly calls: Call[] = [];
  readonly #stage: FreelanceStage;
  readonly #settings: ClientSettings;
  readonly #machine: () => ClientMachine;
  readonly #servers: ServersChecker;
  readonly #copies: CopiesChecker;
  /** Without an outcome, the oldest first. */
  readonly #open = new Set<Call>();
  #now: Instant = 0;
  #failedAt: Instant = -Infinity;
  #phase: 'open' | 'draining' | 'stopping' | 'drained' = 'open';
  /** What this step's input answers, and how. */
  #answered: Attempt | undefined;
  #failure: RequestErrorCode | undefined;
  #cancelled: Call | undefined;
  /** What this step's input asks. */
  #asked: Call | undefined;

  constructor(
    name: string,
    stage: FreelanceStage,
    settings: ClientSettings,
    machine: () => ClientMachine,
  ) {
    this.#stage = stage;
    this.#settings = settings;
    this.#machine = machine;
    this.#servers = new ServersChecker(name, settings);
    this.#copies = new CopiesChecker(settings, this.#servers, () => machine().servers);
  }

  /** Calls without an outcome. */
  get unsettled(): number {
    return this.#open.size;
  }

  /** A call is about to be made under the next id. */
  issued(now: Instant, work: Work, operation: PlannedOperation): RequestId {
    const bytes = sizeOf(encodeWork(work));
    return this.calls.push(new Call(now, work, bytes, operation)) - 1;
  }

  // Inputs

  before(now: Instant, input: Input<ServerPort, ClientInput, ClientCall>): void {
    requireThat(now >= this.#now, 'monotonic time', () => `${now} after ${this.#now}`);
    this.#now = now;
    this.#answered = undefined;
    this.#failure = undefined;
    this.#cancelled = undefined;
    this.#asked = undefined;
    const overslept = now - this.#machine().nextTimeout > this.#settings.heartbeatInterval;
    this.#servers.begin(now, overslept);
    this.#copies.begin(now);
    switch (input.kind) {
      case 'command':
        this.#servers.heard(input.port, input.command);
        if (input.command.type === 'reply') this.#noteReply(input.port, input.command);
        return;
      case 'malformed':
        return this.#servers.heard(input.port, undefined);
      case 'peerGone':
        return this.#servers.noteGone(input.port);
      case 'writable':
        return this.#servers.noteWritable(input.port);
      case 'call':
        return this.#noteCall(input.call);
      default:
    }
  }

  #noteCall(call: ClientCall): void {
    if (call.type === 'request') {
      this.#asked = this.calls[call.id]!;
      this.#open.add(this.#asked);
    } else if (call.type === 'cancel') this.#cancelled = this.calls[call.id];
    else if (call.type === 'drain' && this.#phase === 'open') this.#phase = 'draining';
    else if (call.type === 'stop' && this.#phase !== 'drained') this.#phase = 'stopping';
  }

  /** It answers a try if it comes from where that was sent, under just that control frame. */
  #noteReply(port: ServerPort, { control, body }: ReplyCommand): void {
    const key = toAddress(control);
    this.#failure = decodeFailure(body)?.code;
    for (const call of this.#open) {
      this.#answered ??= call.attempts.find((it) => it.port === port && it.control === key);
    }
    const answered = this.#answered;
    if (answered === undefined) return;
    const { call } = answered;
    if (this.#failure === 'ERR_SERVER_CLOSING') this.#servers.noteClosing(port);
    if (this.#isRefusal) {
      call.forget(answered);
      if (this.#failure === 'ERR_QUEUE_FULL') call.refusedBy.add(port);
      this.#copies.refused(call, this.#failure!);
    } else this.#copies.answered(this.#now - answered.sentAt);
  }

  /** What a rogue says to what it was asked is its own. */
  get #isByRogue(): boolean {
    const { port } = this.#answered!;
    return this.#servers.of(port).endpoint === endpointOf(ROGUE);
  }

  /** A server says that it will not do it: another one may. */
  get #isRefusal(): boolean {
    return this.#failure === 'ERR_QUEUE_FULL' || this.#failure === 'ERR_SERVER_CLOSING';
  }

  // Outputs

  opened(port: ServerPort, endpoint: string): void {
    this.#servers.opened(port, endpoint);
  }

  closed(port: ServerPort): void {
    this.#servers.isOver = this.#phase !== 'open' && this.#open.size === 0;
    this.#servers.closed(port);
    for (const call of this.#open) {
      if (call.forgetAt(port)) this.#copies.lost(call);
    }
  }

  said(port: ServerPort, _to: Address, command: ClientOutput, accepted: boolean): void {
    if (command.type === 'ping') return this.#servers.pinged(port);
    if (!accepted) {
      this.#servers.of(port).isFull = true;
      return this.#copies.passedOver();
    }
    const work = decodeWork(command.body);
    const call = this.#callOf(work);
    requireThat(call !== undefined, 'requests leave intact', () => `${work?.id} on ${port}`);
    requireThat(call.outcome === undefined, 'nothing is sent after the end', () => {
      return `${call.work.id} ended with ${call.outcome}, and is sent on ${port}`;
    });
    this.#checkTurn(call);
    const control = toAddress(command.control);
    for (const other of this.#open) {
      const isTaken = other.attempts.some((it) => it.control === control);
      requireThat(!isTaken, 'control frames are unique', () => {
        return `${call.work.id} is sent on ${port} under a control frame of ${other.work.id}`;
      });
    }
    this.#copies.sent(call, port, control);
    const view = this.#servers.of(port);
    call.asked.add(view.endpoint);
    if (view.endpoint !== endpointOf(ROGUE)) this.#stage.overheard(command.control);
  }

  /** Those that were never sent leave in the order of their coming. */
  #checkTurn(call: Call): void {
    if (call.wasSent) return;
    for (const other of this.#open) {
      if (other === call) return;
      requireThat(other.wasSent, 'nobody overtakes', () => {
        return `${call.work.id} is sent while ${other.work.id} waits`;
      });
    }
  }

  #callOf(work: Work | undefined): Call | undefined {
    const call = this.calls[Number(work?.id.split('.').at(-1))];
    return call?.work.id === work?.id ? call : undefined;
  }

  // Events

  told(event: ClientEvent): void {
    switch (event.type) {
      case 'serverLive':
        return this.#servers.toldLive(event.endpoint);
      case 'serverLost':
        return this.#servers.toldLost(event.endpoint, event.reason);
      case 'retry':
        return this.#copies.toldRetry(this.calls[event.id]!, event);
      case 'hedge':
        return this.#copies.toldHedge(this.calls[event.id]!);
      case 'reply':
        return this.#checkReply(event);
      case 'failed':
        return this.#checkFailed(event);
      case 'replyIgnored':
        return requireThat(this.#answered === undefined, 'answers count', () => {
          return `the answer to ${this.#answered?.call.work.id} is ignored`;
        });
      case 'drained':
        this.#phase = 'drained';
        return;
      default:
    }
  }

  #checkReply({ id, body }: Extract<ClientEvent, { type: 'reply' }>): void {
    const call = this.#end(id, 'reply');
    this.#checkAnswers(call);
    if (this.#isByRogue) return;
    const answer = decodeAnswer(body);
    requireThat(answer !== undefined && this.#failure === undefined, 'reply integrity', () => {
      return `${call.work.id} got what no handler wrote`;
    });
    const execution = this.#stage.executions[answer.execution];
    const isOwn =
      answer.id === call.work.id &&
      execution?.work === answer.id &&
      execution.server === answer.server &&
      answer.size === echoedBy(call.work) &&
      call.asked.has(endpointOf(answer.server));
    requireThat(isOwn, 'reply integrity', () => {
      return `${call.work.id} got the reply to ${answer.id} by ${answer.server}`;
    });
  }

  #checkFailed({ id, code, message }: Extract<ClientEvent, { type: 'failed' }>): void {
    const call = this.#end(id, code);
    const { work } = call;
    this.#failedAt = this.#now;
    if (call === this.#asked && code !== 'ERR_REQUEST_TIMEOUT')
      return this.#checkRefused(call, code);
    switch (code) {
      case 'ERR_CANCELLED': {
        const isWanted = call === this.#cancelled || this.#phase === 'stopping';
        return requireThat(isWanted, 'one outcome', () => `${work.id} is cancelled by nobody`);
      }
      case 'ERR_REQUEST_TIMEOUT': {
        const isDue = this.#now >= call.deadlineAt - ROUNDING;
        const isSpent = call.lostBy === 'serverLost' && !call.mayRepeat;
        return requireThat(isDue || isSpent, 'deadlines are kept', () => {
          return `${work.id} is given up at ${this.#now}, its deadline is ${call.deadlineAt}`;
        });
      }
      default:
        this.#checkAnswers(call);
        if (this.#isRefusal) this.#copies.checkRefused(call);
        if (this.#isByRogue) return;
        requireThat(code === this.#failure, 'reply integrity', () => `${work.id}: ${message}`);
        requireThat(
          code !== 'ERR_HANDLER_FAILED' || work.behaviour === 'fail',
          'reply integrity',
          () => {
            return `${work.id}, whose handler does not fail, is told: ${message}`;
          },
        );
    }
  }

  /** It is not even accepted. */
  #checkRefused(call: Call, code: RequestErrorCode): void {
    const { queueLimit, queueBytes } = this.#settings;
    const waiting = [...this.#open].filter((other) => other.attempts.length === 0);
    const bytes = [...waiting, call].reduce((sum, it) => sum + Math.min(it.bytes, queueBytes), 0);
    const isFull = waiting.length >= queueLimit || bytes > queueBytes;
    const isTrue = code === 'ERR_QUEUE_FULL' ? isFull : this.#phase !== 'open';
    requireThat(isTrue, 'refusals are true', () => {
      return `${call.work.id} is refused with ${code} while ${waiting.length} wait`;
    });
  }

  /** What ends a call answers one of its tries. */
  #checkAnswers(call: Call): void {
    requireThat(this.#answered?.call === call, 'correlation', () => {
      return `${call.work.id} is told what answers ${this.#answered?.call.work.id ?? 'nobody'}`;
    });
  }

  #end(id: RequestId, outcome: string): Call {
    const call = this.calls[id];
    if (call === undefined) throw new Violation('one outcome', `nobody asked for request ${id}`);
    requireThat(call.outcome === undefined, 'one outcome', () => {
      return `${call.work.id} ended with ${call.outcome}, and again with ${outcome}`;
    });
    call.outcome = outcome;
    this.#open.delete(call);
    return call;
  }

  // After each step

  after(now: Instant): void {
    if (this.#asked?.outcome === undefined && this.#asked !== undefined) this.#copies.earn();
    this.#servers.end();
    for (const call of this.#open) {
      requireThat(now < call.deadlineAt + ROUNDING, 'deadlines are kept', () => {
        return `${call.work.id} should have ended at ${call.deadlineAt}, and it is ${now}`;
      });
    }
    this.#checkAnswerCounts();
    this.#copies.end(this.#open);
    this.#checkBounds();
    this.#checkNobodyWaits(now);
  }

  #checkAnswerCounts(): void {
    const call = this.#answered?.call;
    const isOpen = call !== undefined && !this.#isRefusal && call.outcome === undefined;
    requireThat(!isOpen, 'answers count', () => `${call?.work.id} is answered, and goes on`);
  }

  #checkBounds(): void {
    const { queueLimit, queueBytes, inFlightLimit } = this.#settings;
    let waiting = 0;
    let bytes = 0;
    let inFlight = 0;
    for (const call of this.#open) {
      if (call.attempts.length > 0) inFlight++;
      else if (!call.wasSent) {
        waiting++;
        bytes += call.bytes;
      }
    }
    requireThat(
      waiting <= queueLimit && (bytes <= queueBytes || waiting === 1),
      'bounded queue',
      () => {
        return `${waiting} requests of ${bytes} bytes wait; ${queueLimit} of ${queueBytes} may`;
      },
    );
    requireThat(inFlight <= inFlightLimit, 'bounded in flight', () => {
      return `${inFlight} requests are under way; ${inFlightLimit} may be`;
    });
    const machine = this.#machine();
    const isTrue = machine.outstanding === this.#open.size && machine.inFlight === inFlight;
    requireThat(isTrue, 'conservation', () => {
      return `${machine.outstanding} requests, ${machine.inFlight} under way, where there are ${this.#open.size} and ${inFlight}`;
    });
  }

  /** Nothing waits while there is room for it, here and at a server. */
  #checkNobodyWaits(now: Instant): void {
    if (this.#phase === 'stopping' || now <= this.#failedAt + REST + ROUNDING) return;
    const { inFlight } = this.#machine();
    if (inFlight === this.#open.size || inFlight >= this.#settings.inFlightLimit) return;
    const [able] = this.#servers.able();
    if (able === undefined) return;
    for (const call of this.#open) {
      requireThat(call.attempts.length > 0, 'nobody waits in vain', () => {
        return `${call.work.id} has no try under way, and ${able.port} is live`;
      });
    }
  }
}
