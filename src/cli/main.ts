#!/usr/bin/env node
/**
 * The `unsinkable` command: every role from a shell. Each command is a file of its own that adds
 * itself here; this one only reads the command line and turns what was thrown into an exit code.
 *
 * Only the command that is asked for is loaded, which is most of what a short one costs; all of them
 * when it is not clear which.
 */
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { describeFailure, exitCodeHelp } from './failure.ts';
import { writeError } from './output.ts';

type Add = (program: Command) => void;

/** In the order of `--help`. */
const COMMANDS: Readonly<Record<string, () => Promise<Add>>> = {
  broker: async () => (await import('./broker.ts')).addBroker,
  witness: async () => (await import('./witness.ts')).addWitness,
  worker: async () => (await import('./worker.ts')).addWorker,
  request: async () => (await import('./request.ts')).addRequest,
  services: async () => (await import('./services.ts')).addServices,
  'pirate-queue': async () => (await import('./pirate-queue.ts')).addPirateQueue,
  'pirate-worker': async () => (await import('./pirate-worker.ts')).addPirateWorker,
  'pirate-request': async () => (await import('./pirate-request.ts')).addPirateRequest,
  'freelance-server': async () => (await import('./freelance-server.ts')).addFreelanceServer,
  'freelance-request': async () => (await import('./freelance-request.ts')).addFreelanceRequest,
  titanic: async () => (await import('./titanic.ts')).addTitanic,
  submit: async () => (await import('./submit.ts')).addSubmit,
  fetch: async () => (await import('./fetch.ts')).addFetch,
  forget: async () => (await import('./forget.ts')).addForget,
  'clone-server': async () => (await import('./clone-server.ts')).addCloneServer,
  clone: async () => (await import('./clone.ts')).addClone,
  chaos: async () => (await import('./chaos.ts')).addChaos,
};

const program = new Command('unsinkable')
  .description(
    'Reliable messaging over ZeroMQ, from the shell: Majordomo and its pairs, Pirates, Freelance, Titanic, Clone.',
  )
  .version(version(), '--version')
  .option('--verbose', 'log in more detail, and show the stack of an error')
  .addHelpText('after', exitCodeHelp)
  .configureHelp({ showGlobalOptions: true })
  // A mistake is one line like any other failure: it is thrown, and written below.
  .configureOutput({ writeErr: () => {} })
  .exitOverride();

for (const add of await adders(process.argv[2])) add(program);

// Nothing is left to save, and Node's own ending would be a stack trace.
process.once('uncaughtException', (error) => process.exit(conclude(error)));

try {
  await program.parseAsync();
} catch (error) {
  // Not process.exit: what is still on its way to stdout or to a peer leaves first.
  process.exitCode = conclude(error);
}

/** The command of that name, or all. */
function adders(name = ''): Promise<Add[]> {
  const asked = Object.hasOwn(COMMANDS, name) ? [COMMANDS[name]!] : Object.values(COMMANDS);
  return Promise.all(asked.map((load) => load()));
}

/** Says what went wrong, if anything did, and returns the exit code. */
function conclude(error: unknown): number {
  const { code, message, exitCode } = describeFailure(error, program);
  if (exitCode !== 0) writeError(`error ${code}: ${message}\n`);
  if (exitCode !== 0 && program.opts<{ verbose?: true }>().verbose && error instanceof Error) {
    writeError(`${error.stack ?? ''}\n`);
  }
  return exitCode;
}

function version(): string {
  const file = new URL('../../package.json', import.meta.url);
  const description: { version: string } = JSON.parse(readFileSync(file, 'utf8'));
  return description.version;
}
