/**
 * What makes a broker one of a pair: its options on the command line, and the BinaryStar that they
 * describe. A broker without them is alone, as ever.
 */
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { Logger } from '../core/logger.ts';
import type { BinaryStar } from '../failover/binary-star.ts';
import { binaryStarRules, type BinaryStarOptions } from '../failover/options.ts';
import { UsageError } from './failure.ts';
import { endpoint, numeric } from './options.ts';

/** All of them are left out where there is no pair. */
export interface PairFlags {
  readonly primary?: boolean;
  readonly backup?: boolean;
  readonly peer?: string;
  readonly pair?: string;
  readonly witness?: string;
  readonly name?: string;
  readonly store?: string;
  readonly advertise?: string;
  readonly lease?: number;
  readonly peerInterval?: number;
  readonly peerLiveness?: number;
  readonly stockPeer?: boolean;
  readonly promote?: boolean;
}

/** What is different from one kind of server to the next. */
export interface PairPlaces {
  /** The option for the file of epochs. */
  readonly epochs: '--store' | '--epochs';
  /** So many ports above that for clients is where the other one of the pair finds it. */
  readonly above: number;
  /** What is under `above`, as words. */
  readonly pair: string;
  /** Whether the other one may be of another make. */
  readonly stockPeer: boolean;
}

const BROKER: PairPlaces = {
  epochs: '--store',
  above: 1,
  pair: 'the port above that of --bind',
  stockPeer: true,
};

/** A pair as the command line describes it, complete and without contradictions. */
export interface PairSettings {
  readonly options: BinaryStarOptions;
  /** Where the peer finds this one. */
  readonly bind: string;
  /** Whether it shall serve whatever is lost by that. */
  readonly promote: boolean;
}

/** For `--help`. */
export const pairHelp = `
A pair: two brokers, of which one serves. The other takes over when that is gone; clients and workers connect to both.
Give each the other's --pair as --peer. With --witness only the holder of its lease serves, and there are never two.
Without, clients vote: the other takes over when its peer is silent and a client comes to it; cut off from each other,
both may serve. Epochs are kept in the file of --store: one for each of the two, and never an old copy of it.
SIGUSR2, or --promote at the start, says: serve if the other is not heard, even if it has done things that are lost then.

Example of a pair:
  $ unsinkable witness --bind tcp://10.0.0.3:5557
  $ unsinkable broker --primary --bind tcp://10.0.0.1:5555 --peer tcp://10.0.0.2:5556 --witness tcp://10.0.0.3:5557
  $ unsinkable broker --backup --bind tcp://10.0.0.2:5555 --peer tcp://10.0.0.1:5556 --witness tcp://10.0.0.3:5557
  $ unsinkable worker upper --connect tcp://10.0.0.1:5555 --connect tcp://10.0.0.2:5555 --exec 'tr a-z A-Z'
  $ unsinkable request upper hello --connect tcp://10.0.0.1:5555 --connect tcp://10.0.0.2:5555
  HELLO`;

/** What must not be there without a role, as it is written. */
const OF_A_PAIR = {
  peer: '--peer',
  pair: '--pair',
  witness: '--witness',
  name: '--name',
  store: '--store',
  advertise: '--advertise',
  lease: '--lease',
  peerInterval: '--peer-interval',
  peerLiveness: '--peer-liveness',
  stockPeer: '--stock-peer',
  promote: '--promote',
} as const satisfies Partial<Record<keyof PairFlags, string>>;

