/** `unsinkable freelance-server`: a Freelance server: an echo, or any shell command. */
import type { Command } from 'commander';
import { serverRules } from '../freelance/options.ts';
import { FreelanceServer } from '../freelance/server.ts';
import { addHandler, execHelp, handlerFor, type HandlerFlags } from './handlers.ts';
import {
  addServing,
  atLeastOne,
  endpoints,
  numeric,
  optionsAmong,
  type ServingFlags,
} from './options.ts';
import { serve } from './serve.ts';

interface FreelanceServerFlags extends ServingFlags, HandlerFlags {
  readonly bind?: readonly string[];
  readonly concurrency: number;
  readonly publicEndpoint?: string;
}

const HELP = `
Prints one line when it serves, with the real endpoints: ready freelance-server ENDPOINT...
${execHelp} It is killed, with all it started, when its client leaves or the server stops; a server killed
by SIGKILL leaves it running.
SIGINT or SIGTERM drains: what runs may finish, what waits is refused. A second one ends at once.

Example:
  $ unsinkable freelance-server --bind tcp://127.0.0.1:5555 --exec 'tr a-z A-Z'
  ready freelance-server tcp://127.0.0.1:5555`;

/** Adds the command. */
export function addFreelanceServer(program: Command): void {
  const command = program
    .command('freelance-server')
    .description('a Freelance server: an echo, or any shell command, without a broker')
    .addOption(endpoints('--bind <endpoint>', "where to serve; port '*' is any free one"))
    .option('--public-endpoint <endpoint>', 'where clients connect, if that is not --bind')
    .addHelpText('after', HELP)
    .action((_flags: FreelanceServerFlags, self: Command) => run(self.optsWithGlobals()));
  const concurrency = 'requests handled at the same time';
  addHandler(command).addOption(
    numeric('--concurrency <count>', concurrency, serverRules.concurrency),
  );
  addServing(command, serverRules);
}

async function run(flags: FreelanceServerFlags): Promise<void> {
  const bind = atLeastOne('bind', flags.bind);
  await serve('freelance-server', flags, (logger) => {
    const options = { ...optionsAmong(flags, serverRules), logger };
    const server = new FreelanceServer(handlerFor(flags, logger), options);
    return {
      start: async () => {
        for (const endpoint of bind) await server.bind(endpoint);
        return server.endpoints;
      },
      close: () => server.close(),
    };
  });
}
