/** A broker and the peers of express around it, driven by hand: what the express stories are told with. */
import type { Address } from '../../src/core/machine.ts';
import type {
  BrokerInput,
  BrokerOutput,
  DispatchCommand,
  ReadyCommand,
  ReplicaRecord,
  RequestCommand,
  ResultCommand,
} from '../../src/majordomo/wire/commands.ts';
import { body, BrokerStory, textOf } from './stories.ts';

const express = 'express';
const HEARTBEATS = { heartbeatInterval: 100, heartbeatLiveness: 3 };

export class ExpressBroker extends BrokerStory {
  readonly #numbers = new Map<Address, number>();
  readonly #beats = new Map<Address, number>();
  #heard = 0;

  /** A client begins or goes on with a session. */
  hello(client: Address, session = client, settings = HEARTBEATS): void {
    this.hear(client, { type: 'hello', dialect: express, session, ...settings });
  }

  /** Returns the number of the request: the next one of this client. */
  ask(client: Address, text: string, more: Partial<RequestCommand> = {}): number {
    const number = more.number ?? this.#next(this.#numbers, client);
    const command = { type: 'request', dialect: express, service: 'echo', number } as const;
    this.hear(client, { ...command, body: body(text), ...more });
    return number;
  }

  cancel(client: Address, number: number): void {
    this.hear(client, { type: 'cancel', dialect: express, number });
  }

  /** A worker begins or goes on with a session. */
  serve(worker: Address, credit = 1, more: Partial<ReadyCommand> = {}): void {
    const { service = 'echo', session = worker } = more;
    this.hear(worker, {
      type: 'ready',
      dialect: express,
      ...HEARTBEATS,
      ...more,
      service,
      session,
      credit,
    });
  }

  /** The end of the reply to what this worker was given last, or to what `more` says. */
  done(worker: Address, text: string, more: Partial<ResultCommand> = {}): void {
    this.hear(worker, {
      type: 'result',
      dialect: express,
      envelope: [],
      body: body(text),
      final: true,
      number: more.number ?? this.given(worker).number,
      sequence: 0,
      ...more,
    });
  }

  part(worker: Address, text: string, sequence: number): void {
    this.done(worker, text, { final: false, sequence });
  }

  /** What this worker was given last. */
  given(worker: Address): DispatchCommand {
    const given = this.sent.findLast(
      ({ to, command }) => to === worker && command.type === 'dispatch',
    )?.command;
    if (given?.type !== 'dispatch') throw new Error(`${worker} was given nothing`);
    return given;
  }

  /** A heartbeat that names these, and echoes what this peer was sent, or `echo`. */
  beat(peer: Address, held: readonly number[] = [], echo = this.beatOf(peer).beat): void {
    const beat = this.#next(this.#beats, peer);
    this.hear(peer, { type: 'heartbeat', dialect: express, beat, echo, held });
  }

  /** The last heartbeat to this peer; of number 0 if there was none. */
  beatOf(peer: Address): { readonly beat: number; readonly held: readonly number[] } {
    const last = this.sent.findLast(
      ({ to, command }) => to === peer && command.type === 'heartbeat',
    )?.command;
    if (last?.type !== 'heartbeat') return { beat: 0, held: [] };
    return { beat: last.beat ?? 0, held: last.held ?? [] };
  }

  say(
    peer: Address,
    command: BrokerInput extends infer Each
      ? Each extends BrokerInput
        ? Omit<Each, 'dialect'>
        : never
      : never,
  ): void {
    this.hear(peer, { ...command, dialect: express });
  }

  /** Time passes, in which these peers beat with what they hold. */
  live(held: Readonly<Record<Address, readonly number[]>>, milliseconds: number): void {
    for (let waited = 0; waited < milliseconds; waited += 100) {
      this.wait(Math.min(100, milliseconds - waited));
      for (const [peer, numbers] of Object.entries(held)) this.beat(peer, numbers);
    }
  }

  /** What was said since it was last asked, but heartbeats. */
  heardNow(): string[] {
    const heard = this.sent.slice(this.#heard);
    this.#heard = this.sent.length;
    return heard.flatMap(({ to, command }) => shown(to, command));
  }

  /** What is left in the tables when all has ended: nothing may be. */
  get leftovers(): Record<string, number> {
    const { requests, clients, keys, sessions } = this.machine;
    const running = [...sessions.all()].reduce((sum, session) => sum + session.running.size, 0);
    const awaited = [...clients.state.sessions.values(), ...clients.state.stock.values()];
    return {
      open: requests.state.open.size,
      queues: requests.state.queues.size,
      bytes: requests.state.queuedBytes,
      keys: keys.state.open.size,
      stock: clients.state.stock.size,
      awaited: awaited.reduce((sum, client) => sum + client.awaited.size, 0),
      running,
    };
  }

  #next(counts: Map<Address, number>, peer: Address): number {
    const next = (counts.get(peer) ?? 0) + 1;
    counts.set(peer, next);
    return next;
  }
}

/** What `leftovers` is when nothing is left. */
export const NOTHING_LEFT = {
  open: 0,
  queues: 0,
  bytes: 0,
  keys: 0,
  stock: 0,
  awaited: 0,
  running: 0,
};

/** `worker < text`, `client 1 = text …`, `worker cancel 0`. */
function shown(to: Address, command: BrokerOutput): string[] {
  switch (command.type) {
    case 'heartbeat':
      return [];
    case 'dispatch':
      return [`${to} < ${textOf(command.body)}`];
    case 'reply': {
      const said = command.failure?.code ?? textOf(command.body);
      const number = command.number === undefined ? '' : ` ${command.number}`;
      return [`${to}${number} = ${said}${command.final ? '' : ' …'}`];
    }
    case 'welcome':
      return [`${to} welcome${command.resumed ? ' back' : ''}`];
    case 'cancel':
      return [`${to} cancel ${command.number}`];
    case 'credit':
      return [`${to} credit ${command.number}: ${command.bytes}`];
    case 'announce':
      return [`${to} announce ${command.bytes}`];
    case 'disconnect':
      return [`${to} disconnect`];
    case 'standing':
      return [
        `${to} ${command.active ? 'active' : 'passive'} ${command.epoch} ${command.endpoint}`,
      ];
    case 'record':
      return [`${to} record ${command.number} ${shownRecord(command.record)}`];
    case 'follow':
      return [`${to} follow ${command.epoch}`];
    case 'recorded':
      return [`${to} recorded ${command.number}`];
  }
}

function shownRecord(record: ReplicaRecord): string {
  switch (record.kind) {
    case 'reply':
      return `${record.key} = ${record.failure?.code ?? textOf(record.body)}`;
    case 'worker':
      return `worker ${record.worker}`;
    case 'workerGone':
      return `gone ${record.worker}`;
    case 'complete':
      return `complete ${record.epoch}`;
    case 'beat':
      return 'beat';
  }
}
