// @ts-check
/**
 * What this demo counts, and the verdict over it. The logs are the evidence: each execution beyond the
 * first of its request must have been made necessary by a kill.
 *
 * @typedef {import('../digest/logbook.js').Entry} Entry
 * @typedef {{ killedAt: number, goneAt: number, servedAt: number, held: number }} Kill from the first signal until the
 *   last process was gone, and until all were there again
 * @typedef {{ execution: string, begun: number, ended: number }} Execution `ended` is Infinity if it did not
 */
import { messageOf } from '../files.js';

export class Tally {
  /** How many requests there are, and how many kills there should be. */
  requests;
  killsWanted;
  submitted = 0;
  calledOff = 0;
  right = 0;
  wrong = 0;
  lost = 0;
  /** @type {Kill[]} */
  kills = [];
  /** Requests that the Titanic says it still has in the end. */
  left = 0;
  /** Nothing is lost any more: what fails now does so because the demo ends. */
  isOver = false;
  /** What ended the run early. @type {string | undefined} */
  failure;
  /** The first mistakes, in words. @type {string[]} */
  mistakes = [];

  executions = 0;
  /** Executions beyond the first of a request, by what made them necessary. */
  extra = { cutShort: 0, notStored: 0, unexplained: 0 };
  /** Executions begun when they could not be needed any more. */
  late = { afterStored: 0, afterClose: 0 };

  /** When an answer was there. @type {Map<number, { execution: string, time: number }>} */
  #answers = new Map();
  /** When the close of a request was acknowledged. @type {Map<number, number>} */
  #closed = new Map();
  #startedAt = performance.now();

  /**
   * @param {number} requests
   * @param {number} kills
   */
  constructor(requests, kills) {
    this.requests = requests;
    this.killsWanted = kills;
  }

  get seconds() {
    return (performance.now() - this.#startedAt) / 1000;
  }

  /** Requests in the workers' hands when they were killed. */
  get held() {
    return this.kills.reduce((sum, { held }) => sum + held, 0);
  }

  /** The longest time from a kill until all were started again, in seconds. */
  get longestOutage() {
    return Math.max(0, ...this.kills.map((kill) => kill.servedAt - kill.killedAt)) / 1000;
  }

  /** @param {Kill} kill */
  kill(kill) {
    this.kills.push(kill);
  }

  /**
   * @param {number} request
   * @param {boolean} isRight
   * @param {string} execution that the answer is of
   * @param {number} time
   */
  answer(request, isRight, execution, time) {
    this.#answers.set(request, { execution, time });
    if (isRight) this.right++;
    else {
      this.wrong++;
      this.#remember(`wrong answer: request ${request}`);
    }
  }

  /**
   * @param {number} request
   * @param {number} time
   */
  close(request, time) {
    this.#closed.set(request, time);
  }

  /**
   * @param {number} request
   * @param {unknown} error
   */
  lose(request, error) {
    if (this.isOver) return;
    this.lost++;
    this.#remember(`lost: request ${request}: ${messageOf(error)}`);
  }

  /**
   * Gives every execution its reason.
   * @param {readonly Entry[]} entries of all logs
   */
  readLogs(entries) {
    const stored = new Map(
      entries.filter(({ deed }) => deed === 'stored').map(({ request, time }) => [request, time]),
    );
    for (const [request, executions] of executionsIn(entries)) {
      this.executions += executions.length;
      this.#judge(request, executions, stored.get(request) ?? Infinity);
      const answer = this.#answers.get(request);
      if (answer === undefined) continue;
      const source = executions.find(({ execution }) => execution === answer.execution);
      if (source === undefined || source.ended > answer.time) {
        this.wrong++;
        this.#remember(`answer of an execution that did not end: request ${request}`);
      }
    }
  }

  /**
   * @param {number} request
   * @param {readonly Execution[]} executions in their order
   * @param {number} storedAt when its answer was durable
   */
  #judge(request, executions, storedAt) {
    const closedAt = this.#closed.get(request) ?? Infinity;
    executions.forEach(({ begun }, index) => {
      if (begun > closedAt) {
        this.late.afterClose++;
        this.#remember(`executed after its close: request ${request}`);
      } else if (begun > storedAt) {
        this.late.afterStored++;
        this.#remember(`executed after its answer was stored: request ${request}`);
      }
      const former = executions[index - 1];
      if (former !== undefined) this.extra[this.#reasonFor(request, former, begun)]++;
    });
  }

  /**
   * Why a request was executed again.
   * @param {number} request
   * @param {Execution} former
   * @param {number} begun
   */
  #reasonFor(request, former, begun) {
    // Within a kill too: those who live a moment longer take over what others held.
    if (this.kills.some((kill) => former.begun <= kill.goneAt && kill.killedAt <= begun)) {
      return former.ended === Infinity ? 'cutShort' : 'notStored';
    }
    this.#remember(`executed again without a kill in between: request ${request}`);
    return 'unexplained';
  }

  /** Why the run failed, in words; empty if it did not. */
  get failures() {
    const { failure, submitted, requests, right, wrong, lost, left, extra, late, kills } = this;
    const failures = failure === undefined ? [] : [failure];
    if (submitted < requests) failures.push(`only ${submitted} requests were accepted`);
    if (lost > 0) failures.push(`${lost} answers were lost`);
    if (wrong > 0) failures.push(`${wrong} answers were wrong`);
    if (right + wrong + lost < requests) failures.push('not every answer was collected');
    if (kills.length < this.killsWanted) failures.push(`only ${kills.length} kills`);
    if (kills.length > 0 && this.held === 0) failures.push('no kill hit a request in execution');
    if (left > 0) failures.push(`${left} requests were left in the Titanic`);
    if (extra.unexplained > 0) failures.push(`${extra.unexplained} executions without a reason`);
    if (late.afterStored > 0) failures.push(`${late.afterStored} executions of what was done`);
    if (late.afterClose > 0) failures.push(`${late.afterClose} executions after a close`);
    return failures;
  }

  /** @param {string} mistake */
  #remember(mistake) {
    if (this.mistakes.length < 5) this.mistakes.push(mistake);
  }
}

/**
 * The executions of each request, in their order.
 * @param {readonly Entry[]} entries
 */
function executionsIn(entries) {
  const ends = new Map(
    entries.filter(({ deed }) => deed === 'ended').map((entry) => [entry.execution, entry.time]),
  );
  /** @type {Map<number, Execution[]>} */
  const byRequest = new Map();
  for (const { deed, request, execution, time } of entries) {
    if (deed !== 'begun') continue;
    const executions = byRequest.get(request) ?? [];
    byRequest.set(request, executions);
    executions.push({ execution, begun: time, ended: ends.get(execution) ?? Infinity });
  }
  for (const executions of byRequest.values()) executions.sort((a, b) => a.begun - b.begun);
  return byRequest;
}
