/**
 * Options: checked at the call, refused by name, completed with defaults.
 *
 * A room writes its options as one interface for its users and one table of rules beside it, so
 * that no option exists without a check and a default.
 */
import { InvalidArgumentError } from './errors.ts';

/** What one option accepts, and what it is when left out. */
export interface Rule<Value> {
  readonly default: Value;
  /** What is expected, as words for the error message. */
  readonly expected: string;
  accepts(value: unknown): boolean;
}

export type Rules<Options> = { readonly [Name in keyof Options]-?: Rule<Options[Name]> };

/** Options with nothing left out. */
export type Completed<Table> = {
  readonly [Name in keyof Table]: Table[Name] extends Rule<infer Value> ? Value : never;
};

/** Milliseconds, `least` or more; `Infinity` where `forever` says so. */
export function milliseconds(byDefault: number, least = 1, forever = false): Rule<number> {
  return {
    default: byDefault,
    expected: `milliseconds, ${least} or more${forever ? ', or Infinity' : ''}`,
    accepts: (value) =>
      typeof value === 'number' &&
      value >= least &&
      (forever ? !Number.isNaN(value) : Number.isFinite(value)),
  };
}

/** A whole number, `least` or more. */
export function count(byDefault: number, least = 1): Rule<number> {
  return {
    default: byDefault,
    expected: `a whole number, ${least} or more`,
    accepts: (value) => Number.isSafeInteger(value) && (value as number) >= least,
  };
}

/** One of a few words. */
export function oneOf<const Word extends string>(
  byDefault: NoInfer<Word>,
  words: readonly Word[],
): Rule<Word> {
  return {
    default: byDefault,
    expected: `one of ${words.map((word) => `'${word}'`).join(', ')}`,
    accepts: (value) => (words as readonly unknown[]).includes(value),
  };
}

/** Anything for which `accepts` is true. */
export function such<Value>(
  byDefault: Value,
  expected: string,
  accepts: (value: unknown) => boolean,
): Rule<Value> {
  return { default: byDefault, expected, accepts };
}

/**
 * The given options over the defaults. An option given as undefined counts as left out.
 * @param owner the class or call they belong to, for messages
 * @throws InvalidArgumentError `ERR_UNKNOWN_OPTION` or `ERR_INVALID_OPTION`, naming the option
 */
export function completeOptions<Table extends object>(
  owner: string,
  rules: Table,
  given: { readonly [Name in keyof Table]?: unknown } | undefined,
): Completed<Table> {
  const completed: Record<string, unknown> = {};
  for (const [name, rule] of Object.entries(rules as Record<string, Rule<unknown>>))
    completed[name] = rule.default;
  for (const [name, value] of Object.entries(checkOptions(owner, rules, given) ?? {}))
    if (value !== undefined) completed[name] = value;
  return completed as Completed<Table>;
}

/**
 * The given options as they are, checked: cheaper where the defaults are somewhere else.
 * @throws InvalidArgumentError as `completeOptions`
 */
export function checkOptions<Given extends object>(
  owner: string,
  rules: object,
  given: Given | undefined,
): Given | undefined {
  if (given === undefined) return undefined;
  if (typeof given !== 'object' || given === null) {
    throw new InvalidArgumentError('ERR_INVALID_OPTION', `${owner}: options must be an object`);
  }
  for (const [name, value] of Object.entries(given)) {
    const rule = (rules as Record<string, Rule<unknown>>)[name];
    if (rule === undefined || !Object.hasOwn(rules, name)) {
      throw new InvalidArgumentError(
        'ERR_UNKNOWN_OPTION',
        `${owner} has no option '${name}'; it has: ${Object.keys(rules).join(', ')}`,
      );
    }
    if (value !== undefined && !rule.accepts(value)) {
      throw new InvalidArgumentError(
        'ERR_INVALID_OPTION',
        `${owner}: option '${name}' must be ${rule.expected}, not ${show(value)}`,
      );
    }
  }
  return given;
}

function show(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object') return value === null ? 'null' : 'an object';
  return `a ${typeof value}`;
}
