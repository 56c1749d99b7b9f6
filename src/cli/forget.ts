/** `unsinkable forget`: closes a request of a Titanic. */
import type { Command } from 'commander';
import { addTitanicAsking, askTitanic, type TitanicFlags } from './titanic-asking.ts';

const HELP = `
Prints nothing. Afterwards the id is unknown, its reply is deleted, and if it was not done it never runs again. Doing
it twice, or to an unknown id, is no error.

Example:
  $ unsinkable forget 4f9c0e6c2b7d4d0f8f5f5f1f0c8a1e37 --connect tcp://127.0.0.1:5555`;

/** Adds the command. */
export function addForget(program: Command): void {
  const command = program
    .command('forget')
    .argument('<id>', 'what submit has printed')
    .description('ends a request of a Titanic, done or not, and deletes its reply')
    .addHelpText('after', HELP)
    .action((id: string, _flags: TitanicFlags, self: Command) => run(id, self.optsWithGlobals()));
  addTitanicAsking(command);
}

async function run(id: string, flags: TitanicFlags): Promise<void> {
  await askTitanic(flags, (client, signal) => client.forget(id, { signal }));
}
