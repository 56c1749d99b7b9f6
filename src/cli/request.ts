/** `unsinkable request`: one request, and its reply on stdout. */
import { InvalidArgumentError, Option, type Command } from 'commander';
import { MajordomoClient } from '../majordomo/client/client.ts';
import { clientRules, requestRules } from '../majordomo/options.ts';
import { addAsking, askOnce, type AskFlags } from './ask.ts';
import { bodyHelp } from './bodies.ts';
import { UsageError } from './failure.ts';
import { numeric, protocol, type Protocol } from './options.ts';

interface RequestFlags extends AskFlags {
  readonly failFast?: boolean;
  readonly header?: Readonly<Record<string, string>>;
  readonly idempotencyKey?: string;
  readonly priority?: number;
  readonly protocol: Protocol;
  readonly stream?: boolean;
}

const HELP = `
${bodyHelp} Ctrl-C cancels the request.

Examples:
  $ unsinkable request upper hello --connect tcp://127.0.0.1:5555
  HELLO
  $ unsinkable request gzip --file - --raw --connect tcp://127.0.0.1:5555 < notes.txt > notes.gz`;

/** Adds the command. */
export function addRequest(program: Command): void {
  const command = program
    .command('request')
    .argument('<service>', 'the service to ask')
    .description('one request to a service, the reply on stdout')
    .addHelpText('after', HELP)
    .action((service: string, texts: string[], _flags: RequestFlags, self: Command) =>
      run(service, texts, self.optsWithGlobals()),
    );
  addAsking(command, 'a broker, or others to use when it fails', clientRules)
    .addOption(protocol('what to speak'))
    .option('--stream', 'print the parts of the reply as they come')
    .addOption(
      new Option(
        '--idempotency-key <key>',
        'run once for this key, however often it is asked (needs express)',
      ).argParser((key: string) => {
        const { expected } = requestRules.idempotencyKey;
        if (requestRules.idempotencyKey.accepts(key)) return key;
        throw new InvalidArgumentError(`It must be ${expected}.`);
      }),
    )
    .addOption(
      numeric('--priority <step>', 'from 0 to 9, higher goes first', requestRules.priority),
    )
    .addOption(
      new Option('--header <name=value>', 'metadata for the handler; may be repeated').argParser(
        addHeader,
      ),
    )
    .option('--fail-fast', 'fail at once if no worker is there (needs express)');
}

function addHeader(
  text: string,
  previous: Readonly<Record<string, string>> | undefined,
): Readonly<Record<string, string>> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('It must be name=value.');
  return { ...previous, [text.slice(0, at)]: text.slice(at + 1) };
}

async function run(service: string, texts: string[], flags: RequestFlags): Promise<void> {
  const { idempotencyKey, priority, header: headers, failFast } = flags;
  if (flags.stream && flags.protocol === 'mdp0.1') {
    throw new UsageError('MDP 0.1 has no partial replies: use --stream with auto or mdp0.2');
  }
  if (flags.stream && idempotencyKey !== undefined) {
    throw new UsageError('a stream is not repeated from memory: use --idempotency-key without it');
  }
  await askOnce(texts, flags, {
    open: (logger) => new MajordomoClient({ protocol: flags.protocol, logger }),
    ask: async (client, body, terms, print) => {
      const options = { ...terms, idempotencyKey, priority, headers, failFast };
      if (flags.stream) {
        for await (const part of client.stream(service, body, options)) await print(part.body);
      } else await print((await client.request(service, body, options)).body);
    },
  });
}
