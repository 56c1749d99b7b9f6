/**
 * How long a client waits for a broker before it asks at the next endpoint.
 *
 * Where a broker is alone nobody else can help: a link that broke has its grace, and a greeting the whole
 * expiry. In a pair the other one may serve by now, so a dead broker must not cost that: then the wait is
 * short, and longer only where nobody answers in it, as on a slow network.
 */
import { expiryOf, type HeartbeatSettings } from '../../core/heartbeat.ts';
import type { Instant } from '../../core/machine.ts';
import { backoffDelay, type BackoffSettings, type Random } from '../../core/retry.ts';

/** In a pair: milliseconds for which a broken link may come back before the other broker is asked. */
export const LINK_PATIENCE = 100;

/** In a pair: milliseconds that a broker has to answer a greeting, at first. */
export const GREETING_PATIENCE = 250;

/** A greeting that was answered in a quarter of the patience was answered easily. */
const EASILY = 4;

export interface PatienceSettings extends HeartbeatSettings, BackoffSettings {
  readonly noticeGrace: number;
  readonly random: Random;
}

export class Patience {
  readonly #settings: PatienceSettings;
  /** Plain data, for the fingerprint. */
  readonly state = {
    /** In a pair: milliseconds for a greeting. */
    greeting: GREETING_PATIENCE,
    /** Sessions in a row that did nothing; in a pair those alone that ended by what a broker said. */
    failures: 0,
  };

  constructor(settings: PatienceSettings) {
    this.#settings = settings;
  }

  /** Milliseconds for the answer to a greeting. */
  greeting(isInPair: boolean): number {
    const expiry = expiryOf(this.#settings);
    return isInPair ? Math.min(expiry, this.state.greeting) : expiry;
  }

  /** Milliseconds for a link that broke. */
  link(isInPair: boolean): number {
    const { noticeGrace } = this.#settings;
    return Math.max(1, isInPair ? Math.min(noticeGrace, LINK_PATIENCE) : noticeGrace);
  }

  /** A greeting was answered after so many milliseconds. */
  answered(duration: number): void {
    this.state.greeting = Math.max(GREETING_PATIENCE, duration * EASILY);
  }

  /** A greeting was not answered in time. */
  unanswered(): void {
    const { state } = this;
    state.greeting = Math.min(state.greeting * 2, expiryOf(this.#settings));
  }

  /** A session was of use. */
  succeeded(): void {
    this.state.failures = 0;
  }

  /** Until when to rest after a session with a broker that is alone. */
  restUntil(now: Instant): Instant {
    const { random } = this.#settings;
    return now + backoffDelay(this.#settings, this.state.failures++, random);
  }

  /**
   * Until when to rest before the other broker of a pair is asked: no time at all after silence, which
   * took long enough; and after what a broker said, such as that the other one serves, only if they go on
   * saying it.
   * @param begunAt when the session began that has ended
   */
  pairRestUntil(now: Instant, begunAt: Instant, wasSilent: boolean): Instant {
    const { state } = this;
    const { random, backoffLimit } = this.#settings;
    if (now - begunAt > backoffLimit) state.failures = 0;
    if (wasSilent || state.failures++ === 0) return now + 1;
    return Math.max(now + 1, begunAt + backoffDelay(this.#settings, state.failures - 2, random));
  }
}
