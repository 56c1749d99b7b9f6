/**
 * What must hold at a Majordomo broker after every step, judged from outside: from its inputs, its
 * outputs, and a look at its plain state. Here the steps are seen; the rules are in the parts.
 */
import type { Address, Instant } from '../../core/machine.ts';
import type { BrokerEvent } from '../../majordomo/broker/broker-events.ts';
import type {
  BrokerMachine,
  BrokerPort,
  BrokerCall,
  BrokerSettings,
} from '../../majordomo/broker/broker-machine.ts';
import type { PendingRequest } from '../../majordomo/broker/requests.ts';
import type { BrokerInput, BrokerOutput } from '../../majordomo/wire/commands.ts';
import { OrderChecker } from '../book-checker.ts';
import type { MachineChecker } from '../machine-role.ts';
import { requireThat } from '../violation.ts';
import type { Input } from '../watched-machine.ts';
import { ClientsChecker } from './clients-checker.ts';
import { KeysChecker } from './keys-checker.ts';
import { Announcements } from './peer-view.ts';
import { RequestsChecker } from './requests-checker.ts';
import { WorkersChecker } from './workers-checker.ts';

export class BrokerChecker implements MachineChecker<
  BrokerPort,
  BrokerInput,
  BrokerOutput,
  BrokerCall,
  BrokerEvent
> {
  readonly #settings: BrokerSettings;
  readonly #machine: () => BrokerMachine;
  readonly #workers: WorkersChecker;
  readonly #clients: ClientsChecker;
  readonly #requests: RequestsChecker;
  readonly #queue: OrderChecker<PendingRequest>;
  readonly #keys: KeysChecker;
  readonly #announcements = new Announcements();
  #lastAt: Instant = -Infinity;

  constructor(settings: BrokerSettings, machine: () => BrokerMachine) {
    this.#settings = settings;
    this.#machine = machine;
    this.#workers = new WorkersChecker(settings, machine);
    this.#clients = new ClientsChecker(settings, machine);
    this.#queue = new OrderChecker(settings, () => machine().requests);
    this.#requests = new RequestsChecker(settings, machine, this.#queue);
    this.#keys = new KeysChecker(settings, machine);
  }

  before(now: Instant, input: Input<BrokerPort, BrokerInput, BrokerCall>): void {
    requireThat(now >= this.#lastAt, 'monotonic time', () => `${now} after ${this.#lastAt}`);
    this.#lastAt = now;
    const overslept = now - this.#machine().nextTimeout > this.#settings.heartbeatInterval;
    this.#workers.begin(now, overslept);
    this.#clients.begin(now, overslept);
    this.#requests.begin(now);
    if (input.kind === 'call') {
      const { type } = input.call;
      if (type === 'drain' || type === 'stop') this.#clients.isClosing = true;
    }
    if (input.kind === 'peerGone') {
      this.#workers.noteGone(now, input.from);
      this.#clients.noteGone(now, input.from);
    } else if (input.kind === 'command') {
      this.#workers.noteCommand(now, input.from, input.command);
      this.#clients.noteCommand(now, input.from, input.command);
      this.#requests.noteCommand(input.command);
      for (const returned of this.#workers.returned) this.#requests.noteReturned(returned);
    }
  }

  /** An output, as the machine gave it; not `accepted`: the peer's queue was full. */
  said(_port: BrokerPort, to: Address, command: BrokerOutput, accepted: boolean): void {
    const now = this.#lastAt;
    this.#announcements.sent(to, command);
    this.#workers.said(to, command);
    this.#clients.said(to, command, accepted);
    if (command.type !== 'dispatch') return;
    if (!accepted) return this.#requests.refused(command);
    const request = this.#requests.dispatched(now, command);
    this.#clients.checkWanted(now, request);
    this.#keys.dispatched(now, request, this.#workers.open());
    this.#workers.dispatched(now, to, command, request);
  }

  /** An event, as the machine told it. */
  told(event: BrokerEvent): void {
    this.#workers.told(this.#lastAt, event);
    this.#clients.told(this.#lastAt, event);
    if (event.type !== 'becamePassive') return;
    this.#workers.disowned();
    this.#keys.forget();
  }

  after(now: Instant): void {
    this.#requests.end(now);
    this.#queue.end();
    this.#workers.end(now);
    this.#clients.end(now);
    for (const returned of this.#workers.returned) this.#keys.noteReturned(now, returned);
    this.#keys.end();
  }
}
