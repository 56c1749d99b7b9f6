/** `unsinkable pirate-worker`: a Paranoid or Simple Pirate worker: an echo, or any shell command. */
import type { Command } from 'commander';
import type { Logger } from '../core/logger.ts';
import { paranoidWorkerRules, workerRules } from '../pirate/options.ts';
import { ParanoidPirateWorker, SimplePirateWorker } from '../pirate/worker.ts';
import { addHandler, execHelp, handlerFor, type HandlerFlags } from './handlers.ts';
import {
  addHeartbeats,
  addServing,
  atLeastOne,
  endpoints,
  optionsAmong,
  refuseHeartbeats,
  type HeartbeatFlags,
  type ServingFlags,
} from './options.ts';
import { serve } from './serve.ts';

interface PirateWorkerFlags extends ServingFlags, HeartbeatFlags, HandlerFlags {
  readonly connect?: readonly string[];
  readonly simple?: boolean;
}

const HELP = `
Prints one line when a queue has answered: ready pirate-worker ENDPOINT. It then reconnects for ever. With
--simple no queue answers: the line says that it has begun, and names the first endpoint.
${execHelp} It is killed, with all it started, when the session with the queue ends or the worker
stops; a worker killed by SIGKILL leaves it running.
SIGINT or SIGTERM drains: what runs may finish. A second one ends at once.

Example:
  $ unsinkable pirate-worker --connect tcp://127.0.0.1:5556 --exec 'tr a-z A-Z'
  ready pirate-worker tcp://127.0.0.1:5556`;

/** Adds the command. */
export function addPirateWorker(program: Command): void {
  const command = program
    .command('pirate-worker')
    .description('a Pirate worker: an echo, or any shell command, for one request at a time')
    .addOption(endpoints('--connect <endpoint>', 'a queue, or others to use when it is lost'))
    .option('--simple', 'without heartbeats, for a Simple Pirate queue')
    .addHelpText('after', HELP)
    .action((_flags: PirateWorkerFlags, self: Command) => {
      const flags = self.optsWithGlobals<PirateWorkerFlags>();
      if (flags.simple) refuseHeartbeats(self);
      return run(flags);
    });
  addHandler(command);
  addHeartbeats(command, 'the queue', paranoidWorkerRules);
  addServing(command, workerRules);
}

async function run(flags: PirateWorkerFlags): Promise<void> {
  const connect = atLeastOne('connect', flags.connect);
  await serve('pirate-worker', flags, (logger) => {
    const worker = open(flags, logger);
    return {
      start: async () => {
        const [first] = connect;
        const answered = new Promise<string>((resolve) => {
          if (worker instanceof SimplePirateWorker) resolve(first);
          else worker.once('ready', ({ endpoint }) => resolve(endpoint));
        });
        worker.connect(connect);
        return [await answered];
      },
      close: () => worker.close(),
    };
  });
}

function open(flags: PirateWorkerFlags, logger: Logger): ParanoidPirateWorker | SimplePirateWorker {
  const handler = handlerFor(flags, logger);
  return flags.simple
    ? new SimplePirateWorker(handler, { ...optionsAmong(flags, workerRules), logger })
    : new ParanoidPirateWorker(handler, { ...optionsAmong(flags, paranoidWorkerRules), logger });
}
