/** Majordomo's machines, each driven by hand. */
import type { Address, Frames } from '../../src/core/machine.ts';
import {
  BrokerMachine,
  type BrokerCall,
  type BrokerPort,
  type BrokerSettings,
} from '../../src/majordomo/broker/broker-machine.ts';
import type { BrokerEvent } from '../../src/majordomo/broker/broker-events.ts';
import {
  ClientMachine,
  type ClientCall,
  type ClientEvent,
  type ClientPort,
  type ClientSettings,
  type RequestCall,
} from '../../src/majordomo/client/client-machine.ts';
import type {
  BrokerInput,
  BrokerOutput,
  ClientInput,
  ClientOutput,
  Dialect,
  ReplyCommand,
  WorkerInput,
  WorkerOutput,
} from '../../src/majordomo/wire/commands.ts';
import {
  WorkerMachine,
  type WorkerCall,
  type WorkerMachineEvent,
  type WorkerPort,
  type WorkerSettings,
} from '../../src/majordomo/worker/worker-machine.ts';
import { Actor, body, textOf } from '../actor.ts';

export { body, textOf };

const REPLY_BUFFER = 1000;

export class BrokerStory extends Actor<
  BrokerPort,
  BrokerInput,
  BrokerOutput,
  BrokerCall,
  BrokerEvent
> {
  declare readonly machine: BrokerMachine;

  constructor(settings: Partial<BrokerSettings> = {}) {
    super(
      (outbox) =>
        new BrokerMachine(outbox, {
          heartbeatInterval: 100,
          heartbeatLiveness: 3,
          maxAttempts: 3,
          attemptTimeout: 5000,
          requestTtl: 10_000,
          queueLimit: 100,
          queueBytes: 100_000,
          workerLimit: 10,
          clientLimit: 10,
          replyBufferBytes: REPLY_BUFFER,
          noticeGrace: 30,
          clientGrace: 50,
          priorityAgeing: 1000,
          idempotencyTtl: 1000,
          idempotencyBytes: 10_000,
          deadLetterService: '',
          random: () => 0,
          ...settings,
        }),
    );
  }

  hear(from: Address, command: BrokerInput): void {
    this.machine.handleCommand(this.now, 'peers', from, command);
  }
  ready(worker: Address, service = 'echo', dialect: Dialect = 'mdp0.2'): void {
    this.hear(worker, { type: 'ready', dialect, service });
  }
  request(client: Address, text: string, service = 'echo', dialect: Dialect = 'mdp0.2'): void {
    this.hear(client, { type: 'request', dialect, service, body: body(text) });
  }
  /** The worker answers what it was given last. */
  answer(worker: Address, text: string, final = true): void {
    const given = this.sent.findLast(
      ({ to, command }) => to === worker && command.type === 'dispatch',
    );
    if (given?.command.type !== 'dispatch') throw new Error(`${worker} was given nothing`);
    const { envelope, dialect } = given.command;
    this.hear(worker, { type: 'result', dialect, envelope, body: body(text), final });
  }
  gone(peer: Address): void {
    this.machine.handlePeerGone(this.now, 'peers', peer);
  }
  disconnect(worker: Address): void {
    this.hear(worker, { type: 'disconnect', dialect: 'mdp0.2' });
  }
  /** Beats that keep these workers alive while time passes. */
  waitWith(workers: readonly Address[], milliseconds: number): void {
    for (let waited = 0; waited < milliseconds; waited += 100) {
      this.wait(Math.min(100, milliseconds - waited));
      for (const worker of workers) this.hear(worker, { type: 'heartbeat', dialect: 'mdp0.2' });
    }
  }
  /** `worker < text` for what was given out, `client = text` for replies, `…` after partials. */
  get traffic(): string[] {
    return this.sent.flatMap(({ to, command }) => {
      if (command.type === 'dispatch') return [`${to} < ${textOf(command.body)}`];
      if (command.type === 'disconnect') return [`${to} disconnect`];
      if (command.type !== 'reply') return [];
      return [`${to} = ${textOf(command.body)}${command.final ? '' : ' …'}`];
    });
  }
}

export class WorkerStory extends Actor<
  WorkerPort,
  WorkerInput,
  WorkerOutput,
  WorkerCall,
  WorkerMachineEvent
