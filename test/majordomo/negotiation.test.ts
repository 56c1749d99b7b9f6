/** What a client or worker makes of an answer, of silence, and of silence where express was spoken. */
import { describe, expect, test } from 'vitest';
import { encodeText } from '../../src/core/frames.ts';
import { EXPRESS_QUERY } from '../../src/majordomo/wire/mmi.ts';
import { NEGOTIATION_TIMEOUT, Negotiation, PATIENCE } from '../../src/majordomo/negotiation.ts';

/** A negotiation, and the endpoints that were asked. */
function asking(endpoints: readonly string[]) {
  const asked: string[] = [];
  const outbox = {
    open: (_port: 'probe', endpoint: string) => void asked.push(endpoint),
    close: () => undefined,
    send: () => true,
  };
  const negotiation = new Negotiation(outbox, 'auto', () => 0.5);
  const answer = (...body: string[]): boolean =>
    negotiation.handleReply({
      type: 'reply',
      dialect: 'mdp0.1',
      service: EXPRESS_QUERY,
      body: body.map(encodeText),
      final: true,
    });
  /** Time passes until it has decided, or for so long. */
  const wait = (now: number, until: number): number => {
    while (negotiation.verdict === 'asking' && negotiation.nextTimeout <= until) {
      now = negotiation.nextTimeout;
      negotiation.handleTimeout(now);
    }
    return now;
  };
  negotiation.start(0, endpoints);
  return { negotiation, asked, answer, wait };
}

describe('silence', () => {
  test('means plain MDP, and is asked about again', () => {
    const { negotiation, asked, answer, wait } = asking(['one', 'two']);
    expect(wait(0, Infinity)).toBe(2 * NEGOTIATION_TIMEOUT);
    expect(negotiation.verdict).toBe('plain');
    negotiation.handleTimeout(negotiation.nextTimeout);
    expect(asked).toEqual(['one', 'two', 'one']);
    expect(answer('200', '1')).toBe(true);
    expect(negotiation.verdict).toBe('express');
  });

  test('of one that spoke express means that it restarts: it is waited for', () => {
    const { negotiation, asked, answer, wait } = asking(['one']);
    answer('200', '1');
    negotiation.start(0, ['one']);
    expect(wait(0, PATIENCE - 1)).toBeGreaterThan(PATIENCE / 2);
    expect(negotiation.verdict).toBe('asking');
    expect(asked.length).toBeGreaterThan(4);
    expect(answer('200', '1')).toBe(true);
    expect(negotiation.verdict).toBe('express');
  });

  test('but not for ever', () => {
    const { negotiation, answer, wait } = asking(['one']);
    answer('200', '1');
    negotiation.start(0, ['one']);
    expect(wait(0, Infinity)).toBeGreaterThanOrEqual(PATIENCE);
    expect(negotiation.verdict).toBe('plain');
  });
});

test('a refusal is believed at once, also of one that spoke express before', () => {
  const { negotiation, answer, wait } = asking(['one']);
  answer('200', '1');
  negotiation.start(0, ['one']);
  expect(answer('501')).toBe(true);
  expect(negotiation.verdict).toBe('plain');
  expect(negotiation.nextTimeout).toBe(Infinity);
  // The next one there is a stranger.
  negotiation.start(0, ['one']);
  expect(wait(0, Infinity)).toBe(NEGOTIATION_TIMEOUT);
});
