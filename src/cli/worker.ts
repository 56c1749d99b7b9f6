/** `unsinkable worker`: a Majordomo worker whose handler is an echo or a shell command. */
import type { Command } from 'commander';
import { workerRules } from '../majordomo/options.ts';
import { MajordomoWorker } from '../majordomo/worker/worker.ts';
import { addHandler, execHelp, handlerFor, type HandlerFlags } from './handlers.ts';
import {
  addHeartbeats,
  addServing,
  atLeastOne,
  endpoints,
  numeric,
  optionsAmong,
  protocol,
  type HeartbeatFlags,
  type Protocol,
  type ServingFlags,
} from './options.ts';
import { serve } from './serve.ts';

interface WorkerFlags extends ServingFlags, HeartbeatFlags, HandlerFlags {
  readonly concurrency: number;
  readonly connect?: readonly string[];
  readonly protocol: Protocol;
}

const HELP = `
Prints one line when a broker has answered: ready worker ENDPOINT. It then reconnects for ever.
${execHelp} It is killed, with all it started, when its client cancels, its time is over, the session
with the broker ends or the worker stops. Cancelling needs express on both sides, and a worker killed
by SIGKILL leaves it running.
SIGINT or SIGTERM drains: what runs may finish. A second one ends at once.

Example:
  $ unsinkable worker upper --connect tcp://127.0.0.1:5555 --exec 'tr a-z A-Z'
  ready worker tcp://127.0.0.1:5555`;

/** Adds the command. */
export function addWorker(program: Command): void {
  const rules = workerRules;
  const command = program
    .command('worker')
    .argument('<service>', 'the service it offers')
    .description('a Majordomo worker: an echo, or any shell command as a service')
    .addOption(endpoints('--connect <endpoint>', 'a broker, or others to use when it is lost'))
    .addHelpText('after', HELP)
    .action((service: string, _flags: WorkerFlags, self: Command) =>
      run(service, self.optsWithGlobals()),
    );
  addHandler(command)
    .addOption(protocol('what it speaks'))
    .addOption(
      numeric('--concurrency <count>', 'requests handled at the same time', rules.concurrency),
    );
  addHeartbeats(command, 'the broker', rules);
  addServing(command, rules);
}

async function run(service: string, flags: WorkerFlags): Promise<void> {
  const connect = atLeastOne('connect', flags.connect);
  await serve('worker', flags, (logger) => {
    const options = { ...optionsAmong(flags, workerRules), logger };
    const worker = new MajordomoWorker(service, handlerFor(flags, logger), options);
    return {
      start: async () => {
        const answered = new Promise<string>((resolve) =>
          worker.once('ready', ({ endpoint }) => resolve(endpoint)),
        );
        worker.connect(connect);
        return [await answered];
      },
      close: () => worker.close(),
    };
  });
}
