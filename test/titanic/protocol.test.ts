/** What is on the wire of a Titanic: both halves agree, and no bytes are too odd to be refused. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeText, encodeText } from '../../src/core/frames.ts';
import type { Frames } from '../../src/core/machine.ts';
import {
  TITANIC_SERVICES,
  type Answer,
  type Question,
  type TitanicService,
} from '../../src/titanic/commands.ts';
import {
  BODY_FRAMES,
  decodeAnswer,
  decodeQuestion,
  encodeAnswer,
  encodeQuestion,
  serviceFault,
} from '../../src/titanic/protocol.ts';

const ID = '0123456789abcdef0123456789abcdef';
const BOUNDS = { bodyLimit: 1000 };

const frames = (...texts: string[]): Frames => texts.map((text) => encodeText(text));
const texts = (body: Frames): string[] => body.map((frame) => decodeText(frame));
const json = (value: unknown): string => JSON.stringify(value);

function ask(service: TitanicService, ...body: string[]): Question | Answer {
  return decodeQuestion(service, frames(...body), BOUNDS);
}

function reply(answer: Answer): string[] {
  return texts(encodeAnswer('titanic.reply', answer));
}

const refused = (text: RegExp) => ({
  status: 400,
  code: 'ERR_INVALID_ARGUMENT',
  text: expect.stringMatching(text),
});

describe('9/TSP', () => {
  test('has three questions', () => {
    expect(ask('titanic.request', 'resize', 'a', 'b')).toMatchObject({
      type: 'submit',
      id: undefined,
      service: 'resize',
      body: frames('a', 'b'),
      terms: {},
    });
    expect(ask('titanic.reply', ID)).toEqual({ type: 'fetch', id: ID, wait: 0 });
    expect(ask('titanic.close', ID)).toEqual({ type: 'close', id: ID });
  });

  test('writes ids in either case', () => {
    expect(ask('titanic.reply', ID.toUpperCase())).toMatchObject({ id: ID });
  });

  test('has answers of three digits, and one frame when it refuses', () => {
    expect(reply({ status: 200, body: frames('a', '') })).toEqual(['200', 'a', '']);
    expect(reply({ status: 300, text: 'soon' })).toEqual(['300']);
    expect(reply({ status: 400, code: 'ERR_UNKNOWN_REQUEST', text: 'what?' })).toEqual([
      '400 ERR_UNKNOWN_REQUEST: what?',
    ]);
    expect(reply({ status: 500 })).toEqual(['500 ERR_HANDLER_FAILED: ']);
  });
});

describe('our own services', () => {
  const questions: Question[] = [
    {
      type: 'submit',
      id: ID,
      service: 'größe',
      body: frames('x', ''),
      terms: { delay: 0, deadline: 1.5, retries: 0, backoff: 7 },
    },
    { type: 'submit', id: undefined, service: 's', body: [], terms: {} },
    { type: 'fetch', id: ID, wait: 20_000 },
    { type: 'close', id: ID },
    { type: 'status', id: ID },
    { type: 'overview' },
    { type: 'list', state: 'dead', service: 'resize', after: ID, limit: 7 },
    { type: 'list', state: undefined, service: undefined, after: undefined, limit: 1000 },
    { type: 'inspect', id: ID },
    { type: 'resubmit', id: ID },
  ];

  test.each(questions.map((question) => [question.type, question] as const))(
    'read what is written: %s',
    (_type, question) => {
      const { service, body } = encodeQuestion(question);
      expect(decodeQuestion(service, body, BOUNDS)).toEqual(question);
    },
  );

  test('that wait do not hold up those that do not: these are asked elsewhere', () => {
    const asked = [0, 1].map((wait) => encodeQuestion({ type: 'fetch', id: ID, wait }));
    expect(asked.map(({ service }) => service)).toEqual(['titanic.reply', 'titanic.fetch']);
  });

  test('take fields that they do not know, and none', () => {
    expect(ask('titanic.submit', json({ later: 1, __proto__: 2 }), 's')).toMatchObject({
      type: 'submit',
      id: undefined,
      terms: { delay: undefined, retries: undefined },
    });
    expect(ask('titanic.admin', json({ do: 'list' }))).toMatchObject({ limit: 100 });
    expect(ask('titanic.admin', json({ do: 'list', limit: 1e9 }))).toMatchObject({ limit: 1000 });
  });

  test('do not keep a question open for ever', () => {
    expect(ask('titanic.fetch', ID, '999999999999999')).toMatchObject({ wait: 60_000 });
  });

  test('do not take fields from what all objects have', () => {
    const inherited = '{"__proto__": {"delay": 5, "id": "x"}}';
    expect(ask('titanic.submit', inherited, 's')).toMatchObject({ terms: { delay: undefined } });
    expect(ask('titanic.admin', json({ do: 'constructor' }))).toMatchObject(refused(/'do'/));
  });

  test('say in JSON why they refuse', () => {
    const body = encodeAnswer('titanic.submit', {
      status: 500,
      code: 'ERR_QUEUE_FULL',
      text: 'no',
    });
    expect(texts(body)).toEqual([
      '500 ERR_QUEUE_FULL: no',
      json({ code: 'ERR_QUEUE_FULL', message: 'no' }),
    ]);
  });

  test('send no megabytes of reasons', () => {
    const body = encodeAnswer('titanic.fetch', { status: 500, text: 'x'.repeat(1e6) });
    for (const frame of body) expect(frame.byteLength).toBeLessThan(5000);
  });
});

describe('refused before anything is stored', () => {
  const cases: readonly (readonly [name: string, TitanicService, string[], RegExp])[] = [
    ['no service', 'titanic.request', [], /service is missing/],
    ['an empty service', 'titanic.request', [''], /1 to 255 bytes/],
    ['a service of 256 bytes', 'titanic.request', ['ü'.repeat(128)], /1 to 255 bytes/],
    ['the broker’s service', 'titanic.request', ['mmi.service'], /'mmi\.'/],
    ['the Titanic itself', 'titanic.submit', ['{}', 'titanic.close'], /'titanic\.'/],
    ['a large body', 'titanic.request', ['s', 'x'.repeat(1001)], /1001 bytes/],
    ['many frames', 'titanic.request', ['s', ...Array<string>(BODY_FRAMES + 1).fill('')], /frames/],
    ['no id', 'titanic.reply', [], /an id/],
    ['two ids', 'titanic.close', [ID, ID], /2 frames/],
    ['a path', 'titanic.reply', ['../../../../../../etc/passwd-123'], /32 hex/],
    ['a wildcard', 'titanic.close', ['*'], /32 hex/],
    ['a key of the storage', 'titanic.status', [`reply:${ID}`], /32 hex/],
    ['a megabyte', 'titanic.reply', ['a'.repeat(1 << 20)], /32 hex/],
    ['an id and a line', 'titanic.reply', [`${ID.slice(1)}\n`], /32 hex/],
    ['a UUID with hyphens', 'titanic.reply', ['01234567-89ab-cdef-0123-456789abcdef'], /32 hex/],
    ['no wait', 'titanic.fetch', [ID], /wait/],
    ['a negative wait', 'titanic.fetch', [ID, '-1'], /digits/],
    ['a wait in words', 'titanic.fetch', [ID, 'long'], /digits/],
    ['an empty wait', 'titanic.fetch', [ID, ''], /digits/],
    ['an endless wait', 'titanic.fetch', [ID, '9'.repeat(16)], /digits/],
    ['no terms', 'titanic.submit', [], /JSON is missing/],
    ['terms without a service', 'titanic.submit', ['{}'], /service is missing/],
    ['terms that are no JSON', 'titanic.submit', ['{', 's'], /not a JSON object/],
    ['terms in a list', 'titanic.submit', ['[]', 's'], /not a JSON object/],
    ['null', 'titanic.submit', ['null', 's'], /not a JSON object/],
    ['a bomb of brackets', 'titanic.submit', ['['.repeat(60_000), 's'], /not a JSON object/],
    ['a nest of objects', 'titanic.admin', ['{"a":'.repeat(12_000)], /not a JSON object/],
    ['large JSON', 'titanic.submit', [json({ x: 'x'.repeat(70_000) }), 's'], /more than 65536/],
    ['an id that is a number', 'titanic.submit', [json({ id: 7 }), 's'], /'id' must be/],
    ['an id that is a path', 'titanic.submit', [json({ id: '../x' }), 's'], /'id' must be/],
    ['a delay in words', 'titanic.submit', [json({ delay: '1' }), 's'], /'delay' must be/],
    ['a negative delay', 'titanic.submit', [json({ delay: -1 }), 's'], /'delay' must be/],
    ['an infinite delay', 'titanic.submit', ['{"delay":1e999}', 's'], /'delay' must be/],
    ['a deadline of null', 'titanic.submit', [json({ deadline: null }), 's'], /'deadline' must/],
    ['a deadline at once', 'titanic.submit', [json({ deadline: 0 }), 's'], /'deadline' must/],
    ['half a retry', 'titanic.submit', [json({ retries: 0.5 }), 's'], /'retries' must be/],
    ['a back-off list', 'titanic.submit', [json({ backoff: [1] }), 's'], /'backoff' must be/],
    ['no command', 'titanic.admin', ['{}'], /'do' is missing/],
    ['an unknown command', 'titanic.admin', [json({ do: 'sink' })], /'do' must be one of/],
    ['an unknown state', 'titanic.admin', [json({ do: 'list', state: 'x' })], /'state' must be/],
    ['a page of nothing', 'titanic.admin', [json({ do: 'list', limit: 0 })], /'limit' must be/],
    ['a page after 7', 'titanic.admin', [json({ do: 'list', after: '7' })], /'after' must be/],
    ['a service list', 'titanic.admin', [json({ do: 'list', service: [] })], /'service' must/],
    ['an inspection of nothing', 'titanic.admin', [json({ do: 'inspect' })], /'id' is missing/],
  ];

  test.each(cases)('%s', (_name, service, body, reason) => {
    expect(ask(service, ...body)).toMatchObject(refused(reason));
  });

  test('bytes that are no UTF-8', () => {
    const half = new Uint8Array([0xc3]);
    expect(decodeQuestion('titanic.request', [half], BOUNDS)).toMatchObject(refused(/1 to 255/));
    expect(decodeQuestion('titanic.admin', [half], BOUNDS)).toMatchObject(refused(/JSON object/));
  });

  test.each([
    ['', true],
    ['a', false],
    ['x'.repeat(255), false],
    ['x'.repeat(256), true],
    ['titanic.', true],
    ['titanic', false],
    ['\ud800', true],
  ])('service %j: %s', (service, isRefused) => {
    expect(serviceFault(service) !== undefined).toBe(isRefused);
  });
});

describe('whatever the bytes', () => {
  const body = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 5 });
  const nearly = fc.array(
    fc.oneof(
      fc.constantFrom('{}', '200', '300', '400 no', '500', '', ID, '7').map(encodeText),
      fc.json({ maxDepth: 3 }).map(encodeText),
      fc
        .record(
          {
            do: fc.oneof(fc.constantFrom('list', 'overview', 'inspect', 'resubmit'), fc.anything()),
            id: fc.oneof(fc.constant(ID), fc.anything()),
            delay: fc.oneof(fc.double(), fc.anything()),
            retries: fc.oneof(fc.integer(), fc.anything()),
            after: fc.oneof(fc.constant(ID), fc.string()),
          },
          { requiredKeys: [] },
        )
        .map((value) => encodeText(fc.stringify(value).slice(0, 1000))),
      fc.uint8Array({ maxLength: 40 }),
    ),
    { maxLength: 4 },
  );

  test('a question is read or refused, and what is read is written again', () => {
    fc.assert(
      fc.property(fc.constantFrom(...TITANIC_SERVICES), fc.oneof(body, nearly), (service, it) => {
        const decoded = decodeQuestion(service, it, BOUNDS);
        if ('status' in decoded) return decoded.status === 400 && decoded.text !== '';
        const { service: again, body: written } = encodeQuestion(decoded);
        expect(decodeQuestion(again, written, BOUNDS)).toEqual(decoded);
        return true;
      }),
      { numRuns: 2000 },
    );
  });

  test('an answer is read, or there is a reason why not', () => {
    fc.assert(
      fc.property(fc.oneof(body, nearly), (it) => {
        const answer = decodeAnswer(it);
        const outcome = typeof answer === 'string' ? answer : String(answer.status);
        expect(outcome).toMatch(/^(?:200|300|400|500|.*status.*)$/);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('an answer', () => {
  test.each<[TitanicService, Answer]>([
    ['titanic.fetch', { status: 200, body: frames('a', 'b') }],
    ['titanic.fetch', { status: 300, body: [] }],
    ['titanic.submit', { status: 400, code: 'ERR_ID_IN_USE', text: 'of another: "x"\ny' }],
    ['titanic.close', { status: 500, code: 'ERR_STORAGE_FULL', text: 'the disk: full\nyes' }],
  ])('of %s is read as it was written: %o', (service, answer) => {
    expect(decodeAnswer(encodeAnswer(service, answer))).toEqual(answer);
  });

  test.each([
    ['no frame', []],
    ['an empty status', ['']],
    ['an unknown status', ['404']],
    ['a longer number', ['2000']],
    ['words', ['OK 200']],
  ])('is none with %s', (_name, body) => {
    expect(decodeAnswer(frames(...body))).toEqual(expect.stringMatching(/status/));
  });

  test('of another Titanic may say more or less', () => {
    expect(decodeAnswer(frames('200 OK', 'x'))).toEqual({ status: 200, body: frames('x') });
    expect(decodeAnswer(frames('400'))).toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    expect(decodeAnswer(frames('500 sunk', '{'))).toMatchObject({
      code: 'ERR_HANDLER_FAILED',
      text: 'sunk',
    });
    const later = json({ code: 'ERR_ICEBERG', message: 'ahead' });
    expect(decodeAnswer(frames('500 x', later))).toMatchObject({
      code: 'ERR_HANDLER_FAILED',
      text: 'ERR_ICEBERG: ahead',
    });
    expect(decodeAnswer(frames('500 x', '{"code":7}'))).toMatchObject({ text: 'x' });
  });
});
