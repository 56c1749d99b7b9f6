/**
 * What the shell of a Titanic does, in small, for one life of a simulated process: it hands over what is
 * asked and what came of attempts, and reads what is to be sent.
 */
import type { StorageBatch } from '../../core/batch.ts';
import type { Codec } from '../../core/codec.ts';
import type { Frames, Outbox } from '../../core/machine.ts';
import type { Storage } from '../../storage/storage.ts';
import type { Answer, TitanicService } from '../../titanic/commands.ts';
import { decodeQuestion, encodeAnswer } from '../../titanic/protocol.ts';
import type { TitanicMachine } from '../../titanic/titanic-machine.ts';
import type {
  AskToken,
  ExecutionToken,
  TitanicCall,
  TitanicMachineEvent,
  TitanicOrder,
} from '../../titanic/titanic-events.ts';
import { Driver } from '../../transport/driver.ts';
import type { SimProcess } from '../sim-process.ts';
import { requireThat } from '../violation.ts';
import { WatchedMachine } from '../watched-machine.ts';
import { textOf } from '../work.ts';
import type { AttemptOutcome, BrokerRole } from './broker-role.ts';
import { BODY_LIMIT, type TitanicStage } from './stage.ts';
import type { TitanicChecker } from './titanic-checker.ts';

type TitanicDriver = Driver<never, never, never, TitanicCall, TitanicMachineEvent>;

/** How often an attempt that was abandoned is heard of nevertheless: its end was on its way. */
const RACES = 0.5;

interface Asked {
  readonly service: TitanicService;
  readonly answer: (frames: Frames) => void;
}

/** What one life is made of. */
export interface ShellParts {
  readonly stage: TitanicStage;
  readonly broker: BrokerRole;
  readonly process: SimProcess;
  readonly storage: Storage;
  readonly checker: TitanicChecker;
  readonly machine: (outbox: Outbox<never, never, TitanicMachineEvent>) => TitanicMachine;
}

/** It has no ports. */
const NO_CODEC: Codec<never, never, never> = {
  decode: () => 'no port',
  encode: (command: never) => command,
};

export class TitanicShell {
  readonly process: SimProcess;
  readonly storage: Storage;
  readonly checker: TitanicChecker;
  readonly machine: TitanicMachine;
  readonly driver: TitanicDriver;
  readonly #stage: TitanicStage;
  readonly #broker: BrokerRole;
  readonly #asks = new Map<AskToken, Asked>();
  /** Attempts that are under way, and how to watch their time no more. */
  readonly #executions = new Map<ExecutionToken, () => void>();
  readonly #outgoing: (() => void)[] = [];
  #asked = 0;

  constructor({ stage, broker, process, storage, checker, machine }: ShellParts) {
    this.#stage = stage;
    this.#broker = broker;
    this.process = process;
    this.storage = storage;
    this.checker = checker;
    let made!: TitanicMachine;
    this.driver = new Driver<never, never, never, TitanicCall, TitanicMachineEvent>({
      machine: (outbox) => {
        made = machine(tapped(outbox, checker));
        return new WatchedMachine(made, checker);
      },
      codec: NO_CODEC,
      kindOf: () => 'router',
      transport: stage.network.transport(process),
      clock: process,
      peerQueueBytes: 1,
      onEvent: (event) => this.#handleEvent(event),
      store: (batch, done) =>
        storage.write(batch as StorageBatch, (error) => {
          if (error !== undefined) checker.refused(batch as StorageBatch);
          done(error);
        }),
    });
    this.machine = made;
  }

  // What clients ask

  /** A request to one of its services, in a turn of its process. */
  receive(service: TitanicService, frames: Frames, answer: (frames: Frames) => void): () => void {
    const question = decodeQuestion(service, frames, { bodyLimit: BODY_LIMIT });
    if ('status' in question) {
      this.#stage.count(`titanic.refused.${question.status}`);
      this.#say(() => answer(encodeAnswer(service, question)));
      return () => undefined;
    }
    const token = ++this.#asked;
    this.#asks.set(token, { service, answer });
    this.driver.call({ type: 'ask', token, question });
    return () => this.process.run(() => this.driver.call({ type: 'withdraw', token }));
  }

