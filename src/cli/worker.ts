/** `unsinkable worker`: a Majordomo worker whose handler is an echo or a shell command. */
import type { Command } from 'commander';
import type { Logger } from '../core/logger.ts';
import { workerRules } from '../majordomo/options.ts';
import { MajordomoWorker, type WorkerHandler } from '../majordomo/worker/worker.ts';
import { endCommands, runCommand } from './exec.ts';
import { UsageError } from './failure.ts';
import { createLogger } from './log.ts';
import {
  atLeastOne,
  endpoints,
  log,
  numeric,
  protocol,
  type Protocol,
  type ServingFlags,
} from './options.ts';
import { serve } from './serve.ts';
import { listenForStop } from './signals.ts';

interface WorkerFlags extends ServingFlags {
  readonly concurrency: number;
  readonly connect?: readonly string[];
  readonly echo?: boolean;
  readonly exec?: string;
  readonly heartbeatInterval: number;
  readonly heartbeatLiveness: number;
  readonly protocol: Protocol;
}

const HELP = `
Prints one line when a broker has answered: ready worker ENDPOINT. It then reconnects for ever.
With --exec, each request runs COMMAND in the shell: the body (frames joined) is its stdin, its stdout
is the reply, of one frame. If it fails, the client gets an error with the exit code and the last line
of stderr. It is killed, with all it started, when its client cancels, its time is over, the session
with the broker ends or the worker stops. Cancelling needs express on both sides, and a worker killed
by SIGKILL leaves it running.
SIGINT or SIGTERM drains: what runs may finish. A second one ends at once.

Example:
  $ unsinkable worker upper --connect tcp://127.0.0.1:5555 --exec 'tr a-z A-Z'
  ready worker tcp://127.0.0.1:5555`;

/** Adds the command. */
export function addWorker(program: Command): void {
  const rules = workerRules;
  program
    .command('worker')
    .argument('<service>', 'the service it offers')
    .description('a Majordomo worker: an echo, or any shell command as a service')
    .addOption(endpoints('--connect <endpoint>', 'a broker, or others to use when it is lost'))
    .option('--echo', 'reply with the body of the request')
    .option('--exec <command>', 'reply with what a shell command makes of it')
    .addOption(protocol('what it speaks'))
    .addOption(
      numeric('--concurrency <count>', 'requests handled at the same time', rules.concurrency),
    )
    .addOption(
      numeric('--heartbeat-interval <ms>', 'between two heartbeats', rules.heartbeatInterval),
    )
    .addOption(
      numeric(
        '--heartbeat-liveness <count>',
        'intervals of silence after which the broker is lost',
        rules.heartbeatLiveness,
      ),
    )
    .addOption(numeric('--drain-timeout <ms>', 'how long draining may take', rules.drainTimeout))
    .addOption(log())
    .addHelpText('after', HELP)
    .action((service: string, _flags: WorkerFlags, command: Command) =>
      run(service, command.optsWithGlobals()),
    );
}

async function run(service: string, flags: WorkerFlags): Promise<void> {
  const { connect: given, echo, exec, log: style, verbose = false, ...options } = flags;
  const connect = atLeastOne('connect', given);
  const stop = listenForStop();
  const logger = createLogger(style, verbose);
  const worker = new MajordomoWorker(service, handlerFor(echo === true, exec, logger), {
    ...options,
    logger,
  });
  // However the process ends, no command outlives it.
  process.once('exit', endCommands);
  const start = async (): Promise<readonly string[]> => {
    const answered = new Promise<string>((resolve) =>
      worker.once('ready', ({ endpoint }) => resolve(endpoint)),
    );
    worker.connect(connect);
    return [await answered];
  };
  await serve({ role: 'worker', logger, start, close: () => worker.close() }, stop);
}

function handlerFor(echo: boolean, exec: string | undefined, logger: Logger): WorkerHandler {
  if (echo === (exec !== undefined)) throw new UsageError('give either --echo or --exec COMMAND');
  if (exec === undefined) return (request) => request.body;
  if (exec.trim() === '') throw new UsageError('--exec needs a command');
  return async (request) => {
    try {
      return await runCommand(exec, request.bytes(), request.signal);
    } catch (error) {
      logger.warn({ error }, 'commandFailed');
      throw error;
    }
  };
}
