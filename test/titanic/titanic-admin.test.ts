/** What an operator sees while requests come and go: a list whose pages are dropped behind it. */
import { describe, expect, test } from 'vitest';
import { TitanicError } from '../../src/core/errors.ts';
import { encodeText } from '../../src/core/frames.ts';
import type { Answer, Question } from '../../src/titanic/commands.ts';
import { TitanicAdmin } from '../../src/titanic/titanic-admin.ts';

interface Row {
  readonly id: string;
  readonly submitted: number;
}

const row = (id: string, submitted: number): Row => ({ id, submitted });

/** Pages of two; `dropped` tells what is unknown once so many pages were asked for. */
function adminOf(rows: readonly Row[], dropped: (pages: number) => readonly string[]) {
  let pages = 0;
  const ask = (question: Question): Promise<Answer> => {
    const after = question.type === 'list' ? question.after : undefined;
    const gone = dropped(pages++);
    const left = rows.filter(({ id }) => !gone.includes(id));
    const place = left.findIndex(({ id }) => id === after);
    if (after !== undefined && place < 0) {
      return Promise.reject(new TitanicError('ERR_UNKNOWN_REQUEST', '', 'no such request'));
    }
    const requests = left.slice(place + 1, place + 3);
    const last = requests.at(-1);
    const page = last === left.at(-1) ? { requests } : { requests, after: last?.id };
    return Promise.resolve({ status: 200, body: [encodeText(JSON.stringify(page))] });
  };
  return new TitanicAdmin(ask);
}

async function listed(admin: TitanicAdmin): Promise<string> {
  const ids: string[] = [];
  for await (const { id } of admin.list()) ids.push(id);
  return ids.join('');
}

describe('a list', () => {
  const rows = [row('a', 1), row('b', 2), row('c', 2), row('d', 2), row('e', 3), row('f', 4)];

  test('yields all, page by page', async () => {
    expect(await listed(adminOf(rows, () => []))).toBe('abcdef');
  });

  test('goes on when the one before its next page is dropped: nothing is missed or told twice', async () => {
    expect(await listed(adminOf(rows, (pages) => (pages < 1 ? [] : ['a', 'b'])))).toBe('abcdef');
    expect(await listed(adminOf(rows, (pages) => (pages < 1 ? [] : ['b'])))).toBe('abcdef');
    expect(await listed(adminOf(rows, (pages) => (pages < 2 ? [] : ['d'])))).toBe('abcdef');
    expect(await listed(adminOf(rows, (pages) => (pages < 1 ? [] : ['b', 'c', 'd'])))).toBe('abef');
  });

  test('of a wall clock that was set back misses nothing while nothing is dropped', async () => {
    expect(await listed(adminOf([row('a', 9), row('b', 8), row('c', 7)], () => []))).toBe('abc');
  });
});
