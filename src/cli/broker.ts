/** `unsinkable broker`: a Majordomo broker for clients and workers of express, MDP 0.1 and 0.2. */
import type { Command } from 'commander';
import { MajordomoBroker } from '../majordomo/broker/broker.ts';
import { brokerRules } from '../majordomo/options.ts';
import {
  addHeartbeats,
  addQueueing,
  addServing,
  atLeastOne,
  endpoints,
  optionsAmong,
  type HeartbeatFlags,
  type QueueFlags,
  type ServingFlags,
} from './options.ts';
import { serve } from './serve.ts';

interface BrokerFlags extends ServingFlags, HeartbeatFlags, QueueFlags {
  readonly bind?: readonly string[];
}

const HELP = `
Prints one line when it serves, with the real endpoints in the order of --bind: ready broker ENDPOINT...
SIGINT or SIGTERM drains: what runs may finish, what is queued is refused. A second one ends at once.

Example:
  $ unsinkable broker --bind 'tcp://127.0.0.1:*' --bind ipc:///tmp/broker
  ready broker tcp://127.0.0.1:40123 ipc:///tmp/broker`;

/** Adds the command. */
export function addBroker(program: Command): void {
  const command = program
    .command('broker')
    .description('a Majordomo broker: brings requests to workers, and replies back')
    .addOption(endpoints('--bind <endpoint>', "where to serve; port '*' is any free one"))
    .addHelpText('after', HELP)
    .action((_flags: BrokerFlags, self: Command) => run(self.optsWithGlobals()));
  addHeartbeats(command, 'a worker', brokerRules);
  addQueueing(command, brokerRules);
  addServing(command, brokerRules);
}

async function run(flags: BrokerFlags): Promise<void> {
  const bind = atLeastOne('bind', flags.bind);
  await serve('broker', flags, (logger) => {
    const broker = new MajordomoBroker({ ...optionsAmong(flags, brokerRules), logger });
    return {
      start: async () => {
        for (const endpoint of bind) await broker.bind(endpoint);
        return broker.endpoints;
      },
      close: () => broker.close(),
    };
  });
}
