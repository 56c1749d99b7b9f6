/** The witness of a simulated pair: the real machine in a process that can die, and a store that outlives it. */
import type { VoterInput, VoterOutput } from '../../failover/commands.ts';
import type {
  WitnessCall,
  WitnessEvent,
  WitnessPort,
  WitnessRecord,
} from '../../failover/failover-events.ts';
import { witnessCodec } from '../../failover/protocol.ts';
import { WitnessMachine } from '../../failover/witness-machine.ts';
import { Driver } from '../../transport/driver.ts';
import { exitAfter, MachineRole, type EndCall } from '../machine-role.ts';
import type { SimStore } from '../failover/sim-store.ts';
import type { SimProcess } from '../sim-process.ts';
import type { Stage } from '../stage.ts';
import { WITNESS } from './plan.ts';
import { endpointOf } from './stage.ts';

/** The stage of any pair. */
export interface WitnessStage extends Stage {
  readonly plan: { readonly settings: { readonly peerQueueBytes: number } };
  storeOf(name: string): SimStore;
}

/** What a witness writes. */
interface Written {
  readonly records: readonly WitnessRecord[];
}

export class WitnessRole extends MachineRole {
  readonly #stage: WitnessStage;
  #isBuried = false;

  constructor(stage: WitnessStage) {
    super(stage, WITNESS);
    this.#stage = stage;
    this.start();
  }

  get state(): string {
    return 'there';
  }

  /** It dies, and is never started again. */
  bury(): void {
    this.#isBuried = true;
    this.process.crash();
  }

  override start(): void {
    if (!this.#isBuried) super.start();
  }

  protected live(process: SimProcess): (call: EndCall) => void {
    const stage = this.#stage;
    const store = stage.storeOf(this.name);
    const { records = [] } = (store.open(process) ?? {}) as Partial<Written>;
    const driver = new Driver<WitnessPort, VoterInput, VoterOutput, WitnessCall, WitnessEvent>({
      machine: (outbox) => new WitnessMachine(outbox, { pairLimit: 8 }, records),
      codec: witnessCodec,
      kindOf: () => 'router',
      transport: stage.network.transport(process),
      clock: process,
      peerQueueBytes: stage.plan.settings.peerQueueBytes,
      store: (written, done) => store.write(process, written, done),
      onEvent: (event) => {
        stage.count(`witness.${event.type}`);
        if ('reason' in event) stage.count(`witness.${event.type}.${event.reason}`);
        if (event.type === 'drained') exitAfter(process, driver);
      },
    });
    process.run(() => driver.bind('claims', endpointOf(this.name, 'claims'), () => undefined));
    return (call) => driver.call(call);
  }
}
