/** Small arbitraries that plans of every pattern are made of. */
import fc from 'fast-check';

/** A value once in `times`, undefined otherwise. */
export function onceIn<Value>(
  times: number,
  arbitrary: fc.Arbitrary<Value>,
): fc.Arbitrary<Value | undefined> {
  return fc.oneof(
    { weight: times - 1, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary },
  );
}

/** True once in `times`. */
export function rarely(times: number): fc.Arbitrary<boolean> {
  return onceIn(times, fc.constant(true)).map((drawn) => drawn === true);
}
