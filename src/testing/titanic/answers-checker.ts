/**
 * What must hold of answers: each question gets one, none says more than is on the disk, none less than
 * was acknowledged, and every refusal has its reason.
 */
import type { TitanicErrorCode } from '../../core/errors.ts';
import { decodeText } from '../../core/frames.ts';
import type { Frames, Instant } from '../../core/machine.ts';
import type { Answer, Question, RequestSummary } from '../../titanic/commands.ts';
import type { AskToken } from '../../titanic/titanic-events.ts';
import { requireThat } from '../violation.ts';
import { textOf } from '../work.ts';
import type { RequestTruth, Truth, TrueState } from './truth.ts';

export interface Ask {
  readonly token: AskToken;
  readonly question: Question;
  readonly askedAt: Instant;
  /** Nobody waits for it any more. */
  isWithdrawn: boolean;
}

export interface AnswerSettings {
  readonly waiterLimit: number;
  /** Refusals for want of room cannot happen. */
  readonly isRoomy: boolean;
}

/** In which state of the truth a summary is right. */
const SUMMARIES: Readonly<Record<RequestSummary['state'], TrueState>> = {
  delayed: 'pending',
  waiting: 'pending',
  running: 'pending',
  done: 'done',
  dead: 'dead',
};

const STORAGE_CODES: ReadonlySet<TitanicErrorCode | undefined> = new Set<TitanicErrorCode>([
  'ERR_STORAGE_FULL',
  'ERR_STORAGE_FAILED',
]);

export class AnswersChecker {
  readonly #truth: Truth;
  readonly #settings: AnswerSettings;
  readonly #asks = new Map<AskToken, Ask>();
  /** It answers whoever waits, and begins nothing. */
  isEnding = false;
  /** It has ended: what was being written it will not learn, and speaks of what it knew. */
  isOver = false;
  /** Closes in a full storage have room. */
  readonly #hasReserve: () => boolean;
  readonly #isWritten: (id: string) => boolean;

  constructor(
    truth: Truth,
    settings: AnswerSettings,
    hasReserve: () => boolean,
    isWritten: (id: string) => boolean,
  ) {
    this.#truth = truth;
    this.#settings = settings;
    this.#hasReserve = hasReserve;
    this.#isWritten = isWritten;
  }

  get open(): Iterable<Ask> {
    return this.#asks.values();
  }

  asked(now: Instant, token: AskToken, question: Question): void {
    this.#asks.set(token, { token, question, askedAt: now, isWithdrawn: false });
  }

  withdrawn(token: AskToken): void {
    const ask = this.#asks.get(token);
    if (ask !== undefined) ask.isWithdrawn = true;
  }

  /** The submit that a record of this id is written for; `token`: asked in this very step. */
  submitOf(id: string, token: AskToken | undefined): Question | undefined {
    const present = token === undefined ? undefined : this.#asks.get(token)?.question;
    if (present?.type === 'submit' && (present.id ?? id) === id) return present;
    for (const { question } of this.#asks.values()) {
      if (question.type === 'submit' && question.id === id) return question;
    }
    return undefined;
  }

  // Answers

  answered(now: Instant, token: AskToken, answer: Answer): Question {
    const ask = this.#take(token);
    const { question } = ask;
    requireThat([200, 300, 400, 500].includes(answer.status), 'statuses are known', () => {
      return `${question.type} gets ${answer.status}`;
    });
    if (this.isOver) return question;
    switch (question.type) {
      case 'submit':
        this.#judgeSubmit(question, answer);
        break;
      case 'fetch':
        this.#judgeFetch(now, ask, this.#truth.of(question.id), answer);
        break;
      case 'close':
        this.#judgeClose(this.#truth.of(question.id), answer);
        break;
      case 'status':
      case 'inspect':
        this.#judgeStatus(this.#truth.of(question.id), answer);
        break;
      case 'list':
        this.#judgeList(answer);
        break;
      case 'resubmit':
        this.#judgeResubmit(this.#truth.of(question.id), answer);
        break;
      case 'overview':
        break;
    }
    return question;
  }

  /** The answer is what is stored under `key`. */
  answeredStored(token: AskToken, id: string, key: string): void {
    const { question } = this.#take(token);
    const isIts = question.type === 'fetch' && question.id === id && key === `reply:${id}`;
    requireThat(isIts, 'statuses are known', () => `${question.type} is answered with ${key}`);
    const request = this.#truth.of(id);
    requireThat(request.may('done') || this.isOver, 'visible is durable', () => {
      return `the reply of ${id} is served, which is ${request.state} on the disk`;
    });
  }

