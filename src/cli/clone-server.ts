/** `unsinkable clone-server`: a map of keys and values of which many have a replica; alone, or one of a pair. */
import { InvalidArgumentError, Option, type Command } from 'commander';
import { serverRules, type Replication } from '../clone/options.ts';
import { CloneServer } from '../clone/server/server.ts';
import { BindError } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import { BinaryStar } from '../failover/binary-star.ts';
import { storageRules, type Durability } from '../storage/options.ts';
import { UsageError } from './failure.ts';
import {
  addHeartbeats,
  addServing,
  numeric,
  optionsAmong,
  type HeartbeatFlags,
  type ServingFlags,
} from './options.ts';
import { addPair, pairIn, promoteOnSignal, type PairFlags, type PairPlaces } from './pair.ts';
import { serve, type Service } from './serve.ts';

interface CloneServerFlags extends ServingFlags, HeartbeatFlags, Omit<PairFlags, 'store'> {
  readonly acceptDamage?: boolean;
  readonly durability: Durability;
  readonly epochs?: string;
  readonly historyLimit: number;
  readonly host: string;
  readonly port?: string;
  readonly replication: Replication;
  readonly stock: boolean;
  readonly store?: string;
}

/** Two ports are for stock clients, and the next one for the other server of a pair. */
const PLACES: PairPlaces = {
  epochs: '--epochs',
  above: 3,
  pair: 'three ports above --port',
  stockPeer: false,
};

const HELP = `
Prints one line when it serves: ready clone-server ENDPOINT
Without --store the map is gone when it ends, of a pair when both end. Stock clients of 12/CHP are served on the port and
the two above it, unless --no-stock says that there are none.
SIGINT or SIGTERM drains: writes that were taken are brought out. A second one ends at once.
A pair: two servers, of which one serves and the other has all that it has; clients connect to both. Give each the other's
--pair as --peer. With --witness only the holder of its lease serves, and there are never two. SIGUSR2, or --promote at the
start, says: serve if the other is not heard, even if it has done things that are lost then.

Examples:
  $ unsinkable clone-server --port 5556 --store ./state
  ready clone-server tcp://127.0.0.1:5556
  $ unsinkable witness --bind tcp://10.0.0.3:5560
  $ unsinkable clone-server --primary --host 10.0.0.1 --port 5556 --peer tcp://10.0.0.2:5559 --witness tcp://10.0.0.3:5560
  $ unsinkable clone-server --backup --host 10.0.0.2 --port 5556 --peer tcp://10.0.0.1:5559 --witness tcp://10.0.0.3:5560
  $ unsinkable clone watch /config/ --connect tcp://10.0.0.1:5556 --connect tcp://10.0.0.2:5556`;

/** Adds the command. */
export function addCloneServer(program: Command): void {
  const command = program
    .command('clone-server')
    .description('a Clone server: a map of which clients have a replica, alone or one of a pair')
    .addOption(
      new Option(
        '--port <number>',
        "where to serve; with --no-stock, '*' is any free one",
      ).argParser(portIn),
    )
    .addOption(new Option('--host <host>', 'an address of this machine').default('127.0.0.1'))
    .option('--store <folder>', 'where the map is kept; made if it is not there (default: nowhere)')
    .addOption(
      new Option(
        '--durability <kind>',
        "when a write counts as stored; 'os': not after a power cut",
      )
        .choices(['fsync', 'os'])
        .default(storageRules.durability.default),
    )
    .option(
      '--accept-damage',
      'open a store that has lost records, and take what is left as the truth',
    )
    .option('--no-stock', 'serve no stock clients: then no port above is used for them')
    .addOption(
      new Option('--replication <mode>', 'of a pair: when a write is acknowledged')
        .choices(['sync', 'async'])
        .default(serverRules.replication.default),
    )
    .addOption(
      numeric(
        '--history-limit <count>',
        'updates kept for clients that missed some',
        serverRules.historyLimit,
      ),
    )
    .addHelpText('after', HELP)
    .action((_flags: CloneServerFlags, self: Command) => run(self.optsWithGlobals()));
  addPair(command, PLACES);
  addHeartbeats(command, 'a client', serverRules);
  addServing(command, serverRules);
}

function portIn(text: string): string {
  const isPort = /^[1-9]\d{0,4}$/.test(text) && Number(text) <= 65_535;
  if (isPort || text === '*' || text === '0') return text;
  throw new InvalidArgumentError("It must be a port from 1 to 65535, or '*'.");
}

async function run(flags: CloneServerFlags): Promise<void> {
  const { host, port, stock, epochs, ...others } = flags;
  if (port === undefined) {
    throw new UsageError('--port is missing: give the port for clients, such as 5556');
  }
  if (stock && (port === '*' || port === '0')) {
    throw new UsageError(
      `--port '${port}' has no two ports above it for stock clients: name a port, or add --no-stock`,
    );
  }
  const bind = `tcp://${host}:${port}`;
  const { store: _folder, ...ofPair } = others;
  const pair = pairIn(epochs === undefined ? ofPair : { ...ofPair, store: epochs }, bind, PLACES);
  await serve('clone-server', flags, (logger) => {
    if (pair === undefined) return serviceOf(flags, bind, logger);
    const star = new BinaryStar({ ...pair.options, logger });
    const server = serviceOf(flags, bind, logger, star);
    promoteOnSignal(star, logger);
    return {
      start: async () => {
        await star.bind(pair.bind);
        if (pair.promote) star.promote();
        return await server.start();
      },
      close: async () => {
        // First, as what is under way in it may only finish while it is the one to serve.
        await server.close();
        await star.close();
      },
    };
  });
}

function serviceOf(
  flags: CloneServerFlags,
  bind: string,
  logger: Logger,
  failover?: BinaryStar,
): Service {
  const { store, durability, acceptDamage, stock } = flags;
  const storage = { durability, damage: acceptDamage ? 'accept' : 'refuse' } as const;
  const options = optionsAmong(flags, serverRules);
  const kept = store === undefined ? {} : { store, storage };
  const server = new CloneServer({ ...options, ...kept, failover, logger });
  return {
    start: async () => [await bound(server, bind, stock)],
    close: () => server.close(),
  };
}

/** The endpoint where it serves. Whoever lacks a port for stock clients is told how to do without them. */
async function bound(server: CloneServer, bind: string, stock: boolean): Promise<string> {
  try {
    return await server.bind(bind, { stock });
  } catch (error) {
    if (!(error instanceof BindError) || error.endpoint === bind) throw error;
    const message = `${error.message}; or add --no-stock`;
    throw new BindError(error.code, error.endpoint, message);
  }
}
