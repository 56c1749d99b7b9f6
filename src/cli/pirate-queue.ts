/** `unsinkable pirate-queue`: the queue between Lazy Pirate clients and Paranoid or Simple workers. */
import type { Command } from 'commander';
import type { Logger } from '../core/logger.ts';
import { paranoidQueueRules, queueRules } from '../pirate/options.ts';
import { ParanoidPirateQueue, SimplePirateQueue } from '../pirate/queue.ts';
import {
  addHeartbeats,
  addQueueing,
  addServing,
  atLeastOne,
  endpoints,
  optionsAmong,
  refuseHeartbeats,
  type HeartbeatFlags,
  type QueueFlags,
  type ServingFlags,
} from './options.ts';
import { serve } from './serve.ts';

interface PirateQueueFlags extends ServingFlags, HeartbeatFlags, QueueFlags {
  readonly backend?: readonly string[];
  readonly frontend?: readonly string[];
  readonly simple?: boolean;
}

const HELP = `
Prints one line when it serves, with the real endpoints: ready pirate-queue FRONTEND BACKEND.
Clients are REQ sockets, DEALERs and 'pirate-request'. Workers speak 6/PPP, such as 'pirate-worker'; with
--simple they are REQ sockets, which do not beat: that one was lost only the end of its connection tells.
SIGINT or SIGTERM drains: what runs may finish, what is queued is refused. A second one ends at once.

Example:
  $ unsinkable pirate-queue --frontend tcp://127.0.0.1:5555 --backend tcp://127.0.0.1:5556
  ready pirate-queue tcp://127.0.0.1:5555 tcp://127.0.0.1:5556`;

/** Adds the command. */
export function addPirateQueue(program: Command): void {
  const command = program
    .command('pirate-queue')
    .description('a Pirate queue: brings requests to workers that are all alike, and replies back')
    .addOption(
      endpoints('--frontend <endpoint>', "where clients connect; port '*' is any free one"),
    )
    .addOption(endpoints('--backend <endpoint>', 'where workers connect'))
    .option('--simple', 'for workers without heartbeats, of Simple Pirate')
    .addHelpText('after', HELP)
    .action((_flags: PirateQueueFlags, self: Command) => {
      const flags = self.optsWithGlobals<PirateQueueFlags>();
      if (flags.simple) refuseHeartbeats(self);
      return run(flags);
    });
  addHeartbeats(command, 'a worker', paranoidQueueRules);
  addQueueing(command, queueRules);
  addServing(command, queueRules);
}

async function run(flags: PirateQueueFlags): Promise<void> {
  const frontends = atLeastOne('frontend', flags.frontend);
  const backends = atLeastOne('backend', flags.backend);
  await serve('pirate-queue', flags, (logger) => {
    const queue = open(flags, logger);
    return {
      start: async () => {
        const bound: string[] = [];
        for (const endpoint of frontends) bound.push(await queue.bindFrontend(endpoint));
        for (const endpoint of backends) bound.push(await queue.bindBackend(endpoint));
        return bound;
      },
      close: () => queue.close(),
    };
  });
}

function open(flags: PirateQueueFlags, logger: Logger): ParanoidPirateQueue | SimplePirateQueue {
  return flags.simple
    ? new SimplePirateQueue({ ...optionsAmong(flags, queueRules), logger })
    : new ParanoidPirateQueue({ ...optionsAmong(flags, paranoidQueueRules), logger });
}
