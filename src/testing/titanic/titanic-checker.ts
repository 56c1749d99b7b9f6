/**
 * What must hold at a Titanic, seen from all sides: what it is asked and told, what it stores, orders and
 * answers. One for each life of the process; the truth and the book of attempts outlive it.
 */
import type { StorageBatch, StorageState } from '../../core/batch.ts';
import type { TitanicErrorCode } from '../../core/errors.ts';
import type { Frames, Instant } from '../../core/machine.ts';
import type { Question } from '../../titanic/commands.ts';
import type {
  AskToken,
  AttemptEnd,
  ExecutionToken,
  TitanicCall,
  TitanicMachineEvent,
} from '../../titanic/titanic-events.ts';
import { requireThat } from '../violation.ts';
import type { Input, Watcher } from '../watched-machine.ts';
import { textOf } from '../work.ts';
import { AnswersChecker } from './answers-checker.ts';
import type { AttemptsChecker } from './attempts-checker.ts';
import { RetentionChecker, type RetentionSettings } from './retention-checker.ts';
import type { TitanicStage } from './stage.ts';
import { attemptsIn, idIn, type Moment, type RequestTruth, type Terms } from './truth.ts';

export interface CheckerSettings extends RetentionSettings {
  readonly retries: number;
  readonly backoff: number;
  readonly waiterLimit: number;
  readonly isRoomy: boolean;
}

export class TitanicChecker implements Watcher<never, never, TitanicCall> {
  readonly answers: AnswersChecker;
  readonly attempts: AttemptsChecker;
  readonly #stage: TitanicStage;
  readonly #settings: CheckerSettings;
  readonly #life: number;
  readonly #retention: RetentionChecker;
  /** Batches that are being made durable, and the ids in each; ids whose write is under way. */
  readonly #batches = new Map<number, { readonly ids: string[]; readonly batch: StorageBatch }>();
  readonly #failed = new WeakSet<StorageBatch>();
  readonly #written = new Map<string, string | undefined>();
  /** The last submit that was acknowledged in this step. */
  #acknowledged: string | undefined;
  /** Whose attempt, in this step, surely did not start. */
  #unstarted: string | undefined;
  #now: Instant = 0;
  #present: AskToken | undefined;
  #state: StorageState = 'open';
  #isEnding = false;
  #isStopped = false;

  constructor(
    stage: TitanicStage,
    life: number,
    settings: CheckerSettings,
    attempts: AttemptsChecker,
  ) {
    this.#stage = stage;
    this.#life = life;
    this.#settings = settings;
    this.attempts = attempts;
    const { truth, disk } = stage;
    this.#retention = new RetentionChecker(truth, settings);
    this.answers = new AnswersChecker(
      truth,
      settings,
      () => disk.isFull && (disk.isBallastHeld || disk.room > RESERVE),
      (id) => this.#written.has(id),
    );
    truth.begin();
    attempts.begin(life);
  }

  get isWriting(): boolean {
    return this.#batches.size > 0;
  }

  // Inputs

  before(now: Instant, input: Input<never, never, TitanicCall>): void {
    this.#now = now;
    this.#present = undefined;
    this.#acknowledged = undefined;
    this.#unstarted = undefined;
    if (input.kind === 'call') this.#called(input.call);
    else if (input.kind === 'stored') this.#stored(input.token);
  }

  #called(call: TitanicCall): void {
    switch (call.type) {
      case 'ask':
        this.#present = call.token;
        this.answers.asked(this.#now, call.token, call.question);
        if (call.question.type === 'close') this.attempts.askedToClose(call.question.id);
        return;
      case 'withdraw':
        return this.answers.withdrawn(call.token);
      case 'replied':
        return this.#ended(call.execution, this.#endOf(call.body));
      case 'attemptFailed':
        return this.#ended(call.execution, call.end);
      case 'unreadable':
        return this.attempts.unreadable(call.id);
      case 'link':
        this.attempts.isLinked = call.isUp;
        return;
      case 'storage':
        this.#state = call.state;
        return;
      case 'drain':
      case 'stop':
        this.#isEnding = true;
        this.#isStopped = call.type === 'stop';
        this.answers.isEnding = true;
    }
  }

