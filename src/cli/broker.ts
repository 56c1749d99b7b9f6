/** `unsinkable broker`: a Majordomo broker for clients and workers of express, MDP 0.1 and 0.2; alone, or one of a pair. */
import type { Command } from 'commander';
import type { Logger } from '../core/logger.ts';
import { BinaryStar } from '../failover/binary-star.ts';
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
import { addPair, pairHelp, pairIn, promoteOnSignal, type PairFlags } from './pair.ts';
import { serve, type Service } from './serve.ts';

interface BrokerFlags extends ServingFlags, HeartbeatFlags, QueueFlags, PairFlags {
  readonly bind?: readonly string[];
}

const HELP = `
Prints one line when it is bound, with the real endpoints in the order of --bind: ready broker ENDPOINT...
SIGINT or SIGTERM drains: what runs may finish, what is queued is refused. A second one ends at once.

Example:
  $ unsinkable broker --bind 'tcp://127.0.0.1:*' --bind ipc:///tmp/broker
  ready broker tcp://127.0.0.1:40123 ipc:///tmp/broker
${pairHelp}`;

/** Adds the command. */
export function addBroker(program: Command): void {
  const command = program
    .command('broker')
    .description('a Majordomo broker: brings requests to workers, and replies back')
    .addOption(endpoints('--bind <endpoint>', "where to serve; port '*' is any free one"))
    .addHelpText('after', HELP)
    .action((_flags: BrokerFlags, self: Command) => run(self.optsWithGlobals()));
  addPair(command);
  addHeartbeats(command, 'a worker', brokerRules);
  addQueueing(command, brokerRules);
  addServing(command, brokerRules);
}

async function run(flags: BrokerFlags): Promise<void> {
  const bind = atLeastOne('bind', flags.bind);
  const pair = pairIn(flags, bind[0]);
  await serve('broker', flags, (logger) => {
    if (pair === undefined) return serviceOf(flags, bind, logger);
    const star = new BinaryStar({ ...pair.options, logger });
    const broker = serviceOf(flags, bind, logger, star);
    promoteOnSignal(star, logger);
    return {
      start: async () => {
        await star.bind(pair.bind);
        if (pair.promote) star.promote();
        return await broker.start();
      },
      close: async () => {
        // First, as what runs in it may only finish while it is the one to serve.
        await broker.close();
        await star.close();
      },
    };
  });
}

function serviceOf(
  flags: BrokerFlags,
  bind: readonly string[],
  logger: Logger,
  failover?: BinaryStar,
): Service {
  const options = optionsAmong(flags, brokerRules);
  const broker = new MajordomoBroker({ ...options, failover, logger });
  return {
    start: async () => {
      for (const endpoint of bind) await broker.bind(endpoint);
      return broker.endpoints;
    },
    close: () => broker.close(),
  };
}