  /** A reply leaves. @param isGenuine a handler gave it to this request */
  served(id: string, body: Frames, isGenuine: boolean): void {
    const request = this.#truth.of(id);
    const reply = textOf(body);
    requireThat(isGenuine, 'corrupt is never served', () => {
      return `${id} is answered with ${reply.slice(0, 100)}, which no handler said`;
    });
    requireThat(
      request.reply === undefined || request.reply === reply || request.damage === 'lost',
      'replies are identical',
      () => `${id} is answered with ${reply}, and was with ${request.reply}`,
    );
    if (request.state === 'done') request.reply = reply;
  }

  #take(token: AskToken): Ask {
    const ask = this.#asks.get(token);
    requireThat(ask !== undefined, 'one answer an ask', () => {
      return `ask ${token} is answered twice, or was never asked`;
    });
    this.#asks.delete(token);
    return ask;
  }

  #judgeSubmit(question: Extract<Question, { type: 'submit' }>, answer: Answer): void {
    const { status, code, body = [] } = answer;
    if (status === 200) {
      const id = decodeText(body[0] ?? new Uint8Array());
      requireThat(question.id === undefined || id === question.id, 'one record an id', () => {
        return `submitted as ${question.id}, acknowledged as ${id}`;
      });
      const request = this.#truth.of(id);
      requireThat(request.may('pending', 'done', 'dead'), 'acknowledged is durable', () => {
        return `${id} is acknowledged, and ${request.state} on the disk`;
      });
      const { terms, damage } = request;
      const isSame = terms?.service === question.service && terms.body === textOf(question.body);
      requireThat(isSame || damage !== 'none', 'one record an id', () => {
        return `another request is acknowledged as ${id}`;
      });
      if (request.state !== 'closed' && request.state !== 'unknown') request.isAcknowledged = true;
      return;
    }
    const request = question.id === undefined ? undefined : this.#truth.of(question.id);
    if (status === 400 && code === 'ERR_ID_IN_USE') {
      const { terms } = request!;
      const isOther = terms?.service !== question.service || terms.body !== textOf(question.body);
      const { id } = request!;
      const isBusy = this.#isWritten(id) || this.#isBeingClosed(id);
      const isTaken = isOther || request!.may('closed') || isBusy;
      return requireThat(isTaken, 'refusals have a reason', () => {
        return `${request!.id} is in use, they say, and it is ${request!.state}`;
      });
    }
    if (status === 500 && code === 'ERR_QUEUE_FULL') {
      return requireThat(!this.#settings.isRoomy, 'refusals have a reason', () => {
        return 'there are too many requests, they say';
      });
    }
    this.#judgeFailure(answer, request);
    const isThere = request?.isAcknowledged === true && request.former === undefined;
    requireThat(!isThere || request.damage !== 'none', 'nothing acknowledged is lost', () => {
      return `${request!.id} was acknowledged, and a second submit gets ${status} ${code}`;
    });
  }

  #isBeingClosed(id: string): boolean {
    for (const { question } of this.#asks.values()) {
      if (question.type === 'close' && question.id === id) return true;
    }
    return false;
  }

  #judgeFetch(now: Instant, ask: Ask, request: RequestTruth, answer: Answer): void {
    const { status, code } = answer;
    const { id } = request;
    if (status === 300) {
      requireThat(request.may('pending'), 'status is monotone', () => {
        return `${id} is pending, they say, and ${request.state} on the disk`;
      });
      const wait = ask.question.type === 'fetch' ? ask.question.wait : 0;
      const isOver = now >= ask.askedAt + wait - 1e-3;
      return requireThat(isOver || this.isEnding || this.#isCrowded(), 'long polls wait', () => {
        return `a fetch of ${id} gets 300 after ${now - ask.askedAt} ms of ${wait}`;
      });
    }
    if (status === 400) return this.#judgeUnknown(request, code);
    requireThat(status === 500, 'visible is durable', () => `a fetch of ${id} gets ${status}`);
    if (code === 'ERR_STORAGE_CORRUPT') return this.#judgeCorrupt(request);
    requireThat(request.may('dead'), 'status is monotone', () => {
      return `${id} is dead (${code}), they say, and ${request.state} on the disk`;
    });
  }

  #isCrowded(): boolean {
    let count = 0;
    for (const { question } of this.#asks.values()) if (question.type === 'fetch') count++;
    return count >= this.#settings.waiterLimit;
  }

  #judgeUnknown(request: RequestTruth, code: TitanicErrorCode | undefined): void {
    const { id, state, damage } = request;
    requireThat(code === 'ERR_UNKNOWN_REQUEST', 'refusals have a reason', () => {
      return `${id} gets 400 ${code}`;
    });
    requireThat(request.may('unknown', 'closed'), 'nothing acknowledged is lost', () => {
      return `${id} is unknown, they say, and ${state} on the disk`;
    });
    const isSilent = damage === 'flipped' && state !== 'unknown' && state !== 'closed';
    requireThat(!isSilent || request.former !== undefined, 'corruption is reported', () => {
      return `${id} is unknown, they say, and its record is corrupt`;
    });
  }

  #judgeCorrupt({ id, damage }: RequestTruth): void {
    requireThat(damage !== 'none', 'refusals have a reason', () => {
      return `${id} is corrupt, they say, and is not`;
    });
  }

  /** `500` for which the disk, or damage, is the reason. */
  #judgeFailure({ status, code }: Answer, request: RequestTruth | undefined): void {
    if (code === 'ERR_STORAGE_CORRUPT' && request !== undefined) return this.#judgeCorrupt(request);
    const isTrue = status === 500 && STORAGE_CODES.has(code) && this.#truth.hasFailed;
    requireThat(isTrue || this.isEnding, 'refusals have a reason', () => {
      return `${request?.id ?? 'a submit'} gets ${status} ${code}, and the disk is sound`;
    });
    if (code !== 'ERR_STORAGE_FULL' || request === undefined || this.isEnding) return;
    const isThere = request.former !== undefined && request.state === 'pending';
    requireThat(!isThere, 'a refusal leaves nothing', () => {
      return `${request.id} was refused for want of room, and is on the disk`;
    });
    // Neither may it turn up later.
    request.drafts = [];
  }

  #judgeClose(request: RequestTruth, answer: Answer): void {
    const { id, state, damage, wasClosed } = request;
    if (answer.status !== 200) {
      this.#judgeFailure(answer, request);
      const isAvoidable = answer.code === 'ERR_STORAGE_FULL' && this.#hasReserve();
      return requireThat(!isAvoidable, 'closes go on when the disk is full', () => {
        return `${id} could not be closed, though the ballast has room`;
      });
    }
    const isGone = request.may('closed', 'unknown') && wasClosed;
    requireThat(isGone || damage !== 'none', 'acknowledged is durable', () => {
      return `${id} is closed, they say, and ${state} on the disk`;
    });
  }

  #judgeStatus(request: RequestTruth, answer: Answer): void {
    const { status, code, body = [] } = answer;
    if (status === 400) return this.#judgeUnknown(request, code);
    if (status === 500) return this.#judgeCorrupt(request);
    this.#judgeSummary(JSON.parse(decodeText(body[0]!)));
  }

  #judgeList({ body = [] }: Answer): void {
    const { requests }: { requests: RequestSummary[] } = JSON.parse(decodeText(body[0]!));
    for (const summary of requests) this.#judgeSummary(summary);
  }

  #judgeSummary(summary: RequestSummary): void {
    const request = this.#truth.of(summary.id);
    const { id, state, terms, damage } = request;
    requireThat(request.may(SUMMARIES[summary.state]), 'status is monotone', () => {
      return `${id} is ${summary.state}, they say, and ${state} on the disk`;
    });
    const limit = (terms?.retries ?? Infinity) + 1;
    requireThat(summary.attempts <= limit || damage !== 'none', 'attempts are bounded', () => {
      return `${id} has had ${summary.attempts} attempts, they say, of ${limit}`;
    });
  }

  #judgeResubmit(request: RequestTruth, answer: Answer): void {
    const { status, code } = answer;
    if (status === 200) {
      const isAgain = request.isAgain || request.damage !== 'none';
      return requireThat(isAgain, 'acknowledged is durable', () => {
        return `${request.id} is resubmitted, they say, and ${request.state} on the disk`;
      });
    }
    if (status === 400 && code === 'ERR_UNKNOWN_REQUEST') return this.#judgeUnknown(request, code);
    if (status === 400) {
      const isAlive = request.may('pending', 'done', 'closed', 'unknown');
      return requireThat(isAlive || this.#isWritten(request.id), 'refusals have a reason', () => {
        return `${request.id} is ${request.state}, and cannot be resubmitted: ${code}`;
      });
    }
    if (code !== 'ERR_QUEUE_FULL' || this.#settings.isRoomy) this.#judgeFailure(answer, request);
  }

  // After each step

  /** @param isWriting something is being made durable, which may answer whoever waits */
  end(now: Instant, isWriting: boolean): void {
    for (const ask of this.#asks.values()) {
      if (ask.isWithdrawn) continue;
      const { question } = ask;
      if (question.type === 'fetch' && question.wait > 0) this.#checkWaiter(now, ask, question.id);
      else {
        requireThat(isWriting, 'one answer an ask', () => {
          return `a ${question.type} is not answered, and nothing is being written`;
        });
      }
    }
  }

  #checkWaiter(now: Instant, { question, askedAt }: Ask, id: string): void {
    const { state, former, damage } = this.#truth.of(id);
    const wait = question.type === 'fetch' ? question.wait : 0;
    requireThat(now < askedAt + wait, 'long polls end', () => {
      return `a fetch of ${id} waits since ${askedAt} for ${wait} ms, and it is ${now}`;
    });
    requireThat(
      state === 'pending' || former !== undefined || damage !== 'none',
      'long polls are woken',
      () => `a fetch of ${id} waits, which is ${state}`,
    );
  }
}
