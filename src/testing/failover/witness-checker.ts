/** What must hold at the witness: it keeps its word to each pair, over its restarts too. */
import type { Address, Instant } from '../../core/machine.ts';
import type { VoterInput, VoterOutput } from '../../failover/commands.ts';
import type { WitnessCall, WitnessPort } from '../../failover/failover-events.ts';
import type { MachineChecker } from '../machine-role.ts';
import { requireThat } from '../violation.ts';
import type { Input } from '../watched-machine.ts';
import { PAIR, WITNESS, type FailoverStage } from './stage.ts';

export class WitnessChecker implements MachineChecker<
  WitnessPort,
  VoterInput,
  VoterOutput,
  WitnessCall,
  unknown
> {
  readonly #stage: FailoverStage;
  #isStale = false;

  constructor(stage: FailoverStage) {
    this.#stage = stage;
  }

  before(_now: Instant, input: Input<WitnessPort, VoterInput, WitnessCall>): void {
    this.#isStale = false;
    if (input.kind !== 'command') return;
    const { command } = input;
    // What others claim is theirs, and must change nothing here.
    if (command.pair !== PAIR) return;
    const promises = this.#stage.promisesOf(WITNESS);
    if (command.type === 'release') promises.released(command);
    else this.#isStale = promises.isStale(this.#stage.world.now, command);
  }

  said(_port: WitnessPort, _to: Address, command: VoterOutput, accepted: boolean): void {
    if (!accepted || command.pair !== PAIR) return;
    requireThat(!this.#isStale, 'stale is ignored', () => {
      return `the witness answers ${command.life}.${command.number}, which came late`;
    });
    if (command.type !== 'grant') return;
    const promises = this.#stage.promisesOf(WITNESS);
    const claim = promises.granted(this.#stage.world.now, command);
    const record = this.#stage.witnessed();
    const isStored =
      record !== undefined &&
      record.epoch === claim.epoch &&
      record.role === claim.role &&
      record.alone === claim.alone &&
      record.lease >= claim.lease;
    requireThat(isStored, 'stored before use', () => {
      return `the witness grants ${command.epoch}; ${JSON.stringify(record)} is stored`;
    });
  }
}