  #answer(token: AskToken, answer: Answer): void {
    const asked = this.#asks.get(token);
    if (asked === undefined) return;
    this.#asks.delete(token);
    this.#stage.count(`titanic.${asked.service}.${answer.status}`);
    if (answer.code !== undefined) this.#stage.count(`titanic.answer.${answer.code}`);
    this.#say(() => asked.answer(encodeAnswer(asked.service, answer)));
  }

  /** What leaves does so at the end of the turn; each message may be the last one. */
  #say(send: () => void): void {
    this.#outgoing.push(send);
    if (this.#outgoing.length > 1) return;
    this.process.atTurnEnd(() => {
      for (const each of this.#outgoing.splice(0)) {
        if (!this.process.spendEffect()) return;
        this.#stage.effects++;
        each();
      }
    });
  }

  // What the machine orders

  #handleEvent(event: TitanicMachineEvent): void {
    switch (event.type) {
      case 'answer':
        return this.#answer(event.token, event.answer);
      case 'answerStored':
        return this.#answerStored(event);
      case 'execute':
        return this.#execute(event);
      case 'abandon':
        return this.#abandon(event.execution);
      case 'drained':
        this.#stage.count('titanic.drained');
        return this.driver.close(() => this.storage.close(() => this.process.exit()));
      default:
        this.#count(event);
    }
  }

  #count(event: Exclude<TitanicMachineEvent, TitanicOrder>): void {
    this.#stage.count(`titanic.${event.type}`);
    if (event.type === 'deadLetter') this.#stage.count(`titanic.deadLetter.${event.code}`);
    if (event.type === 'attemptFailed') this.#stage.count(`titanic.attemptFailed.${event.end}`);
    if (event.type === 'discarded') this.#stage.count(`titanic.discarded.${event.reason}`);
  }

  #answerStored({
    token,
    id,
    key,
  }: Extract<TitanicOrder, { readonly type: 'answerStored' }>): void {
    this.storage.read(key, (error, value) => {
      if (value !== undefined) {
        const body = value.slice(1);
        this.checker.answers.served(id, body, this.#broker.hasReplied(id, textOf(body)));
        return this.#answer(token, { status: 200, body });
      }
      const { truth } = this.#stage;
      if (error === undefined && truth.of(id).may('closed', 'unknown')) {
        this.#stage.count('titanic.closedWhileRead');
        return this.#answer(token, {
          status: 400,
          code: 'ERR_UNKNOWN_REQUEST',
          text: 'gone',
        });
      }
      this.#unreadable(id, error?.message ?? 'it is gone');
      this.#answer(token, { status: 500, code: 'ERR_STORAGE_CORRUPT', text: 'unreadable' });
    });
  }

  #unreadable(id: string, reason: string): void {
    if (this.storage.state === 'failed' || this.process.isOver) return;
    this.#stage.count('titanic.unreadable');
    const { truth } = this.#stage;
    requireThat(
      truth.of(id).damage !== 'none' || truth.of(id).may('closed', 'unknown'),
      'a sound record is read',
      () => {
        return `the record of ${id} cannot be read: ${reason}`;
      },
    );
    this.driver.call({ type: 'unreadable', id, reason });
  }

  #execute(order: Extract<TitanicOrder, { readonly type: 'execute' }>): void {
    const { execution, id, service, key, idempotencyKey, timeout } = order;
    const { process, storage, driver } = this;
    const executions = this.#executions;
    const { channel } = this.#stage;
    this.#stage.count('titanic.execute');
    const endWatch = process.wakeAt(process.now() + timeout, () => {
      if (!executions.delete(execution)) return;
      this.#stage.count('titanic.attemptTimeout');
      driver.call({ type: 'attemptFailed', execution, end: 'lost', message: 'it took too long' });
    });
    executions.set(execution, endWatch);
    storage.read(key, (error, value) => {
      if (!executions.has(execution)) return;
      if (value === undefined) {
        endWatch();
        executions.delete(execution);
        return this.#unreadable(id, error?.message ?? 'it is gone');
      }
      const body = value.slice(1);
      const { terms, damage } = this.#stage.truth.of(id);
      requireThat(
        terms?.body === textOf(body) || damage === 'lost',
        'requests arrive intact',
        () => {
          return `${id} is executed with ${textOf(body).slice(0, 80)}`;
        },
      );
      const attempt = { id, service, idempotencyKey, body };
      this.#say(() =>
        channel.send(`attempt ${id}`, body, this.#broker.process, () =>
          this.#broker.receive(attempt, (outcome) => this.#send(execution, outcome)),
        ),
      );
    });
  }

  /** The broker says how an attempt ended. */
  #send(execution: ExecutionToken, outcome: AttemptOutcome): void {
    const { channel } = this.#stage;
    channel.send(`attempt ${outcome.end}`, outcome.body ?? [], this.process, () => {
      const endWatch = this.#executions.get(execution);
      if (endWatch === undefined) return;
      endWatch();
      this.#executions.delete(execution);
      if (outcome.end === 'replied') {
        this.driver.call({ type: 'replied', execution, body: outcome.body });
      } else {
        const { end } = outcome;
        this.driver.call({ type: 'attemptFailed', execution, end, message: 'as planned' });
      }
    });
  }

  #abandon(execution: ExecutionToken): void {
    const endWatch = this.#executions.get(execution);
    if (endWatch === undefined) return;
    this.#stage.count('titanic.abandon');
    endWatch();
    if (this.#stage.world.random() >= RACES) this.#executions.delete(execution);
  }
}

function tapped(
  outbox: Outbox<never, never, TitanicMachineEvent>,
  checker: TitanicChecker,
): Outbox<never, never, TitanicMachineEvent> {
  return {
    ...outbox,
    store: (token, batch) => {
      checker.store(token, batch as StorageBatch);
      outbox.store(token, batch);
    },
    emit: (event) => {
      checker.told(event);
      outbox.emit(event);
    },
  };
}
