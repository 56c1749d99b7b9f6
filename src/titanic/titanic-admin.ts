/** What an operator asks of a Titanic, through its client. */
import { TitanicError } from '../core/errors.ts';
import { checkOptions, completeOptions } from '../core/options.ts';
import { Payload } from '../core/payload.ts';
import type { RequestPage } from './admin-view.ts';
import { checkId, noTitanic, objectIn, summaryIn } from './asked.ts';
import type { Answer, Question, RequestId, RequestSummary } from './commands.ts';
import { askRules, listRules, type AskOptions, type ListOptions } from './options.ts';
import { PAGE_LIMIT } from './protocol.ts';
import type { TitanicStatus } from './titanic.ts';

/** What an operator sees of one request. */
export interface TitanicInspection extends RequestSummary {
  /** What was submitted; undefined if it is not kept any more, as for requests that are done. */
  readonly body: Payload | undefined;
}

type Ask = (question: Question, terms: AskOptions | undefined) => Promise<Answer>;

/** What an operator asks of a Titanic: how much there is, what is dead, and to try it again. */
export class TitanicAdmin {
  readonly #ask: Ask;

  /** Made by its client alone. */
  constructor(ask: Ask) {
    this.#ask = ask;
  }

  /**
   * What `Titanic.status()` says there.
   * @throws TitanicError, RequestError, InvalidArgumentError, ClosedError, as all that follow
   */
  async overview(options?: AskOptions): Promise<TitanicStatus> {
    checkOptions('overview', askRules, options);
    const question = { type: 'overview' } as const;
    return objectIn(question, await this.#ask(question, options)) as unknown as TitanicStatus;
  }

  /** All requests, oldest first, or those of one state and service. They may change meanwhile. */
  async *list(options?: ListOptions): AsyncGenerator<RequestSummary, void, undefined> {
    const { state, service, ...terms } = completeOptions('list', listRules, options);
    const yielded = new Yielded();
    for (let after: RequestId | undefined; ;) {
      const question = { type: 'list', state, service, after, limit: PAGE_LIMIT } as const;
      const page = await this.#page(question, terms);
      for (const request of page?.requests ?? []) if (yielded.add(request)) yield request;
      // The one that this page is behind was dropped, as those before it are or will be.
      if (page === undefined) yielded.rewind();
      else if (page.after === undefined || page.after === after) return;
      after = page?.after;
    }
  }

  /** All that is known of one request, with its body. @throws TitanicError `ERR_UNKNOWN_REQUEST` */
  async inspect(id: RequestId, options?: AskOptions): Promise<TitanicInspection> {
    checkOptions('inspect', askRules, options);
    const question = { type: 'inspect', id: checkId(id) } as const;
    const answer = await this.#ask(question, options);
    const [, ...body] = answer.body ?? [];
    const summary = summaryIn(question, answer);
    return { ...summary, body: body.length === 0 ? undefined : new Payload(body) };
  }

  /**
   * Tries a dead letter again, with all its attempts, and without its delay and deadline.
   * @throws TitanicError `ERR_UNKNOWN_REQUEST`; `ERR_INVALID_ARGUMENT` if it is not dead
   * @throws RequestError also if it was asked and no answer came: see where it stands before you repeat it
   */
  async resubmit(id: RequestId, options?: AskOptions): Promise<void> {
    checkOptions('resubmit', askRules, options);
    await this.#ask({ type: 'resubmit', id: checkId(id) }, options);
  }

  /** @returns undefined if the request that it is behind is not known any more */
  async #page(
    question: Extract<Question, { type: 'list' }>,
    terms: AskOptions,
  ): Promise<RequestPage | undefined> {
    try {
      const { requests, after } = objectIn(question, await this.#ask(question, terms));
      if (!Array.isArray(requests)) throw noTitanic(question, 'its list is none');
      return { requests, ...(typeof after === 'string' && { after }) };
    } catch (error) {
      if (question.after !== undefined && isUnknown(error)) return undefined;
      throw error;
    }
  }
}

/** Which requests of a list were yielded, for one that begins anew: by when they were submitted. */
class Yielded {
  #latest = -Infinity;
  /** Of those submitted at that very moment. */
  #ids = new Set<RequestId>();
  #isRewound = false;

  rewind(): void {
    this.#isRewound = true;
  }

  /** False if it was there before. */
  add({ id, submitted }: RequestSummary): boolean {
    if (this.#isRewound && (submitted < this.#latest || this.#ids.has(id))) return false;
    if (submitted > this.#latest) this.#ids.clear();
    if (submitted >= this.#latest) this.#ids.add(id);
    this.#latest = Math.max(this.#latest, submitted);
    return true;
  }
}

function isUnknown(error: unknown): boolean {
  return error instanceof TitanicError && error.code === 'ERR_UNKNOWN_REQUEST';
}
