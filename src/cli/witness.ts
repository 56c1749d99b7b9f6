/** `unsinkable witness`: the third voice of pairs of brokers, which says which of the two may serve. */
import type { Command } from 'commander';
import { witnessRules } from '../failover/options.ts';
import { WitnessServer } from '../failover/witness-server.ts';
import {
  addServing,
  atLeastOne,
  endpoints,
  numeric,
  optionsAmong,
  type ServingFlags,
} from './options.ts';
import { serve } from './serve.ts';

interface WitnessFlags extends ServingFlags {
  readonly bind?: readonly string[];
  readonly pairLimit: number;
  readonly store?: string;
}

const HELP = `
Prints one line when it serves, with the real endpoints: ready witness ENDPOINT...
It gives the one of a pair that serves its lease, again and again. Run it on a third machine: a pair goes on without it as
long as the two hear each other. What it knows is in the file of --store; started without that file, it may say yes
to one who is behind.
SIGINT or SIGTERM ends it.

Example:
  $ unsinkable witness --bind tcp://127.0.0.1:5557 --store ./witness.epochs
  ready witness tcp://127.0.0.1:5557`;

/** Adds the command. */
export function addWitness(program: Command): void {
  const { pairLimit } = witnessRules;
  const command = program
    .command('witness')
    .description('the witness of pairs of brokers: gives the lease to serve to one of the two')
    .addOption(endpoints('--bind <endpoint>', "where pairs find it; port '*' is any free one"))
    .option('--store <file>', 'where epochs are kept (default: a file here, witness.epochs)')
    .addOption(numeric('--pair-limit <count>', 'pairs that it serves at most', pairLimit))
    .addHelpText('after', HELP)
    .action((_flags: WitnessFlags, self: Command) => run(self.optsWithGlobals()));
  addServing(command, witnessRules);
}

async function run(flags: WitnessFlags): Promise<void> {
  const bind = atLeastOne('bind', flags.bind);
  await serve('witness', flags, (logger) => {
    const witness = new WitnessServer({ ...optionsAmong(flags, witnessRules), logger });
    return {
      start: async () => {
        const bound: string[] = [];
        for (const endpoint of bind) bound.push(await witness.bind(endpoint));
        return bound;
      },
      close: () => witness.close(),
    };
  });
}
