/**
 * What must hold at a Pirate worker: one handler at a time whatever becomes of its sessions, one answer to
 * each request under the stack that it came with, steady heartbeats, and reconnects that back off.
 */
import { toAddress } from '../../core/frames.ts';
import { expiryOf } from '../../core/heartbeat.ts';
import type { Address, Frames, Instant } from '../../core/machine.ts';
import type { WorkerInput, WorkerOutput } from '../../pirate/commands.ts';
import type {
  QueueLossReason,
  WorkerCall,
  WorkerEvent,
  WorkerPort,
  WorkerSettings,
} from '../../pirate/worker-machine.ts';
import type { MachineChecker } from '../machine-role.ts';
import { requireThat } from '../violation.ts';
import type { Input } from '../watched-machine.ts';
import { ROUNDING } from './workers-checker.ts';

/** A session, as it can be told from outside. */
interface SessionView {
  readonly begunAt: Instant;
  expiresAt: Instant;
  /** When the next heartbeat is due at the latest. */
  beatAt: Instant;
  wasHeard: boolean;
  /** The stack of the request that has no answer. */
  asked: string | undefined;
}

/** What runs in the process. */
export interface Handlers {
  /** Handlers that have not returned. */
  readonly running: number;
  /** Requests that the machine has not let go of. */
  readonly held: number;
  readonly nextTimeout: Instant;
}

export class WorkerChecker implements MachineChecker<
  WorkerPort,
  WorkerInput,
  WorkerOutput,
  WorkerCall,
  WorkerEvent
> {
  readonly #name: string;
  readonly #settings: WorkerSettings;
  readonly #handlers: () => Handlers;
  #now: Instant = 0;
  #isLinkBroken = false;
  #isOver = false;
  #session: SessionView | undefined;
  /** Sessions that were lost since a queue was last heard. */
  #failures = 0;
  /** Between which instants the next session begins. */
  #reconnect: readonly [Instant, Instant] = [-Infinity, Infinity];
  /** When the last handler of an earlier session was done. */
  #freeAt: Instant = -Infinity;

  constructor(name: string, settings: WorkerSettings, handlers: () => Handlers) {
    this.#name = name;
    this.#settings = settings;
    this.#handlers = handlers;
  }

  before(now: Instant, input: Input<WorkerPort, WorkerInput, WorkerCall>): void {
    this.#now = now;
    this.#isLinkBroken = input.kind === 'peerGone';
    if (this.#handlers().held > 0) this.#freeAt = now;
    if (input.kind === 'call' && (input.call.type === 'drain' || input.call.type === 'stop')) {
      this.#isOver = true;
    }
    const session = this.#session;
    if (session === undefined) return;
    const { heartbeatInterval } = this.#settings;
    if (input.kind === 'timeout' && now - this.#handlers().nextTimeout > heartbeatInterval) {
      session.expiresAt = Math.max(session.expiresAt, now + heartbeatInterval);
    }
    if (input.kind !== 'command') return;
    session.expiresAt = now + expiryOf(this.#settings);
    session.wasHeard = true;
    this.#failures = 0;
    if (input.command.type === 'dispatch') session.asked = stackOf(input.command.stack);
  }

  // Sockets

  opened(): void {
    const now = this.#now;
    requireThat(this.#session === undefined, 'one session at a time', () => this.#name);
    this.#checkIdle('connects');
    const [from] = this.#reconnect;
    requireThat(now >= from - ROUNDING, 'back-off', () => {
      return `${this.#name} connects again at ${now}, and not before ${from}`;
    });
    this.#session = {
      begunAt: now,
      expiresAt: now + expiryOf(this.#settings),
      beatAt: now + this.#settings.heartbeatInterval,
      wasHeard: false,
      asked: undefined,
    };
  }

  /** A session that is lost is told of; one that has nothing more to do just ends. */
  closed(_port: WorkerPort, flush: boolean): void {
    if (flush) this.#session = undefined;
  }

  said(_port: WorkerPort, _to: Address, command: WorkerOutput, accepted: boolean): void {
    const session = this.#session;
    requireThat(session !== undefined, 'one session at a time', () => {
      return `${this.#name} says ${command.type} without a session`;
    });
    if (command.type === 'ready') this.#checkIdle('says READY');
    else if (command.type === 'heartbeat') {
      session.beatAt = this.#now + this.#settings.heartbeatInterval;
    } else {
      const stack = stackOf(command.stack);
      requireThat(session.asked === stack, 'one outcome', () => {
        return `${this.#name} answers what it was not asked in this session`;
      });
      if (accepted) session.asked = undefined;
    }
  }

  told(event: WorkerEvent): void {
    if (event.type === 'queueLost') this.#lost(event.reason);
  }

  #lost(reason: QueueLossReason): void {
    const now = this.#now;
    const session = this.#session;
    requireThat(session !== undefined, 'one session at a time', () => {
      return `${this.#name} loses a session twice`;
    });
    requireThat(reason !== 'unexpectedCommand', 'credit', () => {
      return `${this.#name} is given a request while a handler still runs`;
    });
    const isTrue = reason === 'silent' ? now >= session.expiresAt - ROUNDING : this.#isLinkBroken;
    requireThat(isTrue, 'a living queue is kept', () => {
      return `${this.#name} gives its queue up as ${reason} at ${now}, not at ${session.expiresAt}`;
    });
    this.#session = undefined;
    // A queue that was there and may be back has forgotten this worker: it hurries, but not all day.
    const { protocol, reconnectInterval, reconnectLimit } = this.#settings;
    const hasLasted = session.wasHeard && now - session.begunAt >= reconnectInterval;
    if (protocol === 'paranoid' && reason === 'linkBroken' && hasLasted) {
      this.#reconnect = [now, now];
      return;
    }
    const ceiling = Math.min(reconnectLimit, reconnectInterval * 2 ** this.#failures);
    this.#failures++;
    this.#reconnect = [now + ceiling / 2, now + ceiling];
  }

  after(now: Instant): void {
    if (this.#isOver) return;
    const session = this.#session;
    if (session !== undefined) {
      requireThat(now < session.expiresAt + ROUNDING, 'silent queues are left', () => {
        return `${this.#name} is still with a queue at ${now} that it should leave at ${session.expiresAt}`;
      });
      requireThat(now < session.beatAt + ROUNDING, 'heartbeats are steady', () => {
        return `${this.#name} was due to beat at ${session.beatAt}, and it is ${now}`;
      });
      return;
    }
    const { held, nextTimeout } = this.#handlers();
    const latest = Math.max(this.#reconnect[1], this.#freeAt);
    requireThat(held > 0 || nextTimeout <= latest + ROUNDING, 'back-off', () => {
      return `${this.#name} connects again at ${nextTimeout}, and should by ${latest}`;
    });
  }

  /** Whoever says that it has time has it: over reconnects, too. */
  #checkIdle(what: string): void {
    const { running } = this.#handlers();
    requireThat(running === 0, 'credit', () => {
      return `${this.#name} ${what} while ${running} handlers run`;
    });
  }
}

/** One text for each stack; where there is no empty frame there is no stack either. */
function stackOf(stack: Frames | undefined): string {
  return stack === undefined ? 'none' : `[${stack.map(toAddress).join('|')}]`;
}