/** Adds the options. None of them has a default here: what is left out is the BinaryStar's to choose. */
export function addPair(command: Command, { epochs, pair, stockPeer }: PairPlaces = BROKER): void {
  const rules = binaryStarRules;
  const { default: lease } = rules.lease;
  command
    .option('--primary', 'one of a pair: the one that serves if both could')
    .option('--backup', 'one of a pair: the other one')
    .addOption(endpoint('--peer <endpoint>', 'where the other one of the pair has its --pair'))
    .addOption(
      endpoint('--pair <endpoint>', `where the other one finds this one (default: ${pair})`),
    )
    .addOption(endpoint('--witness <endpoint>', 'the witness of the pair (default: clients vote)'))
    .addOption(
      new Option(
        '--name <text>',
        `the same at both and at no other pair (default: ${rules.name.default})`,
      ).argParser(pairName),
    )
    .option(
      `${epochs} <file>`,
      'where epochs are kept (default: a file here, named after the pair)',
    )
    .addOption(
      endpoint('--advertise <endpoint>', 'where clients reach this one, if not where it is bound'),
    )
    .addOption(
      numeric(
        '--lease <ms>',
        `that a witness gives: nobody serves for so long after a loss (default: ${lease})`,
        { ...rules.lease, default: undefined },
      ),
    )
    .addOption(
      numeric(
        '--peer-interval <ms>',
        'between two words to the other one (default: 250, to a stock peer 1000)',
        rules.heartbeatInterval,
      ),
    )
    .addOption(
      numeric(
        '--peer-liveness <count>',
        'intervals of silence after which the other one is lost (default: 4, a stock peer 2)',
        rules.heartbeatLiveness,
      ),
    )
    .option('--promote', 'serve if the other one is not heard, whatever is lost by that');
  if (!stockPeer) return;
  command.option(
    '--stock-peer',
    'the other one is of another make: states on PUB/SUB, clients vote',
  );
}

function pairName(text: string): string {
  const rule = binaryStarRules.name;
  if (rule.accepts(text)) return text;
  throw new InvalidArgumentError(`It must be ${rule.expected}.`);
}

/**
 * @param bind where clients and workers find the broker, of which the first counts
 * @returns undefined if the broker is alone
 * @throws UsageError saying what to add or to leave out
 */
export function pairIn(
  flags: PairFlags,
  bind: string,
  { epochs, above }: PairPlaces = BROKER,
): PairSettings | undefined {
  const role = roleIn(flags, epochs);
  if (role === undefined) return undefined;
  const { peer, witness, lease } = flags;
  if (peer === undefined) {
    throw new UsageError(
      `--peer is missing: give the endpoint where the other one of the pair has its --pair, such as tcp://HOST:5556`,
    );
  }
  if (flags.stockPeer && witness !== undefined) {
    throw new UsageError(
      'a stock peer knows no witness: leave out either --stock-peer or --witness',
    );
  }
  if (lease !== undefined && witness === undefined) {
    throw new UsageError('a lease is what a witness gives: add --witness, or leave out --lease');
  }
  const own = flags.pair ?? besideOf(bind, above);
  if (own === peer) {
    throw new UsageError(`--peer ${peer} is this one itself: give the --pair of the other one`);
  }
  return {
    bind: own,
    promote: flags.promote ?? false,
    options: {
      role,
      peer,
      witness,
      lease,
      name: flags.name,
      store: flags.store,
      advertise: flags.advertise,
      protocol: flags.stockPeer ? 'stock' : 'own',
      heartbeatInterval: flags.peerInterval,
      heartbeatLiveness: flags.peerLiveness,
    },
  };
}

function roleIn(flags: PairFlags, epochs: PairPlaces['epochs']): 'primary' | 'backup' | undefined {
  const { primary, backup } = flags;
  if (primary && backup) {
    throw new UsageError('either --primary or --backup: each of the pair is one of them');
  }
  if (primary) return 'primary';
  if (backup) return 'backup';
  for (const [name, option] of Object.entries(OF_A_PAIR)) {
    if (flags[name as keyof typeof OF_A_PAIR] === undefined) continue;
    const written = name === 'store' ? epochs : option;
    throw new UsageError(`${written} is for one of a pair: add --primary or --backup`);
  }
  return undefined;
}

/** Where the peer finds a server that clients find at `bind`: a port, or a path, beside that. */
function besideOf(bind: string, above: number): string {
  if (bind.startsWith('ipc://') && bind !== 'ipc://*') return `${bind}.pair`;
  const [, before, port] = /^(tcp:\/\/.+:)([1-9]\d*)$/.exec(bind) ?? [];
  if (before === undefined || Number(port) + above > 65_535) {
    throw new UsageError(
      `--pair is missing: there is no port beside ${bind}, so say where the other one finds this one`,
    );
  }
  return `${before}${Number(port) + above}`;
}

/** Lets a person say, while it runs, that it shall serve. */
export function promoteOnSignal(star: BinaryStar, logger: Logger): void {
  process.on('SIGUSR2', () => {
    logger.warn({ signal: 'SIGUSR2' }, 'promoting');
    star.promote();
  });
}
