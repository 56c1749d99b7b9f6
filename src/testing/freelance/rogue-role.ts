/**
 * A server that speaks the wire and keeps no rule: double, late and forged replies, control frames of
 * requests that others were sent, PONGs without end, refusals, garbage, silence. Whatever it does may
 * cost the requests that it was given their time, and nobody else anything.
 */
import { encodeFailure } from '../../core/error-body.ts';
import { encodeText, toAddress } from '../../core/frames.ts';
import type { Address, Frames } from '../../core/machine.ts';
import type { RequestCommand, ServerInput } from '../../freelance/commands.ts';
import { serverCodec } from '../../freelance/protocol.ts';
import type { TransportSocket } from '../../transport/transport.ts';
import type { SimProcess } from '../sim-process.ts';
import type { Mischief, PlannedRogue } from './plan.ts';
import { endpointOf, type FreelanceStage } from './stage.ts';
import { decodeWork, replyTo } from '../work.ts';

export const ROGUE = 'rogue';

/** What no honest server replies. */
const FORGED = [encodeText('forged')];

const PONG = [encodeText('PONG')];

/** How many PONGs come instead of an answer, and how often again. */
const FLOOD = 6;

/** Milliseconds between two pieces of mischief that nobody asked for. */
const PACE = 60;

/** Milliseconds by which a late answer is late. */
const LATE = 250;

export class RogueRole {
  readonly process: SimProcess;
  readonly #stage: FreelanceStage;
  readonly #mischiefs: readonly Mischief[];
  readonly #socket: TransportSocket;
  /** Whoever spoke to it, and the control frames that it was really given. */
  readonly #known = new Map<Address, Set<string>>();
  #turn = 0;

  constructor(stage: FreelanceStage, { mischiefs }: PlannedRogue) {
    this.#stage = stage;
    this.#mischiefs = mischiefs;
    this.process = stage.world.start(ROGUE, stage.processOptions());
    this.#socket = stage.network.transport(this.process).open('router', {
      onMessage: (from, frames) => {
        serverCodec.decode('clients', frames, (command) => this.#handle(from, command));
      },
      onPeerGone: () => undefined,
    });
    this.#socket.bind(endpointOf(ROGUE), () => undefined);
    this.#pester();
  }

  #handle(from: Address, command: ServerInput): void {
    const given = this.#known.get(from) ?? new Set();
    this.#known.set(from, given);
    if (command.type === 'ping') return this.#send(from, PONG);
    given.add(toAddress(command.control));
    this.#answer(from, command);
  }

  #answer(from: Address, command: RequestCommand): void {
    const work = decodeWork(command.body);
    if (work === undefined) return;
    const control = command.control.slice();
    const honest = (): void => {
      const execution = this.#stage.execute(ROGUE, work.id);
      this.#send(from, [control, ...replyTo(work, ROGUE, execution)]);
    };
    const mischief = this.#next();
    this.#stage.count(`rogue.${mischief}`);
    switch (mischief) {
      case 'double':
        honest();
        return honest();
      case 'forge':
        this.#forge(from, control);
        return honest();
      case 'garbage':
        return this.#sendGarbage(from, control);
      case 'late':
        this.process.wakeAt(this.process.now() + LATE, honest);
        return;
      case 'pongs':
        return this.#flood(from);
      case 'refuse':
        return this.#refuse(from, control);
      case 'steal':
        this.#steal();
        return honest();
      case 'silent':
    }
  }

  /** Answers what it was not asked: numbers and tries close to the one that it was given. */
  #forge(from: Address, control: Uint8Array): void {
    for (const index of [0, control.length - 3, control.length - 1]) {
      const forged = control.slice();
      forged[index] = (forged[index]! + 1) & 255;
      this.#sendForged(from, forged);
    }
    this.#sendForged(from, control.subarray(0, -1));
    this.#sendForged(from, Uint8Array.of(...control, 0));
  }

  /** Answers what others were asked. */
  #steal(): void {
    for (const address of this.#known.keys()) {
      for (const control of this.#stage.controls) this.#sendForged(address, control);
    }
  }

  #sendForged(to: Address, control: Uint8Array): void {
    if (this.#known.get(to)!.has(toAddress(control))) return;
    this.#send(to, [control, ...FORGED]);
  }

  #refuse(from: Address, control: Uint8Array): void {
    const code = this.#stage.world.random() < 0.5 ? 'ERR_QUEUE_FULL' : 'ERR_SERVER_CLOSING';
    this.#send(from, [control, ...encodeFailure({ code, message: 'it does not want to' })]);
  }

  #sendGarbage(to: Address, control: Uint8Array): void {
    this.#send(to, [control]);
    this.#send(to, [encodeText('PONG!')]);
    this.#send(to, [encodeText('PING')]);
    this.#send(to, [new Uint8Array(0), new Uint8Array(0)]);
  }

  #flood(to: Address): void {
    for (let count = 0; count < FLOOD; count++) this.#send(to, PONG);
  }

  /** Mischief at a steady pace, to everybody that it knows. */
  #pester(): void {
    const { process } = this;
    process.wakeAt(process.now() + PACE, () => {
      const [first] = this.#known.keys();
      const mischief = this.#next();
      if (mischief === 'steal') this.#steal();
      else if (first !== undefined && mischief === 'pongs') this.#flood(first);
      else if (first !== undefined && mischief === 'garbage') {
        this.#sendGarbage(first, encodeText('nobody asked'));
      }
      this.#pester();
    });
  }

  #next(): Mischief {
    return this.#mischiefs[this.#turn++ % this.#mischiefs.length]!;
  }

  #send(to: Address, frames: Frames): void {
    this.#socket.send(to, frames, () => undefined);
  }
}
