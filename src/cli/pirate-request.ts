/** `unsinkable pirate-request`: one request of a Lazy Pirate client, and its reply on stdout. */
import type { Command } from 'commander';
import { LazyPirateClient } from '../pirate/client.ts';
import { clientRules } from '../pirate/options.ts';
import { addAsking, askOnce, type AskFlags } from './ask.ts';
import { bodyHelp } from './bodies.ts';

const HELP = `
Asks a Pirate queue, or any server that answers each request once, a REP socket for example. What is
not answered in its share of --timeout is asked again, of the next endpoint: a worker may see it twice.
${bodyHelp} Ctrl-C cancels the request.

Example:
  $ unsinkable pirate-request hello --connect tcp://127.0.0.1:5555
  HELLO`;

/** Adds the command. */
export function addPirateRequest(program: Command): void {
  const command = program
    .command('pirate-request')
    .description('one request to a Pirate queue, the reply on stdout')
    .addHelpText('after', HELP)
    .action((texts: string[], _flags: AskFlags, self: Command) =>
      run(texts, self.optsWithGlobals()),
    );
  addAsking(command, 'a queue, or others to use when it fails', clientRules);
}

async function run(texts: string[], flags: AskFlags): Promise<void> {
  await askOnce(texts, flags, {
    open: (logger) => new LazyPirateClient({ logger }),
    ask: async (client, body, terms, print) => print((await client.request(body, terms)).body),
  });
}
