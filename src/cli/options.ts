/** Options that several commands share. Numbers keep to the rules of the classes they are for. */
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { Rule } from '../core/options.ts';
import { UsageError } from './failure.ts';
import { LOG_STYLES, type LogStyle } from './log.ts';

const PROTOCOLS = ['auto', 'express', 'mdp0.1', 'mdp0.2'] as const;
export type Protocol = (typeof PROTOCOLS)[number];

/** What every command has. */
export interface CommonFlags {
  readonly verbose?: boolean;
}

/** What the long-running commands have. */
export interface ServingFlags extends CommonFlags {
  readonly drainTimeout: number;
  readonly log: LogStyle;
}

/** What the commands have whose peers are found lost by their silence. */
export interface HeartbeatFlags {
  readonly heartbeatInterval: number;
  readonly heartbeatLiveness: number;
}

/** What the commands have that keep requests for workers. */
export interface QueueFlags {
  readonly attemptTimeout: number;
  readonly maxAttempts: number;
  readonly queueLimit: number;
  readonly requestTtl: number;
}

/** Numeric rules for the flags of a group. */
type RulesOf<Flags> = { readonly [Name in keyof Flags]: Rule<number> };

/** Those flags that are options of a class, whose rules say which. */
export function optionsAmong<Flags extends object, Table extends object>(
  flags: Flags,
  rules: Table,
): Pick<Flags, keyof Flags & keyof Table> {
  const options = Object.entries(flags).filter(([name]) => Object.hasOwn(rules, name));
  return Object.fromEntries(options) as Pick<Flags, keyof Flags & keyof Table>;
}

/** A number in plain decimals, within the bounds of `rule`, whose default it has. */
export function numeric(
  flags: string,
  description: string,
  rule: Rule<number | undefined>,
): Option {
  return new Option(flags, description).default(rule.default).argParser((text: string) => {
    const value = /^\d+(\.\d+)?$/.test(text) || text === 'Infinity' ? Number(text) : NaN;
    if (!rule.accepts(value)) throw new InvalidArgumentError(`It must be ${rule.expected}.`);
    return value;
  });
}

/** An option for endpoints, as often as wanted. */
export function endpoints(flags: string, description: string): Option {
  return new Option(flags, `${description}; may be repeated`).argParser(
    (text: string, previous: readonly string[] | undefined) => [
      ...(previous ?? []),
      ofOtherProcess(text),
    ],
  );
}

/** An option for one endpoint: a second one is a mistake, not a change of mind. */
export function endpoint(flags: string, description: string): Option {
  return new Option(flags, description).argParser((text: string, previous: string | undefined) => {
    if (previous === undefined) return ofOtherProcess(text);
    throw new InvalidArgumentError('It may be given once.');
  });
}

function ofOtherProcess(text: string): string {
  if (!text.startsWith('inproc://')) return text;
  throw new InvalidArgumentError('inproc:// stays inside one process: use tcp:// or ipc://.');
}

/**
 * The endpoints, of which there must be one. Commander could check that too, but does so before it
 * looks for unknown options, and would answer a misspelt `--bnd` without a suggestion.
 * @throws UsageError
 */
export function atLeastOne(
  name: string,
  given: readonly string[] | undefined,
): readonly [string, ...string[]] {
  const [first, ...others] = given ?? [];
  if (first !== undefined) return [first, ...others];
  throw new UsageError(`--${name} is missing: give an endpoint such as tcp://127.0.0.1:5555`);
}

/** `--protocol`. */
export function protocol(description: string): Option {
  return new Option('--protocol <name>', `${description} (${PROTOCOLS.join(', ')})`)
    .default('auto')
    .argParser((text: string) => {
      const known = PROTOCOLS.find((name) => name === text);
      if (known !== undefined) return known;
      throw new InvalidArgumentError(`It must be one of ${PROTOCOLS.join(', ')}.`);
    });
}

/** Adds `--heartbeat-interval` and `--heartbeat-liveness`. */
export function addHeartbeats(
  command: Command,
  whose: string,
  rules: RulesOf<HeartbeatFlags>,
): Command {
  const lost = `intervals of silence after which ${whose} is lost`;
  return command
    .addOption(
      numeric('--heartbeat-interval <ms>', 'between two heartbeats', rules.heartbeatInterval),
    )
    .addOption(numeric('--heartbeat-liveness <count>', lost, rules.heartbeatLiveness));
}

/**
 * For `--simple`, which has none.
 * @throws UsageError if one of them was given
 */
export function refuseHeartbeats(command: Command): void {
  for (const name of ['heartbeatInterval', 'heartbeatLiveness']) {
    if (command.getOptionValueSource(name) === 'cli') {
      throw new UsageError(
        '--simple has no heartbeats: leave --heartbeat-interval and -liveness out',
      );
    }
  }
}

/** Adds what bounds the waiting and the attempts of requests. */
export function addQueueing(command: Command, rules: RulesOf<QueueFlags>): Command {
  return command
    .addOption(
      numeric(
        '--max-attempts <count>',
        'workers that one request may cost before it is a dead letter',
        rules.maxAttempts,
      ),
    )
    .addOption(
      numeric(
        '--attempt-timeout <ms>',
        'how long a worker may hold a request; longer than your longest handler, or Infinity',
        rules.attemptTimeout,
      ),
    )
    .addOption(
      numeric(
        '--request-ttl <ms>',
        'how long a request may live, queued and running, or Infinity',
        rules.requestTtl,
      ),
    )
    .addOption(
      numeric('--queue-limit <count>', 'requests that may wait for a worker', rules.queueLimit),
    );
}

/** Adds `--drain-timeout` and `--log`. */
export function addServing(
  command: Command,
  rules: { readonly drainTimeout: Rule<number> },
): Command {
  return command
    .addOption(numeric('--drain-timeout <ms>', 'how long draining may take', rules.drainTimeout))
    .addOption(
      new Option('--log <style>', 'what is logged on stderr').choices(LOG_STYLES).default('human'),
    );
}