> {
  declare readonly machine: WorkerMachine;
  dialect: Dialect;

  constructor(settings: Partial<WorkerSettings> = {}) {
    super(
      (outbox) =>
        new WorkerMachine(outbox, {
          service: 'echo',
          protocol: 'mdp0.2',
          concurrency: 1,
          lanes: 32,
          heartbeatInterval: 100,
          heartbeatLiveness: 3,
          reconnectInterval: 50,
          reconnectLimit: 200,
          replyBufferBytes: REPLY_BUFFER,
          random: () => 1,
          ...settings,
        }),
    );
    this.dialect = settings.protocol === 'mdp0.1' ? 'mdp0.1' : 'mdp0.2';
  }

  connect(...endpoints: string[]): void {
    this.call({ type: 'connect', endpoints });
  }
  hear(command: WorkerInput, port: WorkerPort = 'stock-0'): void {
    this.machine.handleCommand(this.now, port, '', command);
  }
  /** The broker answers what it was asked about express. */
  answerProbe(...status: string[]): void {
    const service = 'mmi.express';
    const answer = { service, body: body(...status), final: true };
    this.hear({ type: 'reply', dialect: 'mdp0.1', ...answer }, 'probe');
  }
  beat(): void {
    this.hear({ type: 'heartbeat', dialect: this.dialect });
  }
  give(text: string, tag = 'tag'): void {
    this.hear({ type: 'dispatch', dialect: this.dialect, envelope: body(tag), body: body(text) });
  }
  /** What was said but heartbeats and questions about express, as `ready 0.2` or `result text`. */
  get said(): string[] {
    return this.sent.flatMap(({ command }) => {
      if (command.type === 'heartbeat' || command.type === 'request') return [];
      if (command.type !== 'result') return [`${command.type} ${command.dialect.slice(3)}`];
      return [`result ${textOf(command.body)}${command.final ? '' : ' …'}`];
    });
  }
}

export class ClientStory extends Actor<
  ClientPort,
  ClientInput,
  ClientOutput,
  ClientCall,
  ClientEvent
> {
  declare readonly machine: ClientMachine;
  #id = 0;

  constructor(settings: Partial<ClientSettings> = {}) {
    super(
      (outbox) =>
        new ClientMachine(outbox, {
          protocol: 'mdp0.2',
          heartbeatInterval: 100,
          heartbeatLiveness: 3,
          inFlightLimit: 3,
          streamWindow: 600,
          lanes: 2,
          queueLimit: 10,
          queueBytes: 1000,
          replyBufferBytes: REPLY_BUFFER,
          backoff: 100,
          backoffLimit: 300,
          noticeGrace: 20,
          random: () => 1,
          ...settings,
        }),
    );
  }

  connect(...endpoints: string[]): void {
    this.call({ type: 'connect', endpoints });
  }
  request(text: string, options: Partial<RequestCall> = {}): number {
    const id = this.#id++;
    this.call({
      type: 'request',
      id,
      service: 'echo',
      body: body(text),
      dialect: 'mdp0.2',
      streaming: false,
      timeout: 10_000,
      attemptTimeout: 1000,
      retries: 3,
      ...options,
    });
    return id;
  }
  cancel(id: number): void {
    this.call({ type: 'cancel', id, reason: 'enough' });
  }
  hear(port: ClientPort, reply: Frames, final = true, dialect: Dialect = 'mdp0.2'): void {
    this.say(port, { type: 'reply', dialect, service: 'echo', body: reply, final });
  }
  say(port: ClientPort, command: ClientInput): void {
    this.machine.handleCommand(this.now, port, '', command);
  }
  /** The broker's answer to the probe. */
  answerProbe(...texts: string[]): void {
    const reply = { type: 'reply', dialect: 'mdp0.1', service: 'mmi.express' } as const;
    this.say('probe', { ...reply, body: body(...texts), final: true });
  }
  /** In the express session. */
  welcome(resumed = false): void {
    const heartbeat = { heartbeatInterval: 100, heartbeatLiveness: 3 };
    this.say('express', { type: 'welcome', dialect: 'express', resumed, ...heartbeat });
  }
  answer(number: number, text: string, more: Partial<ReplyCommand> = {}): void {
    const reply = { type: 'reply', dialect: 'express', service: '', final: true } as const;
    this.say('express', { ...reply, number, sequence: 0, body: body(text), ...more });
  }
  beat(beat: number, echo: number, ...held: number[]): void {
    this.say('express', { type: 'heartbeat', dialect: 'express', beat, echo, held });
  }
  /** `lane-0 < text`, `probe < 1`. */
  get asked(): string[] {
    return this.sent.flatMap(({ to, command }) =>
      command.type === 'request' ? [`${to} < ${textOf(command.body)}`] : [],
    );
  }
  /** In the express session but heartbeats: `hello`, `#1 text`, `cancel #1`. */
  get said(): string[] {
    return this.sent.flatMap(({ to, command }) => {
      if (to !== 'express' || command.type === 'heartbeat') return [];
      if (command.type === 'request') return [`#${command.number} ${textOf(command.body)}`];
      if (command.type === 'cancel') return [`cancel #${command.number}`];
      if (command.type === 'credit') return [`credit #${command.number} ${command.bytes}`];
      return [command.type];
    });
  }
  /** `0 = text` or `0 ! ERR_…`, in the order of the outcomes. */
  get outcomes(): string[] {
    return this.events.flatMap((event) => {
      if (event.type === 'reply') return [`${event.id} = ${textOf(event.body)}`];
      return event.type === 'failed' ? [`${event.id} ! ${event.code}`] : [];
    });
  }
}
