/** `unsinkable clone get|set|delete|clear|watch`: a Clone client. */
import { type Command } from 'commander';
import { checkKey, checkSubtree } from '../clone/client/arguments.ts';
import { CloneClient } from '../clone/client/typed-client.ts';
import type { WatchedChange } from '../clone/client/watch.ts';
import { clientRules } from '../clone/options.ts';
import { CloneError } from '../core/errors.ts';
import { decodeStrictText } from '../core/frames.ts';
import type { Rule } from '../core/options.ts';
import { readBody, writeBody, type BodyFlags } from './bodies.ts';
import { CommandFailure, UsageError } from './failure.ts';
import { createLogger } from './log.ts';
import { atLeastOne, endpoints, numeric, type CommonFlags } from './options.ts';
import { writeOutput } from './output.ts';
import { interruptionBehind, listenForStop } from './signals.ts';

interface CloneFlags extends CommonFlags {
  readonly connect?: readonly string[];
  readonly stockServer?: boolean;
  readonly timeout: number;
}

interface GetFlags extends CloneFlags, BodyFlags {}

interface DeleteFlags extends CloneFlags {
  readonly ifMatch?: number;
}

interface SetFlags extends DeleteFlags {
  readonly file?: string;
  readonly ttl?: number;
}

interface WatchFlags extends CloneFlags {
  readonly initial?: boolean;
}

const HELP = `
A key is a path such as /config/db/host. A subtree is '/config/' for what is under it, one key, or '' for everything.
--connect names a server of 'clone-server', of a pair both; with --stock-server, a server of another make that speaks 12/CHP.`;

const REVISION: Rule<number | undefined> = {
  default: undefined,
  expected: 'a whole number, 0 or more',
  accepts: (value) => Number.isSafeInteger(value) && Number(value) >= 0,
};

const SECONDS: Rule<number | undefined> = {
  default: undefined,
  expected: 'seconds, 0.001 or more',
  accepts: (value) => Number.isFinite(value) && Number(value) >= 0.001,
};

/** Adds the commands. */
export function addClone(program: Command): void {
  const clone = program
    .command('clone')
    .description('a Clone client: reads, writes and watches the map of a Clone server')
    .addHelpText('after', HELP);
  addGet(clone);
  addSet(clone);
  addDelete(clone);
  addClear(clone);
  addWatch(clone);
}

function addGet(clone: Command): void {
  const command = clone
    .command('get')
    .argument('<key>', 'whose value is wanted')
    .description('prints the value of a key')
    .option('--raw', 'print the bytes of the value and nothing else')
    .addHelpText('after', GET_HELP)
    .action((key: string, _flags: GetFlags, self: Command) => {
      const flags = self.optsWithGlobals<GetFlags>();
      checkKey(key);
      return ask(flags, key, async (client, signal) => {
        await client.synchronised({ timeout: flags.timeout, signal });
        const value = client.get(key);
        if (value === undefined) {
          throw new CommandFailure('ERR_UNKNOWN_KEY', `there is no key '${key}'`);
        }
        await writeBody([value], flags);
      });
    });
  addAsking(command);
}

const GET_HELP = `
The value is ended with a newline unless it ends with one; --raw adds nothing. Exit code 1 if there is no such key.

Example:
  $ unsinkable clone get /config/db/host --connect tcp://127.0.0.1:5556
  db.example`;

function addSet(clone: Command): void {
  const command = clone
    .command('set')
    .argument('<key>', 'a path')
    .argument('[value]', 'text')
    .description('sets a key, and prints its revision once that is done')
    .option('--file <path>', "the value from a file, '-' is stdin")
    .addOption(numeric('--ttl <seconds>', 'until the server deletes it (default: never)', SECONDS))
    .addOption(
      numeric('--if-match <revision>', 'only if the key has that; 0: only if it is new', REVISION),
    )
    .addHelpText('after', SET_HELP)
    .action((key: string, text: string | undefined, _flags: SetFlags, self: Command) =>
      set(key, text, self.optsWithGlobals()),
    );
  addAsking(command);
}

const SET_HELP = `
A value has at least one byte; one that begins with a dash goes after '--'. --ttl alone of all durations is in seconds, as in
12/CHP, such as 0.5. Exit code 4 if --if-match does not.

Examples:
  $ unsinkable clone set /config/db/host db.example --connect tcp://127.0.0.1:5556
  17
  $ unsinkable clone set /locks/report me --ttl 30 --if-match 0 --connect tcp://127.0.0.1:5556
  18`;