  #ended(execution: ExecutionToken, end: AttemptEnd | 'replied'): void {
    if (end === 'unstarted') this.#unstarted = this.attempts.requestOf(execution);
    this.attempts.ended(this.#now, this.#stage.world.now, execution, end);
  }

  /** A reply that is too large is a failure. */
  #endOf(body: Frames): 'replied' | 'failed' {
    const bytes = body.reduce((sum, frame) => sum + frame.length, 0);
    return bytes > this.#settings.bodyLimit ? 'failed' : 'replied';
  }

  /** The storage has answered for a batch, and the machine is told. */
  #stored(token: number): void {
    const write = this.#batches.get(token);
    if (write === undefined) return;
    this.#batches.delete(token);
    for (const id of write.ids) {
      this.#written.delete(id);
      // Of a commit that failed the machine knows nothing, even if it is there.
      if (this.#failed.has(write.batch)) continue;
      this.#stage.truth.told(id);
      this.attempts.stored(id);
    }
  }

  /** The storage has refused this batch; the machine is told next. */
  refused(batch: StorageBatch): void {
    this.#failed.add(batch);
  }

  after(now: Instant): void {
    this.#now = now;
    this.answers.end(now, this.isWriting);
    this.attempts.forgetServices((id) => this.#written.has(id));
    if (!this.attempts.isLinked || this.#state !== 'open' || this.#isEnding) return;
    if (this.#stage.truth.hasFailed) return;
    this.#checkTakenBack();
    this.attempts.checkFresh(
      (service) => this.#writesOf(service),
      (id) => this.#written.has(id),
    );
  }

  /** Otherwise a restart would count what never began. */
  #checkTakenBack(): void {
    const id = this.#unstarted;
    if (id === undefined || this.attempts.isClosing(id)) return;
    const { state, damage } = this.#stage.truth.of(id);
    const isDue = state === 'pending' && damage === 'none';
    requireThat(!isDue || this.#written.has(id), 'an unstarted attempt is free', () => {
      return `an attempt of ${id} did not start, and stays on the disk`;
    });
  }

  #writesOf(service: string): number {
    let count = 0;
    for (const other of this.#written.values()) if (other === service) count++;
    return count;
  }

  // Outputs

  store(token: number, batch: StorageBatch): void {
    const ids = [...new Set(keysOf(batch).map((key) => idIn(key)!))];
    const { truth } = this.#stage;
    for (const id of ids) {
      requireThat(!this.#written.has(id), 'one write an id', () => {
        return `two batches change ${id} at a time`;
      });
    }
    if (batch.puts.length === 0) this.#retention.chosen(ids, (id) => this.#written.has(id));
    for (const { key } of batch.puts) {
      const id = idIn(key)!;
      if (key.startsWith('request:')) this.#made(id);
      if (key.startsWith('closed:')) this.#checkUrgent(batch, id);
    }
    for (const id of ids) {
      const put = batch.puts.find(({ key }) => key === `request:${id}` || key === `attempts:${id}`);
      if (put !== undefined) {
        const isNew = put.key.startsWith('request:');
        this.attempts.written(this.#now, id, attemptsIn(put.value), isNew);
      }
      this.#written.set(id, put === undefined ? undefined : serviceOf(truth.of(id)));
    }
    this.#batches.set(token, { ids, batch });
  }

  #checkUrgent({ urgent }: StorageBatch, id: string): void {
    requireThat(urgent === true, 'closes go on when the disk is full', () => {
      return `${id} is closed by a batch that is not urgent`;
    });
  }

  /** A request is written for the first time. */
  #made(id: string): void {
    const request = this.#stage.truth.of(id);
    const { state, damage } = request;
    requireThat(request.may('unknown') || damage !== 'none', 'one record an id', () => {
      return `${id} is written anew, and is ${state}`;
    });
    const question = this.answers.submitOf(id, this.#present);
    requireThat(question?.type === 'submit', 'one record an id', () => {
      return `${id} is written, and nobody submitted it`;
    });
    request.drafts.push({ terms: this.#termsOf(question), submitted: this.#moment });
  }

  #termsOf({ service, body, terms }: Extract<Question, { readonly type: 'submit' }>): Terms {
    const { retries, backoff } = this.#settings;
    return {
      service,
      body: textOf(body),
      delay: terms.delay ?? 0,
      deadline: terms.deadline ?? Infinity,
      retries: terms.retries ?? retries,
      backoff: terms.backoff ?? backoff,
    };
  }

  get #moment(): Moment {
    return { life: this.#life, now: this.#now, at: this.#stage.world.now };
  }

  told(event: TitanicMachineEvent): void {
    const now = this.#now;
    const { now: at } = this.#stage.world;
    switch (event.type) {
      case 'answer': {
        const question = this.answers.answered(now, event.token, event.answer);
        if (question.type === 'close') this.attempts.closeAnswered(question.id);
        return this.#countAnswer(question, event.answer.status);
      }
      case 'answerStored':
        if (this.#present !== event.token) this.#stage.count('titanic.pollWoken');
        return this.answers.answeredStored(event.token, event.id, event.key);
      case 'execute':
        this.#checkBegin(event.id);
        return this.attempts.executed(now, at, event);
      case 'abandon':
        return this.attempts.abandoned(event.execution);
      case 'requestAccepted':
        return this.attempts.acknowledged(this.#stage.truth.of(event.id));
      case 'deadLetter':
        return this.#dead(at, event.id, event.code);
      case 'requestDone':
        this.attempts.done(event.id);
        return this.#checkDurable(event.id, 'done');
      case 'requestClosed':
        return this.#checkDurable(event.id, 'closed');
      case 'discarded':
        return this.#retention.discarded(event.id, event.reason);
      case 'drained':
        return this.#checkDrained();
      default:
    }
  }

  /** What suites want to have seen. */
  #countAnswer(question: Question, status: number): void {
    if (status !== 200) return;
    if (question.type === 'close' && this.#state === 'full') {
      this.#stage.count('titanic.closedWhileFull');
    }
    if (question.type !== 'submit' || question.id === undefined) return;
    const isFirst = this.#acknowledged !== question.id;
    this.#acknowledged = question.id;
    if (!isFirst) this.#stage.count('titanic.duplicateJoined');
  }

  #dead(at: Instant, id: string, code: TitanicErrorCode): void {
    this.attempts.dead(this.#now, at, id, code);
    this.#checkDurable(id, 'dead');
  }

  #checkDurable(id: string, state: 'done' | 'dead' | 'closed'): void {
    const request = this.#stage.truth.of(id);
    requireThat(request.may(state), 'visible is durable', () => {
      return `${id} is ${state}, they tell, and ${request.state} on the disk`;
    });
  }

  #checkBegin(id: string): void {
    requireThat(this.attempts.isLinked && !this.#isEnding, 'attempts have a chance', () => {
      return `${id} is executed, though ${this.#isEnding ? 'it ends' : 'no broker is there'}`;
    });
  }

  #checkDrained(): void {
    const { open } = this.attempts;
    this.answers.isOver = true;
    const isQuiet = open.length === 0 && (!this.isWriting || this.#isStopped);
    requireThat(isQuiet, 'drained is quiet', () => {
      return `it is drained, and ${open.length} attempts run, ${this.#batches.size} batches are written`;
    });
    requireThat(this.#isEnding, 'drained is quiet', () => 'it is drained, and nobody asked for it');
    for (const { question, isWithdrawn } of this.answers.open) {
      requireThat(
        isWithdrawn,
        'one answer an ask',
        () => `it is drained, and a ${question.type} waits`,
      );
    }
  }
}

function serviceOf({ terms, drafts }: RequestTruth): string | undefined {
  return (drafts.at(-1)?.terms ?? terms)?.service;
}

/** Bytes that a close needs, and more. */
const RESERVE = 2000;

function keysOf({ puts, deletes }: StorageBatch): string[] {
  return [...puts.map(({ key }) => key), ...deletes];
}
