/**
 * What must hold at a Freelance client about the copies of a request: no more than its retries allow, at
 * the best server that is left; what a server lost is asked again at once, and what was slow or refused
 * only as long as the budget lasts.
 */
import type { RequestErrorCode } from '../../core/errors.ts';
import type { Instant } from '../../core/machine.ts';
import type { ClientEvent, ClientSettings, ServerHealth } from '../../freelance/client-machine.ts';
import type { ServerPort } from '../../freelance/servers.ts';
import { requireThat } from '../violation.ts';
import type { Call, Round } from './call.ts';
import type { ServersChecker } from './servers-checker.ts';

type RetryEvent = Extract<ClientEvent, { type: 'retry' }>;

/** Tokens are whole millionths: sums of tenths differ by less. */
const TINY = 1e-6;

/** How many reply times are remembered, and how few say nothing. */
const WINDOW = 100;
const ENOUGH = 20;

export class CopiesChecker {
  readonly #settings: ClientSettings;
  readonly #servers: ServersChecker;
  /** What the machine says of its servers. */
  readonly #health: () => readonly ServerHealth[];
  /** Of the last replies, in milliseconds. */
  readonly #times: number[] = [];
  /** In this step: whose copy was lost with its server, whose was refused, and who was sent one. */
  readonly #lost = new Set<Call>();
  #refused: Call | undefined;
  #isFull = false;
  readonly #sent = new Set<Call>();
  /** A server turned out to be full in this step. */
  #isPassedOver = false;
  #tokens: number;
  #now: Instant = 0;

  constructor(
    settings: ClientSettings,
    servers: ServersChecker,
    health: () => readonly ServerHealth[],
  ) {
    this.#settings = settings;
    this.#servers = servers;
    this.#health = health;
    this.#tokens = settings.retryBurst;
  }

  // What happens

