/**
 * Clients of a simulated Titanic: they ask, wait, give up and ask again, through a channel that loses and
 * repeats. What they learn must agree with what they learned before.
 */
import { encodeText } from '../../core/frames.ts';
import type { Frames } from '../../core/machine.ts';
import type { Answer, Question, TitanicService } from '../../titanic/commands.ts';
import { decodeAnswer, encodeQuestion } from '../../titanic/protocol.ts';
import { requireThat } from '../violation.ts';
import { encodeWork } from '../work.ts';
import { idOf, bodyOf, serviceOf, type TitanicStage } from './stage.ts';
import type { PlannedOperation, PlannedRequest } from './plan.ts';
import type { TitanicRole } from './titanic-role.ts';

/** Milliseconds before a question that got no answer is asked again, beside its wait. */
const PATIENCE = 120;

/** How often something is asked. */
const TRIES = 4;

type Answered = (answer: Answer | undefined) => void;

export class Clients {
  readonly #stage: TitanicStage;
  readonly #titanic: TitanicRole;
  /** What each planned request is called: by its client, or by the last Titanic that took it. */
  readonly #ids = new Map<PlannedRequest, string>();
  /** Answers with 200 to a fetch. */
  fetched = 0;
  #probed = 0;

  constructor(stage: TitanicStage, titanic: TitanicRole) {
    this.#stage = stage;
    this.#titanic = titanic;
    stage.plan.requests.forEach((request, number) => this.#ids.set(request, idOf(number)));
  }

  /** Does what is planned, now. */
  operate({ kind, request: number, wait }: PlannedOperation): void {
    const { requests } = this.#stage.plan;
    const index = number % requests.length;
    const request = requests[index]!;
    const id = this.#ids.get(request)!;
    switch (kind) {
      case 'submit':
        return this.submit(index, TRIES);
      case 'other':
        return this.#ask(this.#submitOf(index, true), TRIES);
      case 'whole':
        return this.submit(index, TRIES, () => {
          const known = this.#ids.get(request)!;
          this.fetch(known, 300, TRIES, (answer) => {
            if (answer?.status === 200) this.close(known);
          });
        });
      case 'fetch':
        return this.fetch(id, wait, 1);
      case 'close':
        return this.close(id);
      case 'resubmit':
        return this.#ask({ type: 'resubmit', id }, 1);
      case 'inspect':
        return this.#ask({ type: 'inspect', id }, 1);
      case 'list':
        return this.list();
      case 'garbage':
        return this.#garbage(number);
    }
  }

  /** Asks about one request after the other: its status, and its reply. */
  probe(): void {
    const { requests } = this.#stage.plan;
    const count = this.#probed++;
    const id = this.#ids.get(requests[(count >> 1) % requests.length]!)!;
    if (count % 2 === 0) this.#ask({ type: 'status', id }, 1);
    else this.fetch(id, 0, 1);
  }

  submit(index: number, tries: number, then: () => void = () => undefined): void {
    const request = this.#stage.plan.requests[index]!;
    const question = this.#submitOf(index, false);
    // Without an id of its own, a second try would be a second request.
    this.#ask(question, request.isOwn ? tries : 1, (answer) => {
      if (answer?.status !== 200) return;
      this.#ids.set(request, textIn(answer.body));
      then();
    });
  }

  /** A fresh request from its submit to its close; `done` gets the answer to its fetch. */
  whole(service: string, done: (id: string, answer: Answer | undefined) => void): void {
    const id = this.#stage.newId();
    const body = encodeWork({ id: `proof-${service}`, behaviour: 'reply', duration: 5, size: 0 });
    const terms = { delay: undefined, deadline: undefined, retries: undefined, backoff: undefined };
    this.#ask({ type: 'submit', id, service, body, terms }, TRIES, (answer) => {
      if (answer?.status !== 200) return done(id, answer);
      this.fetch(id, 1000, TRIES, (reply) => {
        done(id, reply);
        this.close(id);
      });
    });
  }

  fetch(id: string, wait: number, tries: number, done: Answered = () => undefined): void {
    this.#ask({ type: 'fetch', id, wait }, tries, (answer) => {
      if (answer?.status === 200) this.fetched++;
      done(answer);
    });
  }

  close(id: string, tries = TRIES, done: Answered = () => undefined): void {
    this.#ask({ type: 'close', id }, tries, done);
  }

  list(done: Answered = () => undefined, after?: string): void {
    const none = { state: undefined, service: undefined };
    this.#ask({ type: 'list', ...none, after, limit: 50 }, TRIES, done);
  }

  #submitOf(index: number, isOther: boolean): Question {
    const request = this.#stage.plan.requests[index]!;
    const { isOwn, delay, deadline, retries, backoff } = request;
    return {
      type: 'submit',
      id: isOwn ? this.#ids.get(request)! : undefined,
      service: serviceOf(request),
      body: bodyOf(request, index, isOther),
      terms: { delay, deadline, retries, backoff },
    };
  }

  #garbage(number: number): void {
    const bad = [
      ['titanic.close', [encodeText('../../etc/passwd')]],
      ['titanic.submit', [encodeText('{"delay":"soon"}'), encodeText('mail')]],
      ['titanic.request', [encodeText('')]],
      ['titanic.fetch', [encodeText(idOf(number)), encodeText('-1')]],
      ['titanic.request', [encodeText('mail'), new Uint8Array(10_000)]],
      ['titanic.admin', [encodeText('[]')]],
    ] as const satisfies readonly (readonly [TitanicService, Frames])[];
    const [service, frames] = bad[number % bad.length]!;
    this.#send(service, frames, (answer) => {
      requireThat(answer.status === 400, 'statuses are known', () => {
        return `garbage to ${service} gets ${answer.status}`;
      });
    });
  }

  /** Asks up to so many times; `done` gets the first answer, or none. */
  #ask(question: Question, tries: number, done: Answered = () => undefined): void {
    const { world } = this.#stage;
    let isOver = false;
    const { service, body } = encodeQuestion(question);
    const withdraw = this.#send(service, body, (answer) => {
      if (isOver) return;
      isOver = true;
      done(answer);
    });
    const wait = question.type === 'fetch' ? question.wait : 0;
    world.after(wait + PATIENCE, () => {
      if (isOver) return;
      isOver = true;
      withdraw();
      if (tries > 1) this.#ask(question, tries - 1, done);
      else done(undefined);
    });
  }

  /** One message, and what it is answered. */
  #send(service: TitanicService, body: Frames, done: (answer: Answer) => void): () => void {
    const { channel } = this.#stage;
    const titanic = this.#titanic;
    let withdraw: (() => void) | undefined;
    channel.send(service, body, titanic.process, () => {
      withdraw = titanic.receive(service, body, (frames) =>
        channel.send(`${service} answers`, frames, undefined, () => {
          const answer = decodeAnswer(frames);
          requireThat(typeof answer !== 'string', 'statuses are known', () => {
            return `${service} answers with what has ${answer as string}`;
          });
          done(answer);
        }),
      );
    });
    return () => withdraw?.();
  }
}

/** The first frame of an answer as text. */
export function textIn(body: Frames | undefined): string {
  return new TextDecoder().decode(body?.[0]);
}
