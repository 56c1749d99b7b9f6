/** `unsinkable titanic status|list|dead|inspect|resubmit`: what the operator of a Titanic asks it. */
import { Option, type Command } from 'commander';
import { count } from '../core/options.ts';
import { REQUEST_STATES, type RequestState, type RequestSummary } from '../titanic/commands.ts';
import type { TitanicClient } from '../titanic/titanic-client.ts';
import type { TitanicStatus } from '../titanic/titanic.ts';
import { UsageError } from './failure.ts';
import { numeric } from './options.ts';
import { writeError, writeOutput } from './output.ts';
import { table, type Column } from './table.ts';
import { printable, printableBytes } from './text.ts';
import { addTitanicAsking, askTitanic, type TitanicFlags } from './titanic-asking.ts';

interface OperatorFlags extends TitanicFlags {
  readonly json?: boolean;
}

interface ListFlags extends OperatorFlags {
  readonly limit: number;
  readonly service?: string;
  readonly state?: RequestState;
}

interface ResubmitFlags extends TitanicFlags {
  readonly allDead?: boolean;
}

/** Requests that a table shows. */
const LIMIT = count(100);

/** Adds the commands below `titanic`. */
export function addTitanicOperator(titanic: Command): void {
  addStatus(titanic);
  addList(titanic);
  addDead(titanic);
  addInspect(titanic);
  addResubmit(titanic);
}

/**
 * The flags of a command below `titanic`, whose own options are taken from the same line.
 * @throws UsageError if one of those is the server's alone
 */
function flagsOf<Flags extends TitanicFlags>(self: Command): Flags {
  const { parent } = self;
  const foreign = parent?.options.find(
    (option) =>
      option.attributeName() !== 'connect' &&
      parent.getOptionValueSource(option.attributeName()) === 'cli',
  );
  if (foreign === undefined) return self.optsWithGlobals<Flags>();
  throw new UsageError(`'${foreign.long}' is for the server, not for '${self.name()}'`);
}

function addStatus(titanic: Command): void {
  const command = titanic
    .command('status')
    .description('how many requests a Titanic has, and how its store is')
    .option('--json', 'print JSON, with more in it')
    .addHelpText('after', STATUS_HELP)
    .action((_flags: OperatorFlags, self: Command) => {
      const flags = flagsOf<OperatorFlags>(self);
      return askTitanic(flags, async (client, signal) => {
        const overview = await client.admin.overview({ signal });
        await writeOutput(`${flags.json ? JSON.stringify(overview) : tableOf(overview)}\n`);
      });
    });
  addAsking(command);
}

const STATUS_HELP = `
Example:
  $ unsinkable titanic status --connect tcp://127.0.0.1:5555
  delayed   waiting   running   done   dead   closed   store
        0         2         1     97      0       12   open, fsync`;

const STATUS_COLUMNS: readonly Column[] = [
  ...REQUEST_STATES.map((state): Column => [state, 'right']),
  ['closed', 'right'],
  ['store', 'left'],
];

function tableOf(overview: TitanicStatus): string {
  const { state, durability, reason } = overview.storage;
  const store = [state, durability, ...(reason === '' ? [] : [reason])].join(', ');
  const counts = REQUEST_STATES.map((each) => overview[each]);
  return table(STATUS_COLUMNS, [[...counts, overview.closed, store]]);
}

function addList(titanic: Command): void {
  const command = titanic
    .command('list')
    .description('the requests of a Titanic, in the order of their submission')
    .addOption(new Option('--state <state>', 'of this state only').choices(REQUEST_STATES))
    .option('--service <name>', 'for this service only')
    .addHelpText('after', LIST_HELP)
    .action((_flags: ListFlags, self: Command) => {
      const flags = flagsOf<ListFlags>(self);
      return list(flags, flags.state, LIST_COLUMNS, (each) => [
        each.id,
        each.service,
        each.state,
        each.attempts,
        at(each.submitted),
      ]);
    });
  addListing(command);
}

const LIST_COLUMNS: readonly Column[] = [
  ['id', 'left'],
  ['service', 'left'],
  ['state', 'left'],
  ['attempts', 'right'],
  ['submitted', 'left'],
];

const LIST_HELP = `
--json prints one object a line, with all that is known.

Example:
  $ unsinkable titanic list --state running --connect tcp://127.0.0.1:5555
  id                                 service   state     attempts   submitted
  4f9c0e6c2b7d4d0f8f5f5f1f0c8a1e37   report    running          1   2026-06-30T22:15:03.120Z`;

function addDead(titanic: Command): void {
  const command = titanic
    .command('dead')
    .description('the dead letters of a Titanic: requests that have failed for good, and why')
    .option('--service <name>', 'for this service only')
    .addHelpText('after', DEAD_HELP)
    .action((_flags: ListFlags, self: Command) =>
      list(flagsOf<ListFlags>(self), 'dead', DEAD_COLUMNS, (each) => [
        each.id,
        each.service,
        each.attempts,
        each.finished === undefined ? '' : at(each.finished),
        `${each.code}: ${each.message}`,
      ]),
    );
  addListing(command);
}

const DEAD_COLUMNS: readonly Column[] = [
  ['id', 'left'],
  ['service', 'left'],
  ['attempts', 'right'],
  ['since', 'left'],
  ['why', 'left'],
];

