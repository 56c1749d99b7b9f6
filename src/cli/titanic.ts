/** `unsinkable titanic`: a Titanic server; and, as commands below it, what its operator asks it. */
import { Option, type Command } from 'commander';
import type { Durability } from '../storage/options.ts';
import { storageRules } from '../storage/options.ts';
import { titanicRules } from '../titanic/options.ts';
import { Titanic } from '../titanic/titanic.ts';
import { UsageError } from './failure.ts';
import {
  addHeartbeats,
  addServing,
  atLeastOne,
  endpoints,
  numeric,
  optionsAmong,
  type HeartbeatFlags,
  type ServingFlags,
} from './options.ts';
import { serve } from './serve.ts';
import { addTitanicOperator } from './titanic-operator.ts';

interface TitanicServerFlags extends ServingFlags, HeartbeatFlags {
  readonly acceptDamage?: boolean;
  readonly attemptTimeout: number;
  readonly concurrency: number;
  readonly connect?: readonly string[];
  readonly durability: Durability;
  readonly retentionAge: number;
  readonly retries: number;
  readonly store?: string;
}

const HELP = `
Keeps requests in the folder of --store until they are done, and their replies until somebody says 'forget'; what runs when
it is killed runs again. It is a worker and a client of a Majordomo broker: prints one line when that has answered and the
store is read: ready titanic ENDPOINT. It then reconnects for ever. One process has a store at a time.
SIGINT or SIGTERM drains: what runs may finish. A second one ends at once.

Examples:
  $ unsinkable titanic --connect tcp://127.0.0.1:5555 --store ./titanic-store
  ready titanic tcp://127.0.0.1:5555
  $ unsinkable titanic status --connect tcp://127.0.0.1:5555
  delayed   waiting   running   done   dead   closed   store
        0         2         1     97      0       12   open, fsync`;

/** Adds the command, and the operator's below it. */
export function addTitanic(program: Command): void {
  const rules = titanicRules;
  const command = program
    .command('titanic')
    .usage('[options] [command]')
    .description('a Titanic: keeps requests and replies on disk, whatever crashes in between')
    .addOption(endpoints('--connect <endpoint>', 'a broker, or others to use when it is lost'))
    .option('--store <folder>', 'where requests and replies are kept; made if it is not there')
    .addOption(
      numeric('--concurrency <count>', 'requests of one service that run', rules.concurrency),
    )
    .addOption(
      numeric(
        '--attempt-timeout <ms>',
        'how long one attempt may take; longer than your longest handler',
        rules.attemptTimeout,
      ),
    )
    .addOption(
      numeric(
        '--retries <count>',
        'after attempts that failed, unless a request says its own',
        rules.retries,
      ),
    )
    .addOption(
      numeric(
        '--retention-age <ms>',
        'how long replies and dead letters are kept',
        rules.retentionAge,
      ),
    )
    .addOption(
      new Option(
        '--durability <kind>',
        "when a request counts as stored; 'os': not after a power cut",
      )
        .choices(['fsync', 'os'])
        .default(storageRules.durability.default),
    )
    .option(
      '--accept-damage',
      'open a store that has lost records, and take what is left as the truth',
    )
    .addHelpText('after', HELP)
    .action((_flags: TitanicServerFlags, self: Command) => run(self.optsWithGlobals()));
  addHeartbeats(command, 'the broker', rules);
  addServing(command, rules);
  addTitanicOperator(command);
}

async function run(flags: TitanicServerFlags): Promise<void> {
  const { store, durability, acceptDamage } = flags;
  const connect = atLeastOne('connect', flags.connect);
  if (store === undefined) {
    throw new UsageError('--store is missing: give a folder such as ./titanic-store');
  }
  await serve('titanic', flags, (logger) => {
    const storage = { durability, damage: acceptDamage ? 'accept' : 'refuse' } as const;
    const opening = Titanic.open(store, { ...optionsAmong(flags, titanicRules), storage, logger });
    return {
      start: async () => {
        const titanic = await opening;
        const found = new Promise<string>((resolve) =>
          titanic.once('brokerFound', ({ endpoint }) => resolve(endpoint)),
        );
        titanic.connect(connect);
        const endpoint = await found;
        // That was one of its services; requests are taken when all are offered.
        await titanic.ready();
        return [endpoint];
      },
      close: async () => {
        const titanic = await opening.catch(() => undefined); // start has told why
        await titanic?.close();
      },
    };
  });
}
