/** `unsinkable services`: what a broker offers, as a table or as JSON. */
import type { Command } from 'commander';
import type { ServiceStatus } from '../majordomo/broker/broker-events.ts';
import { MajordomoClient } from '../majordomo/client/client.ts';
import { clientRules } from '../majordomo/options.ts';
import { createLogger } from './log.ts';
import { atLeastOne, endpoints, numeric, type CommonFlags } from './options.ts';
import { writeOutput } from './output.ts';
import { listenForStop } from './signals.ts';
import { table, type Column } from './table.ts';

interface ServicesFlags extends CommonFlags {
  readonly connect?: readonly string[];
  readonly json?: boolean;
  readonly retries: number;
  readonly timeout: number;
}

const HELP = `
Columns: the workers of the service, how many of them wait for a request, and the requests that are
queued for a worker. --json prints one array of objects with the keys name, workers, waiting, stalled
(alive, but their event loop does not turn), running, credit (how many they take together), queued.

Example:
  $ unsinkable services --connect tcp://127.0.0.1:5555
  service   workers   waiting   queued
  upper           2         1        0`;

/** Adds the command. */
export function addServices(program: Command): void {
  program
    .command('services')
    .description('the services of a broker, their workers and queues')
    .addOption(endpoints('--connect <endpoint>', 'the broker, or others to ask when it fails'))
    .option('--json', 'print JSON')
    .addOption(numeric('--timeout <ms>', 'for the whole with its retries', clientRules.timeout))
    .addOption(numeric('--retries <count>', 'how often to try again', clientRules.retries))
    .addHelpText('after', HELP)
    .action((_flags: ServicesFlags, command: Command) => run(command.optsWithGlobals()));
}

const COLUMNS: readonly Column[] = [
  ['service', 'left'],
  ['workers', 'right'],
  ['waiting', 'right'],
  ['queued', 'right'],
];

async function run(flags: ServicesFlags): Promise<void> {
  const { json, timeout, retries, verbose } = flags;
  const connect = atLeastOne('connect', flags.connect);
  const { signal } = listenForStop();
  const client = new MajordomoClient({ logger: verbose ? createLogger('human', true) : undefined });
  try {
    client.connect(connect);
    const services = await client.services({ timeout, retries, signal });
    await writeOutput(`${json ? JSON.stringify(services) : describe(services, connect[0])}\n`);
  } finally {
    await client.close();
  }
}

function describe(services: readonly ServiceStatus[], endpoint: string): string {
  if (services.length === 0) {
    return `no services yet: offer one with 'unsinkable worker SERVICE --connect ${endpoint} --echo'`;
  }
  const rows = services.map(({ name, workers, waiting, queued }) => [
    name,
    workers,
    waiting,
    queued,
  ]);
  return table(COLUMNS, rows);
}
