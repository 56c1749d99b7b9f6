/** A broken invariant: what a simulated run throws, and what a report and a stored plan name. */
export class Violation extends Error {
  /** Which invariant, in a stable word that mutants and reports refer to. */
  readonly invariant: string;

  constructor(invariant: string, details: string) {
    super(`${invariant}: ${details}`);
    this.name = 'Violation';
    this.invariant = invariant;
  }
}

/** @throws Violation unless `condition` holds; `details` is only made when it does not */
export function requireThat(
  condition: boolean,
  invariant: string,
  details: () => string,
): asserts condition {
  if (!condition) throw new Violation(invariant, details());
}
