/**
 * What must hold at a Pirate queue after every step, judged from outside: from its inputs, its outputs,
 * and a look at its plain state. Here the steps are seen; the rules are in the parts.
 */
import type { Address, Instant } from '../../core/machine.ts';
import type { QueueInput, QueueOutput, QueuePort } from '../../pirate/commands.ts';
import type { QueueEvent } from '../../pirate/queue-events.ts';
import type { QueueCall, QueueMachine, QueueSettings } from '../../pirate/queue-machine.ts';
import type { MachineChecker } from '../machine-role.ts';
import { requireThat } from '../violation.ts';
import type { Input } from '../watched-machine.ts';
import { RequestsChecker } from './requests-checker.ts';
import { WorkersChecker } from './workers-checker.ts';

/** So much later than due, in milliseconds, a timeout of a queue without heartbeats forgives. */
const PATIENCE = 100;

export class QueueChecker implements MachineChecker<
  QueuePort,
  QueueInput,
  QueueOutput,
  QueueCall,
  QueueEvent
> {
  readonly #settings: QueueSettings;
  readonly #machine: () => QueueMachine;
  readonly #workers: WorkersChecker;
  readonly #requests: RequestsChecker;
  #lastAt: Instant = -Infinity;

  constructor(settings: QueueSettings, machine: () => QueueMachine) {
    this.#settings = settings;
    this.#machine = machine;
    this.#workers = new WorkersChecker(settings, machine);
    this.#requests = new RequestsChecker(settings, machine, this.#workers);
  }

  before(now: Instant, input: Input<QueuePort, QueueInput, QueueCall>): void {
    requireThat(now >= this.#lastAt, 'monotonic time', () => `${now} after ${this.#lastAt}`);
    this.#lastAt = now;
    const { heartbeatInterval } = this.#settings;
    const patience = heartbeatInterval === Infinity ? PATIENCE : heartbeatInterval;
    const isLate = input.kind === 'timeout' && now - this.#machine().nextTimeout > patience;
    const overslept = isLate ? patience : 0;
    this.#workers.begin(now, overslept);
    this.#requests.begin(now, overslept);
    switch (input.kind) {
      case 'call':
        return this.#workers.noteClosing();
      case 'peerGone':
        if (input.port === 'backend') this.#workers.noteGone(now, input.from);
        else this.#requests.noteGone(now, input.from);
        return;
      case 'writable':
        if (input.port === 'backend') this.#workers.noteWritable(input.to);
        return;
      case 'command':
        if (input.port === 'backend') this.#workers.noteCommand(now, input.from, input.command);
        this.#requests.noteCommand(input.from, input.command);
        return;
      default:
    }
  }

  said(_port: QueuePort, to: Address, command: QueueOutput, accepted: boolean): void {
    this.#workers.said(to, command, accepted);
    this.#requests.said(to, command);
    if (command.type !== 'dispatch' || !accepted) return;
    this.#workers.dispatched(to, command, this.#requests.dispatched(command));
  }

  told(event: QueueEvent): void {
    this.#workers.told(event);
    this.#requests.told(event);
  }

  after(now: Instant): void {
    this.#workers.end(now);
    this.#requests.end(now);
  }
}
