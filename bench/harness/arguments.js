// What options of the command line may say.
import { InvalidArgumentError } from 'commander';

export function positive(text) {
  const number = Number(text);
  if (!(number > 0)) throw new InvalidArgumentError('It must be a number above 0.');
  return number;
}

export function whole(text) {
  const number = positive(text);
  if (!Number.isInteger(number)) throw new InvalidArgumentError('It must be a whole number.');
  return number;
}

/** A list of some of these names. */
export function listOf(names) {
  return (text) => {
    const chosen = text.split(',');
    for (const name of chosen) checkName(name, names);
    return chosen;
  };
}

export function checkName(name, names) {
  if (!names.includes(name)) throw new InvalidArgumentError(`There are ${names.join(', ')}.`);
}
