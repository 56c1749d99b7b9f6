/** Options that several commands share. Numbers keep to the rules of the classes they are for. */
import { InvalidArgumentError, Option } from 'commander';
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

/** `--bind` or `--connect`, as often as wanted. */
export function endpoints(flags: string, description: string): Option {
  return new Option(flags, `${description}; may be repeated`).argParser(
    (text: string, previous: readonly string[] | undefined) => {
      if (text.startsWith('inproc://')) {
        throw new InvalidArgumentError('inproc:// stays inside one process: use tcp:// or ipc://.');
      }
      return [...(previous ?? []), text];
    },
  );
}

/**
 * The endpoints, of which there must be one. Commander could check that too, but does so before it
 * looks for unknown options, and would answer a misspelt `--bnd` without a suggestion.
 * @throws UsageError
 */
export function atLeastOne(
  name: 'bind' | 'connect',
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

/** `--log`. */
export function log(): Option {
  return new Option('--log <style>', 'what is logged on stderr')
    .choices(LOG_STYLES)
    .default('human');
}
