/** `unsinkable fetch`: the reply to a request that a Titanic has, on stdout. */
import type { Command } from 'commander';
import { fetchRules } from '../titanic/options.ts';
import { outputHelp, writeBody, type BodyFlags } from './bodies.ts';
import { StillPending } from './failure.ts';
import { numeric } from './options.ts';
import { addTitanicAsking, askTitanic, type TitanicFlags } from './titanic-asking.ts';

interface FetchFlags extends TitanicFlags, Pick<BodyFlags, 'raw'> {
  readonly wait: number;
}

const HELP = `
The reply stays where it is, and is the same ever after, until 'forget' or the Titanic's retention.
Exit code 3: it is not there yet (ERR_PENDING), or no Titanic answers (ERR_REQUEST_TIMEOUT). Exit code 4: the
id is unknown, or the request has failed for good (a dead letter): the error says why.
${outputHelp}

Examples:
  $ unsinkable fetch 4f9c0e6c2b7d4d0f8f5f5f1f0c8a1e37 --connect tcp://127.0.0.1:5555
  error ERR_PENDING: the reply is not there yet: ask again later, or let --wait wait for it
  $ unsinkable fetch 4f9c0e6c2b7d4d0f8f5f5f1f0c8a1e37 --wait 60000 --connect tcp://127.0.0.1:5555
  the report of June`;

/** Adds the command. */
export function addFetch(program: Command): void {
  const command = program
    .command('fetch')
    .argument('<id>', 'what submit has printed')
    .description('the reply to a request that a Titanic has')
    .option('--raw', 'print the bytes of the reply and nothing else')
    .addHelpText('after', HELP)
    .action((id: string, _flags: FetchFlags, self: Command) => run(id, self.optsWithGlobals()));
  const wait = 'how long to wait for the reply, or Infinity';
  addTitanicAsking(command).addOption(numeric('--wait <ms>', wait, fetchRules.wait));
}

async function run(id: string, flags: FetchFlags): Promise<void> {
  const { wait } = flags;
  await askTitanic(flags, async (client, signal) => {
    const reply = await client.fetch(id, { wait, signal });
    if (reply === undefined) {
      const hint = 'ask again later, or let --wait wait for it';
      throw new StillPending('ERR_PENDING', `the reply is not there yet: ${hint}`);
    }
    await writeBody(reply.body, flags);
  });
}
