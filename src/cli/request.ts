/** `unsinkable request`: one request, and its reply on stdout. */
import { readFile } from 'node:fs/promises';
import { addAbortSignal } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { Frames } from '../core/machine.ts';
import { MajordomoClient } from '../majordomo/client/client.ts';
import { clientRules, requestRules } from '../majordomo/options.ts';
import { CommandFailure, UsageError } from './failure.ts';
import { createLogger } from './log.ts';
import {
  atLeastOne,
  endpoints,
  numeric,
  protocol,
  type CommonFlags,
  type Protocol,
} from './options.ts';
import { writeOutput } from './output.ts';
import { listenForStop } from './signals.ts';

interface RequestFlags extends CommonFlags {
  readonly connect?: readonly string[];
  readonly failFast?: boolean;
  readonly file?: readonly string[];
  readonly header?: Readonly<Record<string, string>>;
  readonly idempotencyKey?: string;
  readonly priority?: number;
  readonly protocol: Protocol;
  readonly raw?: boolean;
  readonly retries: number;
  readonly stream?: boolean;
  readonly timeout: number;
}

/** What `--file` calls stdin. */
const STDIN = '-';
const NEWLINE = 0x0a;

const HELP = `
Each BODY becomes a frame of UTF-8 text, each --file a frame of its bytes, the files last; without any,
the body is one empty frame. A BODY that begins with a dash goes after '--'.
Each frame of the reply is printed as it is, and ended with a newline unless it ends with one; --raw
adds nothing. Ctrl-C cancels the request.

Examples:
  $ unsinkable request upper hello --connect tcp://127.0.0.1:5555
  HELLO
  $ unsinkable request gzip --file - --raw --connect tcp://127.0.0.1:5555 < notes.txt > notes.gz`;

/** Adds the command. */
export function addRequest(program: Command): void {
  program
    .command('request')
    .argument('<service>', 'the service to ask')
    .argument('[body...]', 'the frames of the request')
    .description('one request to a service, the reply on stdout')
    .addOption(endpoints('--connect <endpoint>', 'a broker, or others to use when it fails'))
    .addOption(
      new Option('--file <path>', "a frame from a file, '-' is stdin; may be repeated").argParser(
        (path: string, previous: readonly string[] | undefined) => [...(previous ?? []), path],
      ),
    )
    .addOption(
      numeric(
        '--timeout <ms>',
        'for the whole request with its retries, or Infinity',
        clientRules.timeout,
      ),
    )
    .addOption(numeric('--retries <count>', 'how often to try again', clientRules.retries))
    .addOption(protocol('what to speak'))
    .option('--stream', 'print the parts of the reply as they come')
    .option('--raw', 'print the bytes of the reply and nothing else')
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
    .option('--fail-fast', 'fail at once if no worker is there (needs express)')
    .addHelpText('after', HELP)
    .action((service: string, bodies: string[], _flags: RequestFlags, command: Command) =>
      run(service, bodies, command.optsWithGlobals()),
    );
}

function addHeader(
  text: string,
  previous: Readonly<Record<string, string>> | undefined,
): Readonly<Record<string, string>> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('It must be name=value.');
  return { ...previous, [text.slice(0, at)]: text.slice(at + 1) };
}

async function run(service: string, bodies: string[], flags: RequestFlags): Promise<void> {
  const { file = [], timeout, retries, verbose } = flags;
  const { idempotencyKey, priority, header: headers, failFast } = flags;
  const connect = atLeastOne('connect', flags.connect);
  if (flags.stream && flags.protocol === 'mdp0.1') {
    throw new UsageError('MDP 0.1 has no partial replies: use --stream with auto or mdp0.2');
  }
  if (flags.stream && idempotencyKey !== undefined) {
    throw new UsageError('a stream is not repeated from memory: use --idempotency-key without it');
  }
  if (file.filter((path) => path === STDIN).length > 1) {
    throw new UsageError("stdin can be read once: give one '--file -'");
  }
  const { signal } = listenForStop();
  const logger = verbose ? createLogger('human', true) : undefined;
  const client = new MajordomoClient({ protocol: flags.protocol, logger });
  try {
    // Before the files are read, so that a wrong endpoint does not cost a pipe's worth of input.
    client.connect(connect);
    const body: (string | Uint8Array)[] = [...bodies];
    for (const path of file) {
      logger?.debug({ path }, 'reading');
      body.push(await readBytes(path, signal));
    }
    const options = {
      timeout,
      retries,
      signal,
      idempotencyKey,
      priority,
      headers,
      failFast,
    };
    const print = (frames: Frames): Promise<void> => writeFrames(frames, flags.raw === true);
    if (flags.stream) {
      for await (const part of client.stream(service, body, options)) await print(part.body);
    } else {
      const reply = await client.request(service, body, options);
      await print(reply.body);
    }
  } finally {
    await client.close();
  }
}

async function readBytes(path: string, signal: AbortSignal): Promise<Uint8Array> {
  try {
    if (path !== STDIN) return await readFile(path, { signal });
    return await buffer(addAbortSignal(signal, process.stdin));
  } catch (error) {
    signal.throwIfAborted();
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandFailure('ERR_FILE_UNREADABLE', `cannot read '${path}': ${reason}`, {
      cause: error,
    });
  }
}

async function writeFrames(frames: Frames, raw: boolean): Promise<void> {
  for (const frame of frames) {
    await writeOutput(frame);
    if (!raw && frame.at(-1) !== NEWLINE) await writeOutput('\n');
  }
}
