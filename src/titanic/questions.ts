/** Questions under way: what peers ask of the Titanic's services, until the machine has answered. */
import type { TitanicErrorCode } from '../core/errors.ts';
import type { Frames } from '../core/machine.ts';
import type { Answer, Question, TitanicService } from './commands.ts';
import { decodeQuestion, encodeAnswer, type ProtocolBounds } from './protocol.ts';
import { keyOf } from './records.ts';
import type { ReadBody } from './stored-body.ts';
import type { AskToken, TitanicCall, TitanicOrder } from './titanic-events.ts';

/** What questions need of the Titanic. */
export interface QuestionHost {
  readonly read: ReadBody;
  tell(call: TitanicCall): void;
  refused(code: TitanicErrorCode, reason: string): void;
  /** The answer to `overview`, which is about more than the machine. */
  overview(): Answer;
}

interface OpenQuestion {
  readonly service: TitanicService;
  readonly question: Question;
  readonly resolve: (answer: Frames) => void;
}

type AnswerStored = Extract<TitanicOrder, { readonly type: 'answerStored' }>;

export class Questions {
  readonly #host: QuestionHost;
  readonly #bounds: ProtocolBounds;
  readonly #open = new Map<AskToken, OpenQuestion>();
  /** Of these the record was not where it should be: they were asked once more. */
  readonly #again = new Set<AskToken>();
  #nextToken: AskToken = 0;

  constructor(host: QuestionHost, bounds: ProtocolBounds) {
    this.#host = host;
    this.#bounds = bounds;
  }

  /**
   * Asks, and calls back once with the frames of the answer, at once or later. Returns what to call when
   * nobody waits for it any more; undefined where that makes no difference.
   */
  ask(
    service: TitanicService,
    frames: Frames,
    resolve: (answer: Frames) => void,
  ): (() => void) | undefined {
    const question = decodeQuestion(service, frames, this.#bounds);
    if ('status' in question) {
      this.#host.refused('ERR_INVALID_ARGUMENT', question.text ?? '');
      resolve(encodeAnswer(service, question));
      return undefined;
    }
    if (question.type === 'overview') {
      resolve(encodeAnswer(service, this.#host.overview()));
      return undefined;
    }
    const token = this.#nextToken++;
    this.#begin(token, { service, question, resolve });
    const mayWait = question.type === 'fetch' && this.#open.has(token);
    return mayWait ? () => this.#end(token) : undefined;
  }

  /** The machine has answered. */
  answer(token: AskToken, answer: Answer): void {
    const open = this.#take(token);
    if (open === undefined) return;
    const { service, question, resolve } = open;
    if (question.type !== 'inspect' || answer.status !== 200) {
      return resolve(encodeAnswer(service, answer));
    }
    this.#host.read(keyOf('request', question.id), (stored) => {
      const submitted = stored.fault === undefined ? stored.body : [];
      resolve(encodeAnswer(service, { ...answer, body: [...(answer.body ?? []), ...submitted] }));
    });
  }

  /** The machine has answered, with what is stored. */
  answerStored({ token, id, key }: AnswerStored): void {
    const isAgain = this.#again.delete(token);
    const open = this.#take(token);
    if (open === undefined) return;
    const { service, resolve } = open;
    this.#host.read(key, (stored) => {
      if (stored.fault === undefined) {
        return resolve(encodeAnswer(service, { status: 200, body: stored.body }));
      }
      const { fault, reason: text } = stored;
      if (fault === 'unavailable') {
        return resolve(encodeAnswer(service, { status: 500, code: 'ERR_STORAGE_FAILED', text }));
      }
      if (fault === 'gone' && !isAgain) return this.#askAgain(id, open);
      this.#host.tell({ type: 'unreadable', id, reason: text });
      resolve(encodeAnswer(service, { status: 500, code: 'ERR_STORAGE_CORRUPT', text }));
    });
  }

  /** Whoever waits for a pending request learns that it is pending: there is time to ask elsewhere. */
  endPolls(): void {
    for (const [token, { question }] of this.#open) if (question.type === 'fetch') this.#end(token);
  }

  /** Closed while it was read? The machine knows by now. */
  #askAgain(id: string, open: OpenQuestion): void {
    const token = this.#nextToken++;
    this.#again.add(token);
    this.#begin(token, { ...open, question: { type: 'fetch', id, wait: 0 } });
  }

  #begin(token: AskToken, open: OpenQuestion): void {
    this.#open.set(token, open);
    this.#host.tell({ type: 'ask', token, question: open.question });
  }

  #take(token: AskToken): OpenQuestion | undefined {
    const open = this.#open.get(token);
    this.#open.delete(token);
    this.#again.delete(token);
    return open;
  }

  #end(token: AskToken): void {
    const open = this.#take(token);
    if (open === undefined) return;
    this.#host.tell({ type: 'withdraw', token });
    open.resolve(encodeAnswer(open.service, { status: 300 }));
  }
}
