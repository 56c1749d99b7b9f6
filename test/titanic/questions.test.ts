/** Questions between their peers, the machine and the storage: what no real storage does when it is asked to. */
import { describe, expect, test } from 'vitest';
import { StorageError } from '../../src/core/errors.ts';
import { decodeText, encodeText } from '../../src/core/frames.ts';
import type { Frames } from '../../src/core/machine.ts';
import type { TitanicService } from '../../src/titanic/commands.ts';
import { Questions } from '../../src/titanic/questions.ts';
import { bodyIn, type StoredBody } from '../../src/titanic/stored-body.ts';
import type { TitanicCall } from '../../src/titanic/titanic-events.ts';

const ID = '0123456789abcdef0123456789abcdef';
const KEY = `reply:${ID}`;

const GONE = bodyIn(undefined, undefined);
const CORRUPT = bodyIn(new StorageError('ERR_STORAGE_CORRUPT', 'bits'), undefined);
const UNAVAILABLE = bodyIn(new StorageError('ERR_STORAGE_FAILED', 'closed'), undefined);
const FOUND = bodyIn(undefined, [encodeText('meta'), encodeText('reply')]);

class Story {
  readonly calls: TitanicCall[] = [];
  readonly answers: string[][] = [];
  readonly refusals: string[] = [];
  /** What reading gives; the last one again and again. */
  stored: StoredBody[] = [GONE];
  readonly questions = new Questions(
    {
      read: (_key, done) => done(this.stored.length > 1 ? this.stored.shift()! : this.stored[0]!),
      tell: (call) => this.calls.push(call),
      refused: (code) => this.refusals.push(code),
      overview: () => ({ status: 200, body: [encodeText('all')] }),
    },
    { bodyLimit: 1000 },
  );

  ask(service: TitanicService, ...frames: string[]): (() => void) | undefined {
    const body = frames.map((frame) => encodeText(frame));
    return this.questions.ask(service, body, (answer: Frames) =>
      this.answers.push(answer.map((frame) => decodeText(frame))),
    );
  }

  /** The machine finds the reply of the question with that token. */
  find(token: number): void {
    this.questions.answerStored({ type: 'answerStored', token, id: ID, key: KEY });
  }

  get told(): string[] {
    return this.calls.map((call) => call.type);
  }
}

describe('a reply that is stored', () => {
  test('is served without what only we know of it', () => {
    const story = new Story();
    story.stored = [FOUND];
    story.ask('titanic.reply', ID);
    story.find(0);
    expect(story.answers).toEqual([['200', 'reply']]);
    expect(story.told).toEqual(['ask']);
  });

  test('that was closed while it was read is unknown, not corrupt', () => {
    const story = new Story();
    story.ask('titanic.fetch', ID, '1000');
    story.find(0);
    expect(story.calls.at(-1)).toEqual({
      type: 'ask',
      token: 1,
      question: { type: 'fetch', id: ID, wait: 0 },
    });
    expect(story.answers).toEqual([]);
    story.questions.answer(1, { status: 400, code: 'ERR_UNKNOWN_REQUEST', text: 'closed' });
    expect(story.answers).toEqual([[expect.stringMatching(/^400 /), expect.any(String)]]);
    expect(story.told).toEqual(['ask', 'ask']);
  });

  test('that is gone twice is lost', () => {
    const story = new Story();
    story.ask('titanic.reply', ID);
    story.find(0);
    story.find(1);
    expect(story.answers).toEqual([[expect.stringMatching(/^500 ERR_STORAGE_CORRUPT/)]]);
    expect(story.calls.at(-1)).toMatchObject({ type: 'unreadable', id: ID });
  });

  test('that was gone once and is there is served', () => {
    const story = new Story();
    story.stored = [GONE, FOUND];
    story.ask('titanic.reply', ID);
    story.find(0);
    story.find(1);
    expect(story.answers).toEqual([['200', 'reply']]);
  });

  test('that is corrupt is reported at once', () => {
    const story = new Story();
    story.stored = [CORRUPT];
    story.ask('titanic.reply', ID);
    story.find(0);
    expect(story.answers).toEqual([['500 ERR_STORAGE_CORRUPT: bits']]);
    expect(story.told).toEqual(['ask', 'unreadable']);
  });

  test('that cannot be read now is not reported as lost', () => {
    const story = new Story();
    story.stored = [UNAVAILABLE];
    story.ask('titanic.reply', ID);
    story.find(0);
    expect(story.answers).toEqual([['500 ERR_STORAGE_FAILED: closed']]);
    expect(story.told).toEqual(['ask']);
  });
});

describe('a question', () => {
  test('that is none is refused without the machine', () => {
    const story = new Story();
    expect(story.ask('titanic.reply', '*')).toBeUndefined();
    expect(story.answers).toHaveLength(1);
    expect(story.refusals).toEqual(['ERR_INVALID_ARGUMENT']);
    expect(story.told).toEqual([]);
  });

  test('about everything is answered without the machine', () => {
    const story = new Story();
    story.ask('titanic.admin', '{"do":"overview"}');
    expect(story.answers).toEqual([['200', 'all']]);
    expect(story.told).toEqual([]);
  });

  test('is answered once', () => {
    const story = new Story();
    const withdraw = story.ask('titanic.fetch', ID, '1000');
    withdraw!();
    withdraw!();
    story.questions.answer(0, { status: 200 });
    story.find(0);
    story.questions.endPolls();
    expect(story.answers).toEqual([['300']]);
    expect(story.told).toEqual(['ask', 'withdraw']);
  });

  test('that waits is answered at the end, and others are not', () => {
    const story = new Story();
    story.ask('titanic.fetch', ID, '1000');
    story.ask('titanic.close', ID);
    story.questions.endPolls();
    expect(story.answers).toEqual([['300']]);
    story.questions.answer(1, { status: 200 });
    expect(story.answers).toEqual([['300'], ['200']]);
  });

  test('of an operator gets the body with it, where it is kept', () => {
    const story = new Story();
    story.stored = [FOUND, GONE];
    const inspect = JSON.stringify({ do: 'inspect', id: ID });
    for (const token of [0, 1]) {
      story.ask('titanic.admin', inspect);
      story.questions.answer(token, { status: 200, body: [encodeText('{}')] });
    }
    expect(story.answers).toEqual([
      ['200', '{}', 'reply'],
      ['200', '{}'],
    ]);
  });
});