  begin(now: Instant): void {
    this.#now = now;
    for (const call of this.#sent) call.round = undefined;
    this.#sent.clear();
    this.#lost.clear();
    this.#refused = undefined;
    this.#isPassedOver = false;
  }

  /** A copy did not fit into the queue of its server. */
  passedOver(): void {
    this.#isPassedOver = true;
  }

  /** A request was accepted. */
  earn(): void {
    const { retryBudget, retryBurst } = this.#settings;
    this.#tokens = Math.min(retryBurst, this.#tokens + retryBudget);
  }

  /** A reply took so long. */
  answered(took: number): void {
    this.#times.push(took);
    if (this.#times.length > WINDOW) this.#times.shift();
  }

  /** A server has lost what it had of this call. */
  lost(call: Call): void {
    this.#lost.add(call);
    if (call.attempts.length === 0) call.lostBy = 'serverLost';
  }

  /** A server would not do it: it is full, or closing. */
  refused(call: Call, code: RequestErrorCode): void {
    this.#refused = call;
    this.#isFull = code === 'ERR_QUEUE_FULL';
    if (call.attempts.length === 0) call.lostBy = 'refused';
  }

  /** A copy leaves. */
  sent(call: Call, port: ServerPort, control: string): void {
    const { work, operation } = call;
    this.#servers.checkAsked(port, work.id);
    const { round } = call;
    const isSameRound = round?.isStart === true && round.told === 0;
    if (isSameRound) {
      const isOther = operation.strategy === 'all' && !round.ports.includes(port);
      requireThat(isOther, 'one copy a server', () => `${work.id} is sent twice, on ${port} too`);
      round.ports.push(port);
    } else this.#begin(call, port);
    call.attempts.push({ call, port, control, sentAt: this.#now });
    this.#sent.add(call);
  }

  #begin(call: Call, port: ServerPort): void {
    const { work, operation, attempts } = call;
    const isFirst = !call.wasSent;
    // Whom a full server refused asks one more, whatever its strategy: all others were asked before.
    const isStart = attempts.length === 0 && !this.#isBounced(call);
    const { lostBy } = call;
    call.lostBy = undefined;
    call.round = {
      isStart,
      isFirst,
      lostBy,
      isSecondThere: call.isAt(port),
      ports: [port],
      told: 0,
    };
    if (!isFirst) call.repeats++;
    requireThat(call.repeats <= operation.retries, 'retries are capped', () => {
      return `${work.id} is sent again ${call.repeats} times, with ${operation.retries} retries`;
    });
    if (isFirst) this.#schedule(call);
    if (operation.strategy === 'all' && isStart) return;
    const passed = this.#passedBy(call, port);
    requireThat(passed === undefined, 'ranks are kept', () => {
      return `${work.id} is sent on ${port} while ${passed} could be asked`;
    });
  }

  /** A full server has just refused it. */
  #isBounced(call: Call): boolean {
    return this.#refused === call && this.#isFull;
  }

  /** A better server that could have been asked. */
  #passedBy(call: Call, port: ServerPort): ServerPort | undefined {
    const isNew = (other: ServerPort): boolean =>
      other !== port && !call.isAt(other) && !call.refusedBy.has(other);
    const able = this.#servers.able().filter((view) => isNew(view.port));
    // Where a try of it is under way nobody asks again while another server is left.
    if (call.isAt(port)) return able[0]?.port;
    if (call.operation.strategy === 'fastest') {
      const times = new Map(this.#health().map((it) => [it.endpoint, it.responseTime ?? Infinity]));
      const own = times.get(this.#servers.of(port).endpoint)!;
      return able.find(({ endpoint }) => times.get(endpoint)! < own)?.port;
    }
    const { rank } = this.#servers.of(port);
    return able.find((other) => other.rank < rank)?.port;
  }

  // What is told

  toldRetry(call: Call, { attempt, reason }: RetryEvent): void {
    const { work } = call;
    const round = this.#tell(call);
    requireThat(attempt === call.repeats + 1, 'every copy is told', () => {
      return `${work.id} is told of try ${attempt}, and was sent ${call.repeats + 1} times`;
    });
    const isTrue = this.#isTrue(call, round, reason);
    requireThat(isTrue, 'every copy is told', () => `${work.id} is sent again, not as ${reason}`);
    const isOwn = reason === 'timeout' || !round.isSecondThere;
    requireThat(isOwn, 'one copy a server', () => `${work.id} is sent to ${round.ports[0]} again`);
    const isBudgeted = reason === 'timeout' || this.#isBounced(call);
    if (isBudgeted) this.#spend(call);
    if (round.told > 1) return;
    this.#schedule(call);
  }

  #isTrue(call: Call, { lostBy }: Round, reason: RetryEvent['reason']): boolean {
    switch (reason) {
      case 'serverLost':
        return this.#lost.has(call) || lostBy === 'serverLost';
      case 'refused':
        return this.#refused === call || lostBy === 'refused';
      case 'timeout':
        return call.attemptAt <= this.#now;
    }
  }

  toldHedge(call: Call): void {
    const { work, operation, hedgeAt, isHedged } = call;
    const round = this.#tell(call);
    const isDue = operation.hedge && !isHedged && operation.strategy !== 'all';
    requireThat(isDue && hedgeAt <= this.#now, 'hedges wait their time', () => {
      return `${work.id} is hedged at ${this.#now}, not at ${hedgeAt}`;
    });
    requireThat(!round.isSecondThere, 'one copy a server', () => {
      return `${work.id} is hedged on ${round.ports[0]}, where a try of it is under way`;
    });
    this.#spend(call);
    call.isHedged = true;
    call.hedgeAt = Infinity;
  }

  #tell(call: Call): Round {
    const { round } = call;
    const isUntold = round !== undefined && !round.isFirst && round.told < round.ports.length;
    requireThat(isUntold, 'every copy is told', () => `${call.work.id} was not sent again`);
    round.told++;
    return round;
  }

