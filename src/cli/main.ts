#!/usr/bin/env node
/**
 * The `unsinkable` command: every role from a shell. Each command is a file of its own that adds
 * itself here; this one only reads the command line and turns what was thrown into an exit code.
 */
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { addBroker } from './broker.ts';
import { addChaos } from './chaos.ts';
import { describeFailure, exitCodeHelp } from './failure.ts';
import { addFetch } from './fetch.ts';
import { addForget } from './forget.ts';
import { addFreelanceRequest } from './freelance-request.ts';
import { addFreelanceServer } from './freelance-server.ts';
import { writeError } from './output.ts';
import { addPirateQueue } from './pirate-queue.ts';
import { addPirateRequest } from './pirate-request.ts';
import { addPirateWorker } from './pirate-worker.ts';
import { addRequest } from './request.ts';
import { addServices } from './services.ts';
import { addSubmit } from './submit.ts';
import { addTitanic } from './titanic.ts';
import { addWorker } from './worker.ts';

const program = new Command('unsinkable')
  .description(
    'Reliable messaging over ZeroMQ, from the shell: Majordomo, Pirates, Freelance, Titanic.',
  )
  .version(version(), '--version')
  .option('--verbose', 'log in more detail, and show the stack of an error')
  .addHelpText('after', exitCodeHelp)
  .configureHelp({ showGlobalOptions: true })
  // A mistake is one line like any other failure: it is thrown, and written below.
  .configureOutput({ writeErr: () => {} })
  .exitOverride();

addBroker(program);
addWorker(program);
addRequest(program);
addServices(program);
addPirateQueue(program);
addPirateWorker(program);
addPirateRequest(program);
addFreelanceServer(program);
addFreelanceRequest(program);
addTitanic(program);
addSubmit(program);
addFetch(program);
addForget(program);
addChaos(program);

// Nothing is left to save, and Node's own ending would be a stack trace.
process.once('uncaughtException', (error) => process.exit(conclude(error)));

try {
  await program.parseAsync();
} catch (error) {
  // Not process.exit: what is still on its way to stdout or to a peer leaves first.
  process.exitCode = conclude(error);
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
