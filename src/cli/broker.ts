/** `unsinkable broker`: a Majordomo broker for clients and workers of express, MDP 0.1 and 0.2. */
import type { Command } from 'commander';
import { MajordomoBroker } from '../majordomo/broker/broker.ts';
import { brokerRules } from '../majordomo/options.ts';
import { createLogger } from './log.ts';
import { atLeastOne, endpoints, log, numeric, type ServingFlags } from './options.ts';
import { serve } from './serve.ts';
import { listenForStop } from './signals.ts';

interface BrokerFlags extends ServingFlags {
  readonly attemptTimeout: number;
  readonly bind?: readonly string[];
  readonly heartbeatInterval: number;
  readonly heartbeatLiveness: number;
  readonly maxAttempts: number;
  readonly queueLimit: number;
  readonly requestTtl: number;
}

const HELP = `
Prints one line when it serves, with the real endpoints in the order of --bind: ready broker ENDPOINT...
SIGINT or SIGTERM drains: what runs may finish, what is queued is refused. A second one ends at once.

Example:
  $ unsinkable broker --bind 'tcp://127.0.0.1:*' --bind ipc:///tmp/broker
  ready broker tcp://127.0.0.1:40123 ipc:///tmp/broker`;

/** Adds the command. */
export function addBroker(program: Command): void {
  const rules = brokerRules;
  program
    .command('broker')
    .description('a Majordomo broker: brings requests to workers, and replies back')
    .addOption(endpoints('--bind <endpoint>', "where to serve; port '*' is any free one"))
    .addOption(
      numeric('--heartbeat-interval <ms>', 'between two heartbeats', rules.heartbeatInterval),
    )
    .addOption(
      numeric(
        '--heartbeat-liveness <count>',
        'intervals of silence after which a worker is lost',
        rules.heartbeatLiveness,
      ),
    )
    .addOption(
      numeric(
        '--max-attempts <count>',
        'workers that one request may cost before it is a dead letter',
        rules.maxAttempts,
      ),
    )
    .addOption(
      numeric(
        '--attempt-timeout <ms>',
        'how long a worker may hold a request; longer than your longest handler, or Infinity',
        rules.attemptTimeout,
      ),
    )
    .addOption(
      numeric(
        '--request-ttl <ms>',
        'how long a request may live, queued and running, or Infinity',
        rules.requestTtl,
      ),
    )
    .addOption(
      numeric('--queue-limit <count>', 'requests that may wait for a worker', rules.queueLimit),
    )
    .addOption(numeric('--drain-timeout <ms>', 'how long draining may take', rules.drainTimeout))
    .addOption(log())
    .addHelpText('after', HELP)
    .action((_flags: BrokerFlags, command: Command) => run(command.optsWithGlobals()));
}

async function run(flags: BrokerFlags): Promise<void> {
  const { bind: given, log: style, verbose = false, ...options } = flags;
  const bind = atLeastOne('bind', given);
  const stop = listenForStop();
  const logger = createLogger(style, verbose);
  const broker = new MajordomoBroker({ ...options, logger });
  const start = async (): Promise<readonly string[]> => {
    for (const endpoint of bind) await broker.bind(endpoint);
    return broker.endpoints;
  };
  await serve({ role: 'broker', logger, start, close: () => broker.close() }, stop);
}
