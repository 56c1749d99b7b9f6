/** What users say, made into questions; and what answers say, made into what users get. */
import { framesOf } from '../core/body.ts';
import { InvalidArgumentError, TitanicError } from '../core/errors.ts';
import type { Frames } from '../core/machine.ts';
import { Payload } from '../core/payload.ts';
import type { Answer, Question, RequestId, RequestSummary } from './commands.ts';
import { readId } from './fields.ts';
import type { SubmitOptions } from './options.ts';
import { BODY_FRAMES, decodeAnswer, serviceFault } from './protocol.ts';

/** A question about one request. */
export type QuestionOf<Type extends Question['type']> = Extract<
  Question,
  { readonly type: Type }
> & {
  readonly id: RequestId;
};

/**
 * @param newId the id of a request that was given none: however often it is asked, it is one request
 * @throws InvalidArgumentError `ERR_INVALID_ARGUMENT`, `ERR_INVALID_BODY`
 */
export function submitOf(
  service: unknown,
  body: unknown,
  options: SubmitOptions | undefined,
  newId: () => RequestId,
): QuestionOf<'submit'> {
  const fault = serviceFault(service);
  if (fault !== undefined || typeof service !== 'string') {
    throw new InvalidArgumentError('ERR_INVALID_ARGUMENT', fault ?? typeof service);
  }
  const frames = framesOf(body);
  if (frames.length > BODY_FRAMES) {
    const message = `a body has at most ${BODY_FRAMES} frames here, not ${frames.length}: join some of them`;
    throw new InvalidArgumentError('ERR_INVALID_BODY', message);
  }
  const { id, delay, deadline, retries, backoff } = options ?? {};
  const terms = { delay, deadline, retries, backoff };
  return { type: 'submit', id: id?.toLowerCase() ?? newId(), service, body: frames, terms };
}

/** The id in lower case. @throws InvalidArgumentError `ERR_INVALID_ARGUMENT` */
export function checkId(id: unknown): RequestId {
  const read = typeof id === 'string' ? readId(id) : undefined;
  if (read !== undefined) return read;
  const message = 'an id is text of 32 hexadecimal digits, as submit() resolves to';
  throw new InvalidArgumentError('ERR_INVALID_ARGUMENT', message);
}

/**
 * What the frames of a reply answer, 200 or 300.
 * @throws TitanicError for everything else
 */
export function answerIn(question: Question, frames: Frames): Answer {
  const answer = decodeAnswer(frames);
  if (typeof answer === 'string') throw noTitanic(question, `it answered with ${answer}`);
  const { status, code = 'ERR_HANDLER_FAILED', text = '' } = answer;
  if (status === 200 || status === 300) return answer;
  throw new TitanicError(code, idOf(question), text);
}

/** @throws TitanicError if the first frame of the answer is not a JSON object */
export function objectIn(
  question: Question,
  { body = [] }: Answer,
): Readonly<Record<string, unknown>> {
  const value = parse(body.slice(0, 1));
  if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  throw noTitanic(question, 'its answer is not JSON');
}

/** @throws TitanicError if the answer is about no request */
export function summaryIn(
  question: QuestionOf<'status' | 'inspect'>,
  answer: Answer,
): RequestSummary {
  const fields = objectIn(question, answer);
  const { id } = question;
  if (typeof fields['state'] === 'string') return { ...fields, id } as RequestSummary;
  throw noTitanic(question, 'its answer is no summary');
}

/** Something else answers under the Titanic's names. */
export function noTitanic(question: Question, reason: string): TitanicError {
  const message = `what answers is no Titanic of this library: ${reason}`;
  return new TitanicError('ERR_NOT_SUPPORTED', idOf(question), message);
}

function idOf(question: Question): RequestId {
  return 'id' in question ? (question.id ?? '') : '';
}

function parse(frames: Frames): unknown {
  try {
    return new Payload(frames).json();
  } catch {
    return undefined; // refused as anything else that is no object
  }
}
