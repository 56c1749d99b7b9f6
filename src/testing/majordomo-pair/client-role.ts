/** A client of a pair: as with one broker, and watched for the epochs that it is served under. */
import type { Epoch } from '../../core/election.ts';
import type { Address, Frames, Instant } from '../../core/machine.ts';
import type { ClientCall, ClientEvent, ClientPort } from '../../majordomo/client/client-machine.ts';
import type { ClientInput, ClientOutput, StandingCommand } from '../../majordomo/wire/commands.ts';
import { ClientChecker } from '../majordomo/client-checker.ts';
import { ClientRole } from '../majordomo/client-role.ts';
import type { PlannedClient } from '../majordomo/plan.ts';
import { requireThat } from '../violation.ts';
import type { Input } from '../watched-machine.ts';
import type { PairStage } from './stage.ts';
import { isKeyed, unmark } from './worker-role.ts';

export class PairClientRole extends ClientRole {
  constructor(stage: PairStage, name: string, planned: PlannedClient) {
    super(stage, name, planned, () => new PairClientChecker(stage, name));
  }
}

class PairClientChecker extends ClientChecker {
  readonly #stage: PairStage;
  readonly #name: string;
  /** Of the session that it has; undefined until it is welcome. */
  #epoch: Epoch | undefined;
  #highest: Epoch = 0;
  /** What it was told to go to. */
  #redirectedTo = '';

  constructor(stage: PairStage, name: string) {
    super(name, stage);
    this.#stage = stage;
    this.#name = name;
  }

  override before(now: Instant, input: Input<ClientPort, ClientInput, ClientCall>): void {
    super.before(now, input);
    if (input.kind !== 'command' || input.port !== 'express') return;
    const { command } = input;
    if (command.type === 'welcome') {
      this.#epoch = command.epoch ?? 0;
      if (this.#epoch < this.#highest) this.#stage.count('client.welcomeRefused');
      this.#saw(this.#epoch);
    } else if (command.type === 'standing') this.#noteStanding(command);
  }

  #noteStanding({ active, epoch, endpoint }: StandingCommand): void {
    this.#saw(epoch);
    if (active) this.#stage.count('client.calledBack');
    else this.#redirectedTo = endpoint;
  }

  #saw(epoch: Epoch): void {
    this.#highest = Math.max(this.#highest, epoch);
  }

  override opened(port: ClientPort, endpoint = ''): void {
    super.opened(port);
    if (port !== 'express') return;
    this.#epoch = undefined;
    if (endpoint !== '' && endpoint === this.#redirectedTo) this.#stage.count('client.redirected');
    this.#redirectedTo = '';
  }

  override said(port: ClientPort, to: Address, command: ClientOutput, accepted: boolean): void {
    super.said(port, to, command, accepted);
    if (port !== 'express' || command.type !== 'request') return;
    this.#checkEpoch('asks');
  }

  override told(event: ClientEvent): void {
    if (event.type === 'reply' || event.type === 'partial') this.#checkEpoch('is answered');
    super.told(event);
  }

  /** Whoever has seen an epoch is served under no lower one. */
  #checkEpoch(what: string): void {
    const epoch = this.#epoch;
    if (epoch === undefined) return;
    requireThat(epoch >= this.#highest, 'epochs ascend for each client', () => {
      return `${this.#name} ${what} under ${epoch}, and has seen ${this.#highest}`;
    });
  }

  protected override answerOf(event: Extract<ClientEvent, { type: 'reply' }>): Frames {
    const work = this.calls.get(event.id)?.work;
    if (work === undefined || !isKeyed(work)) return event.body;
    const { answer, mark } = unmark(event.body);
    if (this.#epoch !== undefined) {
      this.#stage.keys.answered(work.name, this.#name, this.#epoch, mark);
    }
    return answer;
  }
}