const DEAD_HELP = `
They stay until 'forget', 'resubmit' or the Titanic's retention. --json prints one object a line.

Example:
  $ unsinkable titanic dead --connect tcp://127.0.0.1:5555
  id                                 service   attempts   since                      why
  8d1b7a90c3f24e5d9b60a1f2e3d4c5b6   report           4   2026-06-30T22:16:41.007Z   ERR_HANDLER_FAILED: no such month`;

function addListing(command: Command): void {
  addAsking(
    command
      .option('--json', 'print JSON, of all of them')
      .addOption(numeric('--limit <count>', 'how many are shown', LIMIT)),
  );
}

async function list(
  flags: ListFlags,
  state: RequestState | undefined,
  columns: readonly Column[],
  rowOf: (each: RequestSummary) => readonly (string | number)[],
): Promise<void> {
  await askTitanic(flags, async (client, signal) => {
    const { service, json, limit } = flags;
    const rows: (readonly (string | number)[])[] = [];
    let hasMore = false;
    for await (const each of client.admin.list({ state, service, signal })) {
      hasMore = !json && rows.length === limit;
      if (hasMore) break;
      if (json) await writeOutput(`${JSON.stringify(each)}\n`);
      else rows.push(rowOf(each));
    }
    if (json) return;
    await writeOutput(rows.length === 0 ? 'there are none\n' : `${table(columns, rows)}\n`);
    if (hasMore) writeError(`there are more: see them with --limit, or all with --json\n`);
  });
}

function addInspect(titanic: Command): void {
  const command = titanic
    .command('inspect')
    .argument('<id>', 'a request')
    .description('all that a Titanic knows of a request, and its body')
    .option('--json', 'print JSON, the frames of the body in base64')
    .addHelpText('after', INSPECT_HELP)
    .action((id: string, _flags: OperatorFlags, self: Command) => {
      const flags = flagsOf<OperatorFlags>(self);
      return askTitanic(flags, async (client, signal) => {
        const { body: payload, ...summary } = await client.admin.inspect(id, { signal });
        const body = payload?.body;
        if (flags.json) {
          const frames = body?.map((frame) => Buffer.from(frame).toString('base64'));
          await writeOutput(`${JSON.stringify({ ...summary, body: frames })}\n`);
        } else await writeOutput(`${[...linesOf(summary), ...bodyLines(body)].join('\n')}\n`);
      });
    });
  addAsking(command);
}

const INSPECT_HELP = `
Of a done request the body is no longer there.

Example:
  $ unsinkable titanic inspect 8d1b7a90c3f24e5d9b60a1f2e3d4c5b6 --connect tcp://127.0.0.1:5555
  id         8d1b7a90c3f24e5d9b60a1f2e3d4c5b6
  service    report
  state      dead
  attempts   4
  submitted  2026-06-30T22:16:31.620Z
  finished   2026-06-30T22:16:41.007Z
  code       ERR_HANDLER_FAILED
  message    no such month
  body       Juno`;

const TIMES: ReadonlySet<string> = new Set(['submitted', 'due', 'finished']);

function linesOf(summary: RequestSummary): string[] {
  return Object.entries(summary)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]: [string, string | number]) =>
      line(name, TIMES.has(name) ? at(Number(value)) : printable(String(value))),
    );
}

function bodyLines(body: readonly Uint8Array[] = []): string[] {
  return body.map((frame) => line('body', printableBytes(frame)));
}

function line(name: string, value: string): string {
  return `${name.padEnd(10)} ${value}`;
}

function addResubmit(titanic: Command): void {
  const command = titanic
    .command('resubmit')
    .argument('[id...]', 'dead letters')
    .description('gives dead letters all their attempts once more')
    .option('--all-dead', 'all that there are')
    .addHelpText('after', RESUBMIT_HELP)
    .action((ids: string[], _flags: ResubmitFlags, self: Command) =>
      resubmit(ids, flagsOf<ResubmitFlags>(self)),
    );
  addAsking(command);
}

const RESUBMIT_HELP = `
Prints the id of each. Delay and deadline of the first time are gone.

Examples:
  $ unsinkable titanic resubmit 8d1b7a90c3f24e5d9b60a1f2e3d4c5b6 --connect tcp://127.0.0.1:5555
  8d1b7a90c3f24e5d9b60a1f2e3d4c5b6
  $ unsinkable titanic resubmit --all-dead --connect tcp://127.0.0.1:5555`;

async function resubmit(ids: readonly string[], flags: ResubmitFlags): Promise<void> {
  const { allDead = false } = flags;
  if (allDead === ids.length > 0) throw new UsageError('give either ids or --all-dead');
  await askTitanic(flags, async (client, signal) => {
    for (const id of allDead ? await deadLetters(client, signal) : ids) {
      await client.admin.resubmit(id, { signal });
      await writeOutput(`${id}\n`);
    }
  });
}

/** All ids first: what fails again meanwhile is not taken twice. */
async function deadLetters(client: TitanicClient, signal: AbortSignal): Promise<string[]> {
  const ids: string[] = [];
  for await (const { id } of client.admin.list({ state: 'dead', signal })) ids.push(id);
  return ids;
}

function addAsking(command: Command): void {
  // Those of the server are options of `titanic`, not of what stands below it.
  const [, program] = ancestorsOf(command);
  addTitanicAsking(command).configureHelp({
    showGlobalOptions: true,
    visibleGlobalOptions: () => [...(program?.options ?? [])],
  });
}

function ancestorsOf({ parent }: Command): readonly Command[] {
  return parent === null ? [] : [parent, ...ancestorsOf(parent)];
}

function at(time: number): string {
  return new Date(time).toISOString();
}
