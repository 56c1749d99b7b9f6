/** `unsinkable submit`: hands a request to a Titanic, and prints the id under which its reply will be. */
import { Option, type Command } from 'commander';
import { submitRules } from '../titanic/options.ts';
import { addBodyInput, checkBody, inputHelp, readBody, type BodyFlags } from './bodies.ts';
import { numeric } from './options.ts';
import { writeOutput } from './output.ts';
import { addTitanicAsking, askTitanic, type TitanicFlags } from './titanic-asking.ts';

interface SubmitFlags extends TitanicFlags, BodyFlags {
  readonly backoff?: number;
  readonly deadline?: number;
  readonly delay?: number;
  readonly id?: string;
  readonly retries?: number;
}

const HELP = `
Prints the id once the request is stored: from then on it is executed, whatever crashes. 'fetch' has the
reply, 'forget' ends it. ${inputHelp}
A submit that fails may have been stored nevertheless: repeat it under the same --id, and there is one
request. An id has 32 hexadecimal digits, a UUID without its hyphens.

Examples:
  $ unsinkable submit report 'June' --connect tcp://127.0.0.1:5555
  4f9c0e6c2b7d4d0f8f5f5f1f0c8a1e37
  $ unsinkable submit report --file june.csv --delay 3600000 --retries 5 --connect tcp://127.0.0.1:5555
  8d1b7a90c3f24e5d9b60a1f2e3d4c5b6`;

/** Adds the command. */
export function addSubmit(program: Command): void {
  const command = program
    .command('submit')
    .argument('<service>', 'the service that will be asked')
    .description('a request for a Titanic, which keeps it: prints its id')
    .addHelpText('after', HELP)
    .action((service: string, texts: string[], _flags: SubmitFlags, self: Command) =>
      run(service, texts, self.optsWithGlobals()),
    );
  addTitanicAsking(addBodyInput(command))
    .addOption(new Option('--id <id>', 'its id, so that repeating this makes no second request'))
    .addOption(numeric('--delay <ms>', 'before it is executed', submitRules.delay))
    .addOption(
      numeric(
        '--deadline <ms>',
        'within which it has to be done, or is dead',
        submitRules.deadline,
      ),
    )
    .addOption(numeric('--retries <count>', 'after attempts that failed', submitRules.retries))
    .addOption(
      numeric('--backoff <ms>', 'before the second attempt; then doubles', submitRules.backoff),
    );
}

async function run(service: string, texts: string[], flags: SubmitFlags): Promise<void> {
  const { id, delay, deadline, retries, backoff } = flags;
  checkBody(flags);
  await askTitanic(flags, async (client, signal) => {
    const body = await readBody(texts, flags, signal, () => {});
    const terms = { id, delay, deadline, retries, backoff, signal };
    await writeOutput(`${await client.submit(service, body, terms)}\n`);
  });
}
