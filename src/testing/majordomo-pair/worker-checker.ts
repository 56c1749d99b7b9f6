/**
 * What must hold at a worker of a pair: in each of its sessions what holds with one broker; and nothing is
 * begun for a broker that is known to be deposed.
 */
import type { Epoch } from '../../core/election.ts';
import type { Address, Instant } from '../../core/machine.ts';
import type { WorkerInput, WorkerOutput } from '../../majordomo/wire/commands.ts';
import type {
  WorkerCall,
  WorkerMachineEvent,
  WorkerPort,
} from '../../majordomo/worker/worker-machine.ts';
import { WorkerChecker } from '../majordomo/worker-checker.ts';
import { requireThat } from '../violation.ts';
import type { Input } from '../watched-machine.ts';

/** One of its sessions, each on a port of its own. */
interface Line {
  readonly checker: WorkerChecker;
  /** The epoch that its broker serves under; 0: it stands by. */
  epoch: Epoch;
}

export class PairWorkerChecker extends WorkerChecker {
  readonly #name: string;
  readonly #count: (what: string) => void;
  readonly #lines = new Map<WorkerPort, Line>();
  #highest: Epoch = 0;
  /** What the dispatch of this step is known by, and under which epoch it came. */
  #arriving: { readonly id: string; readonly epoch: Epoch } | undefined;

  constructor(name: string, count: (what: string) => void) {
    super(name);
    this.#name = name;
    this.#count = count;
  }

  /** What the dispatch is known by for which a handler begins in this step; undefined: a stock one. */
  get arriving(): string | undefined {
    return this.#arriving?.id;
  }

  override holds(number: number): boolean {
    return [...this.#lines.values()].some(({ checker }) => checker.holds(number));
  }

  override before(now: Instant, input: Input<WorkerPort, WorkerInput, WorkerCall>): void {
    this.#arriving = undefined;
    for (const { checker } of this.#lines.values()) checker.before(now, input);
    if (input.kind === 'command') this.#note(input.port, input.command);
  }

  #note(port: WorkerPort, command: WorkerInput): void {
    if (command.dialect !== 'express') return;
    const line = this.#lineOf(port);
    if (command.type === 'welcome' && command.epoch !== undefined) {
      line.epoch = command.standby === true ? 0 : command.epoch;
      this.#saw(command.epoch);
    } else if (command.type === 'standing') {
      line.epoch = command.active ? command.epoch : 0;
      this.#saw(command.epoch);
    } else if (command.type === 'dispatch') {
      const { number = 0 } = command;
      this.#arriving = { id: idOf(line.checker.session, number), epoch: line.epoch };
    }
  }

  #saw(epoch: Epoch): void {
    this.#highest = Math.max(this.#highest, epoch);
  }

  opened(port: WorkerPort): void {
    if (port.startsWith('express')) this.#lineOf(port).epoch = 0;
  }

  override said(port: WorkerPort, to: Address, command: WorkerOutput, accepted: boolean): void {
    if (command.dialect !== 'express') return;
    this.#lineOf(port).checker.said(port, to, command, accepted);
    if (command.type === 'handBack' && (this.#arriving?.epoch ?? Infinity) < this.#highest) {
      this.#count('worker.handedBackAsStale');
    }
    if (command.type === 'seen') this.#count('worker.saidSeen');
  }

  override told(event: WorkerMachineEvent): void {
    if (event.type === 'request' && this.#arriving !== undefined) {
      const { epoch } = this.#arriving;
      requireThat(epoch >= this.#highest, 'the deposed give no work', () => {
        return `${this.#name} begins what came under ${epoch}, and has seen ${this.#highest}`;
      });
    }
    for (const { checker } of this.#lines.values()) {
      // A goodbye is said in one session, and silence is noticed in one.
      const isOther = event.type === 'sessionClosed' && checker.session !== event.session;
      if (!isOther && event.type !== 'brokerLost') checker.told(event);
    }
  }

  override after(now: Instant): void {
    for (const { checker } of this.#lines.values()) checker.after(now);
  }

  #lineOf(port: WorkerPort): Line {
    let line = this.#lines.get(port);
    if (line === undefined) {
      line = { checker: new WorkerChecker(this.#name, port, true), epoch: 0 };
      this.#lines.set(port, line);
    }
    return line;
  }
}

/** What a dispatch is known by at both ends of its session. */
export function idOf(session: string, number: number): string {
  return `${session} ${number}`;
}