  #spend(call: Call): void {
    requireThat(this.#tokens >= 1 - TINY, 'the budget is kept', () => {
      return `${call.work.id} gets a further copy, and ${this.#tokens} tokens are left`;
    });
    this.#tokens--;
  }

  /** When more is due for what was sent just now. */
  #schedule(call: Call): void {
    const { hedge, strategy } = call.operation;
    const usual = hedge && !call.isHedged && strategy !== 'all' ? this.#usualTime() : Infinity;
    call.attemptAt = this.#now + call.tryTime;
    call.hedgeAt = this.#now + Math.max(1, usual);
  }

  /** What 95 of the last 100 replies did not exceed. */
  #usualTime(): number {
    if (this.#times.length < ENOUGH) return Infinity;
    const sorted = this.#times.toSorted((a, b) => a - b);
    return sorted[Math.ceil(sorted.length * 0.95) - 1]!;
  }

  // After each step

  /** @param open calls without an outcome */
  end(open: Iterable<Call>): void {
    for (const call of this.#sent) this.#checkTold(call);
    for (const call of open) {
      if (call.attempts.length === 0) {
        call.attemptAt = Infinity;
        call.hedgeAt = Infinity;
        continue;
      }
      if (this.#lost.has(call) && !this.#sent.has(call)) this.#checkLost(call);
      if (call.attemptAt <= this.#now) this.#checkSlow(call);
      if (call.hedgeAt <= this.#now) this.#checkUnhedged(call);
      if (this.#refused === call && !this.#sent.has(call)) this.checkRefused(call);
    }
  }

  #checkTold({ round, work, operation, outcome, attempts }: Call): void {
    if (round === undefined) return;
    const { isFirst, isStart, ports, told } = round;
    requireThat(isFirst || told === ports.length, 'every copy is told', () => {
      return `${work.id} is sent again, and nobody is told`;
    });
    if (operation.strategy !== 'all' || !isStart || outcome !== undefined) return;
    const missing = this.#servers
      .able()
      .find(({ port }) => attempts.every((it) => it.port !== port));
    requireThat(missing === undefined, 'all are asked', () => {
      return `${work.id} is not sent on ${missing?.port}`;
    });
  }

  /** A try took too long: another server is asked, unless there is a reason not to. */
  #checkSlow(call: Call): void {
    call.refusedBy.clear();
    const isPossible = call.mayRepeat && this.#tokens >= 1 && this.#servers.able().length > 0;
    requireThat(!isPossible || this.#isPassedOver, 'slow servers are passed over', () => {
      return `${call.work.id} waits since ${call.attemptAt - call.tryTime} for ${portsOf(call)} alone`;
    });
    call.attemptAt = call.mayRepeat ? this.#now + call.tryTime : Infinity;
  }

  #checkUnhedged(call: Call): void {
    call.hedgeAt = Infinity;
    const isPossible = call.mayRepeat && this.#tokens >= 1 && this.#hasNew(call);
    requireThat(!isPossible, 'hedges wait their time', () => `${call.work.id} is not hedged`);
  }

  /** What was lost with its server goes to the next one at once, whatever the budget. */
  #checkLost(call: Call): void {
    // One that still has its time is enough.
    if (call.attempts.some(({ sentAt }) => this.#now < sentAt + call.tryTime)) return;
    requireThat(!call.mayRepeat || !this.#hasNew(call), 'lost servers are passed over', () => {
      return `a try of ${call.work.id} is lost, and ${portsOf(call)} alone has one left`;
    });
  }

  /** What was refused goes to the next server, if there is one and the budget allows it. */
  checkRefused(call: Call): void {
    const isPossible = call.mayRepeat && (this.#tokens >= 1 || !this.#isFull) && this.#hasNew(call);
    requireThat(!isPossible, 'refused requests go on', () => {
      return `${call.work.id} is refused, and asked of nobody else`;
    });
  }

  #hasNew(call: Call): boolean {
    return this.#servers.able().some(({ port }) => !call.isAt(port) && !call.refusedBy.has(port));
  }
}

function portsOf({ attempts }: Call): string {
  return attempts.map(({ port }) => port).join(', ');
}
