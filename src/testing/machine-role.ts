/**
 * A role whose process runs one machine over the simulated network: the real machine, codec and driver,
 * and a checker that sees every input and output.
 */
import type { Codec } from '../core/codec.ts';
import type { Address, Machine, Outbox } from '../core/machine.ts';
import { Driver, type Store } from '../transport/driver.ts';
import type { SocketKind } from '../transport/transport.ts';
import type { Role } from './roles.ts';
import type { SimTransportOptions } from './sim-network.ts';
import type { SimProcess } from './sim-process.ts';
import type { Stage } from './stage.ts';
import { WatchedMachine, type Watcher } from './watched-machine.ts';

/** Sees what goes into a machine, and what comes out of it as it does. */
export interface MachineChecker<Port, Input, Output, Call, Event> extends Watcher<
  Port,
  Input,
  Call
> {
  opened?(port: Port, endpoint: string): void;
  /** `flush`: what is queued still leaves. */
  closed?(port: Port, flush: boolean): void;
  /** A command; not `accepted`: its peer's queue was full. */
  said?(port: Port, to: Address, command: Output, accepted: boolean): void;
  told?(event: Event): void;
}

/** One life of a role. */
export interface Cast<Port extends string, Input, Output, Call, Event> {
  readonly stage: Stage;
  readonly process: SimProcess;
  readonly machine: (outbox: Outbox<Port, Output, Event>) => Machine<Port, Input, Call>;
  readonly checker: MachineChecker<Port, Input, Output, Call, Event>;
  readonly codec: Codec<Port, Input, Output>;
  readonly kindOf: (port: Port) => SocketKind;
  readonly peerQueueBytes: number;
  readonly sockets?: SimTransportOptions;
  /** For machines that store. */
  readonly store?: Store;
  readonly onEvent: (event: Event) => void;
}

/** The driver of a machine that is watched. */
export function drive<Port extends string, Input, Output, Call, Event>(
  cast: Cast<Port, Input, Output, Call, Event>,
): Driver<Port, Input, Output, Call, Event> {
  const { stage, process, checker, codec, kindOf, peerQueueBytes, onEvent, sockets, store } = cast;
  return new Driver<Port, Input, Output, Call, Event>({
    machine: (outbox) => new WatchedMachine(cast.machine(tapped(outbox, checker)), checker),
    codec,
    kindOf,
    transport: stage.network.transport(process, sockets),
    clock: process,
    peerQueueBytes,
    onEvent,
    ...(store === undefined ? {} : { store }),
  });
}

function tapped<Port extends string, Input, Output, Call, Event>(
  outbox: Outbox<Port, Output, Event>,
  checker: MachineChecker<Port, Input, Output, Call, Event>,
): Outbox<Port, Output, Event> {
  return {
    ...outbox,
    open: (port, endpoint) => {
      checker.opened?.(port, endpoint);
      outbox.open(port, endpoint);
    },
    close: (port, flush) => {
      checker.closed?.(port, flush === true);
      outbox.close(port, flush);
    },
    send: (port, to, command) => {
      const accepted = outbox.send(port, to, command);
      checker.said?.(port, to, command, accepted);
      return accepted;
    },
    emit: (event) => {
      checker.told?.(event);
      outbox.emit(event);
    },
  };
}

/** What ends a machine: a call that all of them know. */
export interface EndCall {
  readonly type: 'drain' | 'stop';
}

/** The comings and goings of one process, of which the next incarnation remembers nothing. */
export abstract class MachineRole implements Role {
  readonly name: string;
  protected readonly stage: Stage;
  #process!: SimProcess;
  #draining: SimProcess | undefined;
  #call: (call: EndCall) => void = () => undefined;

  constructor(stage: Stage, name: string) {
    this.stage = stage;
    this.name = name;
  }

  abstract get state(): string;
  /** Builds what runs in a fresh process, and returns how its machine is told to end. */
  protected abstract live(process: SimProcess): (call: EndCall) => void;

  get process(): SimProcess {
    return this.#process;
  }

  get isDraining(): boolean {
    return this.#draining === this.#process;
  }

  start(): void {
    this.#process = this.stage.world.start(this.name, this.stage.processOptions());
    this.#call = this.live(this.#process);
  }

  drain(): void {
    this.#end({ type: 'drain' });
  }

  stop(): void {
    this.#end({ type: 'stop' });
  }

  #end(call: EndCall): void {
    this.#draining = this.#process;
    const tell = this.#call;
    this.#process.run(() => tell(call));
  }
}

/** As a real process does once its machine has drained: its sockets linger, then it is gone. */
export function exitAfter(process: SimProcess, driver: { close(done: () => void): void }): void {
  driver.close(() => process.atTurnEnd(() => process.exit()));
}
