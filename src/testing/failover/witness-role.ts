/** The witness of a simulated pair: the real machine, and a store that outlives it. */
import type { WitnessEvent, WitnessRecord } from '../../failover/failover-events.ts';
import { witnessCodec } from '../../failover/protocol.ts';
import { WitnessMachine } from '../../failover/witness-machine.ts';
import { drive, exitAfter, MachineRole, type EndCall } from '../machine-role.ts';
import type { SimProcess } from '../sim-process.ts';
import { endpointOf, WITNESS, type FailoverStage } from './stage.ts';
import { WitnessChecker } from './witness-checker.ts';

const QUEUE_BYTES = 4000;

/** Our pair, and one that an intruder may make up. */
const PAIR_LIMIT = 2;

export class WitnessRole extends MachineRole {
  declare protected readonly stage: FailoverStage;

  constructor(stage: FailoverStage) {
    super(stage, WITNESS);
    this.start();
  }

  /** For the fault × state matrix. */
  get state(): string {
    const { stage } = this;
    const holder = stage.promisesOf(WITNESS).holderAt(stage.world.now);
    return holder === undefined ? 'free' : 'promised';
  }

  protected live(process: SimProcess): (call: EndCall) => void {
    const { stage } = this;
    const store = stage.storeOf(WITNESS);
    const kept = store.open(process) as { records: readonly WitnessRecord[] } | undefined;
    stage.promisesOf(WITNESS).restarted(true);
    const driver = drive({
      stage,
      process,
      machine: (outbox) =>
        new WitnessMachine(outbox, { pairLimit: PAIR_LIMIT }, kept?.records ?? []),
      checker: new WitnessChecker(stage),
      codec: witnessCodec,
      kindOf: () => 'router',
      peerQueueBytes: QUEUE_BYTES,
      store: (batch, done) => store.write(process, batch, done),
      onEvent: (event: WitnessEvent) => {
        stage.count(`witness.${event.type}`);
        if (event.type === 'refused') stage.count(`witness.refused.${event.reason}`);
        if (event.type === 'drained') exitAfter(process, driver);
      },
    });
    process.run(() => driver.bind('claims', endpointOf(WITNESS, 'claims'), () => undefined));
    return (call) => driver.call(call);
  }
}
