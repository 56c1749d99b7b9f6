/**
 * Which dialect a client or worker speaks with its broker: it asks, in plain MDP 0.1, `mmi.express`.
 *
 *   start ──► asking ──200──► express
 *                │ └──501, 404──► plain, until `start` is called again
 *                └──silence──► plain for now; it goes on asking, and a late 200 makes it express
 *
 * Each question goes over a fresh socket on the port `probe`, so that nothing piles up for a broker
 * that is not there, and an answer is always to the present question. Silence is asked about at every
 * endpoint once, then again and again with back-off: no lost probe means plain for ever. Who has spoken
 * express before takes silence for a broker that restarts, and waits for it for a while.
 *
 * To be started at `connect`, and again before each session (or lane) that replaces a lost one: the
 * broker that comes back may be another. Starting it while it asks changes nothing.
 */
import { decodeText, encodeText } from '../core/frames.ts';
import type { Instant, Outbox } from '../core/machine.ts';
import { backoffDelay, type Random } from '../core/retry.ts';
import type { Dialect, ReplyCommand, RequestCommand } from './wire/commands.ts';
import { EXPRESS_QUERY, EXPRESS_VERSION } from './wire/mmi.ts';

/** Milliseconds that one endpoint has to answer before the next is asked, or plain MDP is spoken. */
export const NEGOTIATION_TIMEOUT = 250;

/** Milliseconds for which a broker that spoke express is waited for, before plain MDP is tried. */
export const PATIENCE = 30_000;

/** How soon silence is asked about again, and how slowly at most, in milliseconds. */
const ASK_AGAIN = { backoff: 1000, backoffLimit: 8000 };

/** The port that the questions go over. */
export type ProbePort = 'probe';

/** `asking`: wait, it takes at most `NEGOTIATION_TIMEOUT` for each endpoint. */
export type Verdict = 'asking' | 'plain' | 'express';

export class Negotiation {
  readonly #outbox: Pick<Outbox<ProbePort, RequestCommand, never>, 'open' | 'close' | 'send'>;
  readonly #protocol: 'auto' | Dialect;
  readonly #random: Random;
  /** Plain data, for the fingerprint of the machine that it is part of. */
  readonly state = {
    verdict: 'plain' as Verdict,
    endpoints: [] as readonly string[],
    /** The endpoint asked last: the one that the answer came from. */
    endpoint: 0,
    /** Questions since `start`. */
    asked: 0,
    /** An answer was express once. */
    spokeExpress: false,
    /** Until then silence is no answer. */
    patientUntil: -Infinity,
    /** When silence is an answer, or the next question due. */
    nextAt: Infinity,
  };

  /** @param protocol other than `auto`, the verdict is known without a question */
  constructor(
    outbox: Pick<Outbox<ProbePort, RequestCommand, never>, 'open' | 'close' | 'send'>,
    protocol: 'auto' | Dialect,
    random: Random,
  ) {
    this.#outbox = outbox;
    this.#protocol = protocol;
    this.#random = random;
  }

  /** What to speak. Before the first `start` it is `plain`. */
  get verdict(): Verdict {
    return this.state.verdict;
  }

  /** Index of the endpoint that the verdict is about, if one answered; otherwise of the one asked last. */
  get endpoint(): number {
    return this.state.endpoint;
  }

  /** Index of the endpoint whose answer made the verdict `plain`; undefined if none did. */
  get answeredBy(): number | undefined {
    const { verdict, asked, endpoint, nextAt } = this.state;
    return verdict === 'plain' && asked > 0 && nextAt === Infinity ? endpoint : undefined;
  }

  /** When `handleTimeout` is due. */
  get nextTimeout(): Instant {
    return this.state.nextAt;
  }

  /**
   * Asks anew, unless it is asking already.
   * @param endpoints one or more; may grow meanwhile
   * @param first index of the one to ask first
   */
  start(now: Instant, endpoints: readonly string[], first = 0): void {
    const { state } = this;
    if (state.verdict === 'asking') return;
    state.endpoints = endpoints;
    state.endpoint = first % endpoints.length;
    state.asked = 0;
    if (this.#protocol !== 'auto') {
      state.verdict = this.#protocol === 'express' ? 'express' : 'plain';
      return;
    }
    state.verdict = 'asking';
    state.patientUntil = state.spokeExpress ? now + PATIENCE : now;
    this.#ask(now);
  }

  /** An answer came on the port `probe`. True if the verdict changed. */
  handleReply(command: ReplyCommand): boolean {
    const { state } = this;
    if (command.service !== EXPRESS_QUERY || state.nextAt === Infinity) return false;
    const before = state.verdict;
    const [status, version] = command.body.map(decodeText);
    state.verdict = status === '200' && version === EXPRESS_VERSION ? 'express' : 'plain';
    state.spokeExpress = state.verdict === 'express';
    this.stop();
    return state.verdict !== before;
  }

  /** Time has passed. True if the verdict changed. */
  handleTimeout(now: Instant): boolean {
    const { state } = this;
    if (state.nextAt > now) return false;
    const wasRound = state.asked >= state.endpoints.length;
    if (state.verdict === 'asking' && wasRound && now >= state.patientUntil) {
      state.verdict = 'plain';
      this.#askLater(now);
      return true;
    }
    state.endpoint = (state.endpoint + 1) % state.endpoints.length;
    this.#ask(now);
    if (wasRound) this.#askLater(now);
    return false;
  }

  /** Asks no more: the verdict stays, and `plain` is final until the next `start`. */
  stop(): void {
    const { state } = this;
    if (state.nextAt === Infinity) return;
    state.nextAt = Infinity;
    if (state.verdict === 'asking') state.verdict = 'plain';
    this.#outbox.close('probe');
  }

  #ask(now: Instant): void {
    const { state } = this;
    state.asked++;
    state.nextAt = now + NEGOTIATION_TIMEOUT;
    this.#outbox.open('probe', state.endpoints[state.endpoint]!);
    const body = [encodeText(EXPRESS_VERSION)];
    this.#outbox.send('probe', '', {
      type: 'request',
      dialect: 'mdp0.1',
      service: EXPRESS_QUERY,
      body,
    });
  }

  /**
   * The question stays open meanwhile: a broker that comes up now still finds it. At another endpoint it
   * does not: while nothing can be done before one answers, each of several is asked in quick turn.
   */
  #askLater(now: Instant): void {
    const { verdict, asked, endpoints } = this.state;
    const isUrgent = verdict === 'asking' && endpoints.length > 1;
    const rounds = isUrgent ? 0 : Math.floor(asked / endpoints.length) - 1;
    this.state.nextAt = now + backoffDelay(ASK_AGAIN, Math.max(0, rounds), this.#random);
  }
}
