/** `unsinkable freelance-request`: one request to the best of several servers, its reply on stdout. */
import { Option, type Command } from 'commander';
import { FreelanceClient } from '../freelance/client.ts';
import { clientRules, STRATEGIES, type FreelanceStrategy } from '../freelance/options.ts';
import { addAsking, askOnce, type AskFlags } from './ask.ts';
import { bodyHelp } from './bodies.ts';

interface FreelanceRequestFlags extends AskFlags {
  readonly strategy: FreelanceStrategy;
}

const HELP = `
Asks whichever of its servers is found first, and another one when that is lost or slow: a server may see
the request twice. --strategy all asks every live server; the first answer wins.
${bodyHelp} Ctrl-C cancels the request.

Example:
  $ unsinkable freelance-request hello --connect tcp://127.0.0.1:5555 --connect tcp://127.0.0.1:5556
  HELLO`;

/** Adds the command. */
export function addFreelanceRequest(program: Command): void {
  const command = program
    .command('freelance-request')
    .description('one request to the best of several servers, the reply on stdout')
    .addHelpText('after', HELP)
    .action((texts: string[], _flags: FreelanceRequestFlags, self: Command) =>
      run(texts, self.optsWithGlobals()),
    );
  addAsking(command, 'a server', clientRules).addOption(
    new Option('--strategy <name>', 'which of the live servers is asked')
      .choices(STRATEGIES)
      .default(clientRules.strategy.default),
  );
}

async function run(texts: string[], flags: FreelanceRequestFlags): Promise<void> {
  await askOnce(texts, flags, {
    open: (logger) => new FreelanceClient({ strategy: flags.strategy, logger }),
    ask: async (client, body, terms, print) => print((await client.request(body, terms)).body),
  });
}