async function set(key: string, text: string | undefined, flags: SetFlags): Promise<void> {
  const { file, ttl, ifMatch, timeout } = flags;
  checkKey(key);
  if ((text === undefined) === (file === undefined)) {
    throw new UsageError('give either a value or --file');
  }
  const milliseconds = ttl === undefined ? undefined : ttl * 1000;
  await ask(flags, key, async (client, signal) => {
    const body = await readBody([], file === undefined ? {} : { file: [file] }, signal, () => {});
    const value = body[0] ?? text ?? '';
    const bytes = typeof value === 'string' ? Buffer.from(value) : value;
    if (bytes.byteLength === 0) {
      const message = `the value for '${key}' is empty, which no value may be: use 'unsinkable clone delete ${key}'`;
      throw new CloneError('ERR_EMPTY_VALUE', key, message);
    }
    const done = await client.set(key, bytes, { ttl: milliseconds, ifMatch, timeout, signal });
    await writeOutput(`${done.revision}\n`);
  });
}

function addDelete(clone: Command): void {
  const command = clone
    .command('delete')
    .argument('<key>', 'a path')
    .description('deletes a key; also done if there is none')
    .addOption(numeric('--if-match <revision>', 'only if the key has that revision', REVISION))
    .addHelpText('after', DELETE_HELP)
    .action((key: string, _flags: DeleteFlags, self: Command) => {
      const flags = self.optsWithGlobals<DeleteFlags>();
      const { ifMatch, timeout } = flags;
      checkKey(key);
      return ask(flags, key, async (client, signal) => {
        await client.delete(key, { ifMatch, timeout, signal });
      });
    });
  addAsking(command);
}

const DELETE_HELP = `
Example:
  $ unsinkable clone delete /config/db/host --connect tcp://127.0.0.1:5556`;

function addClear(clone: Command): void {
  const command = clone
    .command('clear')
    .argument('<subtree>', "such as '/config/'; '' is everything")
    .description('deletes all that is under a path, in one step')
    .addHelpText('after', CLEAR_HELP)
    .action((subtree: string, _flags: CloneFlags, self: Command) => {
      const flags = self.optsWithGlobals<CloneFlags>();
      checkSubtree(subtree);
      // A server of ours knows what is there; to others it is said key by key.
      const followed = flags.stockServer ? subtree : '/-';
      return ask(flags, followed, async (client, signal) => {
        await client.clear(subtree, { timeout: flags.timeout, signal });
      });
    });
  addAsking(command);
}

const CLEAR_HELP = `
Example:
  $ unsinkable clone clear /config/db/ --connect tcp://127.0.0.1:5556`;

function addWatch(clone: Command): void {
  const command = clone
    .command('watch')
    .argument('[subtree]', "such as '/config/', or one key (default: everything)")
    .description('prints a JSON line for each change, until it is ended')
    .option('--initial', 'begin with what is there already')
    .addHelpText('after', WATCH_HELP)
    .action((subtree: string | undefined, _flags: WatchFlags, self: Command) =>
      watch(subtree ?? '', self.optsWithGlobals()),
    );
  addAsking(command);
}

const WATCH_HELP = `
A value that is no text is there as base64. It goes on when a server is lost, and tells what is different once one is back.
--timeout is for the first answer. Ctrl-C ends it.

Example:
  $ unsinkable clone watch /config/ --connect tcp://127.0.0.1:5556
  {"type":"set","key":"/config/db/host","revision":17,"value":"db.example"}
  {"type":"deleted","key":"/config/db/host","revision":18}`;

async function watch(subtree: string, flags: WatchFlags): Promise<void> {
  const { initial = false, timeout } = flags;
  checkSubtree(subtree);
  try {
    await ask(flags, subtree, async (client, signal) => {
      await client.synchronised({ timeout, signal });
      for await (const change of client.watch(subtree, { initial, signal })) {
        await writeOutput(`${JSON.stringify(lineOf(change))}\n`);
      }
    });
  } catch (error) {
    // It has no other end: nothing has failed.
    const interrupted = interruptionBehind(error);
    if (interrupted === undefined) throw error;
    process.exitCode = interrupted.exitCode;
  }
}

function lineOf({ type, key, revision, value }: WatchedChange<Uint8Array>): object {
  if (value === undefined) return { type, key, revision };
  const text = decodeStrictText(value);
  if (text !== undefined) return { type, key, revision, value: text };
  return { type, key, revision, base64: Buffer.from(value).toString('base64') };
}

function addAsking(command: Command): void {
  const timeout = { ...clientRules.timeout, default: 10_000 };
  command
    .addOption(endpoints('--connect <endpoint>', 'a server, of a pair both'))
    .option('--stock-server', 'the server is of another make: 12/CHP, on three ports')
    .addOption(numeric('--timeout <ms>', 'for the answer', timeout));
}

/** Asks once, within the life of a client; Ctrl-C cancels it. */
async function ask(
  flags: CloneFlags,
  subtree: string,
  question: (client: CloneClient, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const { stockServer, verbose } = flags;
  const connect = atLeastOne('connect', flags.connect);
  const { signal } = listenForStop();
  const logger = verbose ? createLogger('human', true) : undefined;
  const client = new CloneClient({ subtree, protocol: stockServer ? 'chp' : 'own', logger });
  try {
    client.connect(connect);
    await question(client, signal);
  } finally {
    await client.close();
  }
}
