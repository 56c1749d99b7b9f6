// @ts-check
/**
 * What this demo counts, and the verdict over it. The workers' logs are the evidence: no worker is killed,
 * so that nothing ever has to be executed twice.
 *
 * @typedef {import('../digest/logbook.js').Entry} Entry
 * @typedef {{ killedAt: number, epoch: number, held: number }} Kill of the one that served under that epoch
 * @typedef {{ request: number, isRight: boolean, execution: string, time: number }} Answer
 */
import { messageOf } from '../files.js';

export class Tally {
  killsWanted;
  /** @type {Kill[]} */
  kills = [];
  asked = 0;
  right = 0;
  wrong = 0;
  lost = 0;
  /** Tries after the first of a request. */
  retries = 0;
  /** Answered before a kill and asked again after it: with the same answer, or another. */
  remembered = 0;
  forgotten = 0;
  executions = 0;
  /** Executions beyond the first of a request. */
  extra = 0;
  /** The kills are done: nothing new is asked. */
  isDone = false;
  /** Nothing is lost any more: what fails now does so because the demo ends. */
  isOver = false;
  /** What ended the run early. @type {string | undefined} */
  failure;
  /** The first mistakes, in words. @type {string[]} */
  mistakes = [];

  /** @type {Map<number, Answer>} */
  #answers = new Map();
  /** When each client got its answers. @type {Map<number, number[]>} */
  #times = new Map();
  #startedAt = performance.now();

  /** @param {number} kills */
  constructor(kills) {
    this.killsWanted = kills;
  }

  get seconds() {
    return (performance.now() - this.#startedAt) / 1000;
  }

  /** Requests asked and neither answered nor lost. */
  get underWay() {
    return this.asked - this.right - this.wrong - this.lost;
  }

  /** Requests that were under way at the kills. */
  get held() {
    return this.kills.reduce((sum, { held }) => sum + held, 0);
  }

  /** @returns {number} the next request */
  ask() {
    return this.asked++;
  }

  /** @param {Kill} kill */
  kill(kill) {
    this.kills.push(kill);
  }

  /**
   * @param {number} client
   * @param {Answer} answer
   */
  answer(client, answer) {
    const { request, isRight, time } = answer;
    this.#answers.set(request, answer);
    const times = this.#times.get(client) ?? [];
    this.#times.set(client, times);
    times.push(time);
    if (isRight) this.right++;
    else {
      this.wrong++;
      this.#note(`wrong answer: request ${request}`);
    }
  }

  /**
   * @param {number} request asked again
   * @param {boolean} isSame as before
   */
  remember(request, isSame) {
    if (isSame) this.remembered++;
    else {
      this.forgotten++;
      this.#note(`another answer than before the kill: request ${request}`);
    }
  }

  /**
   * @param {number} request
   * @param {unknown} error
   */
  lose(request, error) {
    if (this.isOver) return;
    this.lost++;
    this.#note(`lost: request ${request}: ${messageOf(error)}`);
  }

  /**
   * For each kill the milliseconds until somebody was answered again, and until everybody was: the longest
   * pause that began before the next kill.
   */
  get gaps() {
    const ofAll = [...this.#times.values()].flat().toSorted((a, b) => a - b);
    return this.kills.map(({ killedAt }, index) => {
      const until = this.kills[index + 1]?.killedAt ?? Infinity;
      const pauses = [...this.#times.values()].map((times) => pauseIn(times, killedAt, until));
      return { first: pauseIn(ofAll, killedAt, until), all: Math.max(0, ...pauses) };
    });
  }

  /**
   * Counts the executions, and looks for that of each answer.
   * @param {readonly Entry[]} entries of all logs
   */
  readLogs(entries) {
    /** @type {Map<number, number>} */
    const begun = new Map();
    const ends = new Map(
      entries.filter(({ deed }) => deed === 'ended').map((entry) => [entry.execution, entry]),
    );
    for (const { deed, request } of entries) {
      if (deed === 'begun') begun.set(request, (begun.get(request) ?? 0) + 1);
    }
    for (const [request, times] of begun) {
      this.executions += times;
      this.extra += times - 1;
      if (times > 1) this.#note(`executed ${times} times: request ${request}`);
    }
    for (const { request, execution, time, isRight } of this.#answers.values()) {
      const end = ends.get(execution);
      if (!isRight || (end?.request === request && end.time <= time)) continue;
      this.wrong++;
      this.#note(`answer of an execution that did not end: request ${request}`);
    }
  }

  /** Why the run failed, in words; empty if it did not. */
  get failures() {
    const { failure, right, wrong, lost, forgotten, extra, kills, killsWanted } = this;
    const failures = failure === undefined ? [] : [failure];
    if (lost > 0) failures.push(`${lost} requests were lost`);
    if (wrong > 0) failures.push(`${wrong} answers were wrong`);
    if (forgotten > 0) failures.push(`${forgotten} answers were others than before a kill`);
    if (extra > 0) failures.push(`${extra} executions of what had been executed`);
    if (right === 0) failures.push('nothing was answered');
    if (kills.length < killsWanted) failures.push(`only ${kills.length} of ${killsWanted} kills`);
    if (kills.some(({ held }) => held === 0)) failures.push('a kill hit no request');
    if (this.gaps.some(({ all }) => all === Infinity)) {
      failures.push('a client was not answered after a kill');
    }
    return failures;
  }

  /** @param {string} mistake */
  #note(mistake) {
    if (this.mistakes.length < 5) this.mistakes.push(mistake);
  }
}

/**
 * The longest time without an answer that ended after `from` and began before `until`, counted from `from`.
 * @param {readonly number[]} times ascending
 * @param {number} from
 * @param {number} until
 * @returns {number} Infinity if there was no answer any more
 */
function pauseIn(times, from, until) {
  let longest = 0;
  let last = from;
  let isAnswered = false;
  for (const time of times) {
    if (time <= from) continue;
    isAnswered = true;
    if (last >= until) break;
    longest = Math.max(longest, time - last);
    last = time;
  }
  return isAnswered ? longest : Infinity;
}

/**
 * The value that so great a share of them does not exceed.
 * @param {readonly number[]} values
 * @param {number} share
 */
export function quantile(values, share) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
}
