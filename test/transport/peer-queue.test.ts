/** One peer's outgoing queue, alone and under the driver with a dialect that packs. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Codec, Outgoing } from '../../src/core/codec.ts';
import { decodeText, encodeText } from '../../src/core/frames.ts';
import { PeerQueue } from '../../src/transport/peer-queue.ts';
import { PuppetWorld, type Port } from './puppet-world.ts';

const message = (text: string): Outgoing => ({ frames: [encodeText(text)], bytes: text.length });
const headOf = (queue: PeerQueue): string | undefined => queue.head?.map(decodeText).join('|');

describe('PeerQueue', () => {
  test('agrees with an array', () => {
    const operation = fc.oneof(
      { weight: 3, arbitrary: fc.string({ minLength: 1, maxLength: 9 }) },
      { weight: 2, arbitrary: fc.constant(undefined) },
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60, size: 'max' }), (operations) => {
        const queue = new PeerQueue('peer', 20);
        const model: string[] = [];
        const answers: boolean[] = [];
        for (const text of operations) {
          if (text === undefined) {
            queue.shift();
            model.shift();
          } else {
            const bytes = model.join('').length;
            const fits = bytes <= 10 || bytes + text.length <= 20;
            answers.push(queue.hasRoom(text.length) === fits);
            if (!fits) continue;
            queue.push(message(text));
            model.push(text);
          }
          expect(headOf(queue)).toBe(model[0]);
          expect(queue.bytes).toBe(model.join('').length);
          expect(queue.empty).toBe(model.length === 0);
          expect(queue.hasDrained).toBe(queue.bytes <= 10);
        }
        expect(answers).not.toContain(false);
      }),
    );
  });

  test('takes a message of any size while half of the bound is free', () => {
    const queue = new PeerQueue('peer', 100);
    expect(queue.hasRoom(1000)).toBe(true);
    queue.push({ frames: [], bytes: 50 });
    expect(queue.hasRoom(1000)).toBe(true);
    queue.push({ frames: [], bytes: 1 });
    expect([queue.hasRoom(49), queue.hasRoom(50)]).toEqual([true, false]);
  });

  test('waits longer after each refusal, and starts anew after a success', () => {
    const queue = new PeerQueue('peer', 100);
    queue.push(message('a'));
    queue.push(message('b'));
    const pauses = Array.from({ length: 7 }, () => {
      queue.postpone(1000);
      return queue.retryAt - 1000;
    });
    expect(pauses).toEqual([1, 2, 4, 8, 16, 32, 32]);
    expect(queue.postponed).toBe(true);
    queue.shift();
    expect(queue.postponed).toBe(false);
    expect(queue.retryAt).toBe(-Infinity);
  });

  test('kept messages no longer borrow their frames', () => {
    const queue = new PeerQueue('peer', 100);
    const lent = encodeText('lent');
    queue.push({ frames: [lent], bytes: 4 });
    queue.keep();
    lent.fill(0);
    expect(headOf(queue)).toBe('lent');
  });

  test('keeping again keeps what came since', () => {
    const queue = new PeerQueue('peer', 100);
    const second = encodeText('second');
    queue.push(message('first'));
    queue.keep();
    queue.push({ frames: [second], bytes: 6 });
    queue.keep();
    second.fill(0);
    queue.shift();
    expect(headOf(queue)).toBe('second');
  });

  test('the last message is open until it is sent or kept', () => {
    const queue = new PeerQueue('peer', 100);
    expect(queue.open).toBeUndefined();
    const [first, second] = [message('first'), message('second')];
    queue.push(first);
    expect(queue.open).toBe(first);
    queue.sending = true;
    expect(queue.open).toBeUndefined();
    queue.push(second);
    expect(queue.open).toBe(second);
    queue.keep();
    expect(queue.open).toBeUndefined();
  });

  test('an open message that has grown is one message of the new size', () => {
    const queue = new PeerQueue('peer', 100);
    const open = { frames: [encodeText('a')], bytes: 1 };
    queue.push(open);
    open.bytes = 5;
    queue.push(open);
    expect(queue.bytes).toBe(5);
    queue.shift();
    expect([queue.bytes, queue.empty]).toEqual([0, true]);
  });
});

/** Many texts in one message, a frame each; a text that is the last one already is left out. */
const packingCodec: Codec<Port, string> = {
  decode: (_port, frames, deliver) => {
    for (const frame of frames) deliver(decodeText(frame));
    return undefined;
  },
  encode: (_port, text, open) => {
    const pack = (open ?? { frames: [], bytes: 0 }) as { frames: Uint8Array[]; bytes: number };
    const last = pack.frames.at(-1);
    if (last !== undefined && decodeText(last) === text) return pack;
    pack.frames.push(encodeText(text));
    pack.bytes += text.length;
    return pack;
  },
};

describe('a dialect that packs', () => {
  test('delivers each command of a message', () => {
    const world = new PuppetWorld({ codec: packingCodec });
    const socket = world.open('left');
    socket.handler.onMessage('peer', ['a', 'b'].map(encodeText));
    expect(world.log).toEqual(['left peer: a', 'left peer: b']);
  });

  test('fills the open message of each peer until the turn ends', () => {
    const world = new PuppetWorld({ codec: packingCodec });
    const socket = world.open('left');
    world.send('left', 'peer', 'a', 'b');
    world.send('left', 'other', 'x');
    world.send('left', 'peer', 'c');
    world.clock.endTurn();
    world.send('left', 'peer', 'd');
    world.clock.endTurn();
    expect(socket.sent).toEqual(['peer: a|b|c', 'other: x', 'peer: d']);
  });

  test('begins another message while one is being sent, and fills that', () => {
    const world = new PuppetWorld({ codec: packingCodec });
    const socket = world.open('left');
    socket.answer = () => undefined;
    world.send('left', 'peer', 'a');
    world.clock.endTurn();
    world.send('left', 'peer', 'b');
    world.send('left', 'peer', 'c');
    world.clock.endTurn();
    socket.settle('sent');
    expect(socket.sent).toEqual(['peer: a', 'peer: b|c']);
  });

  test('counts what the open message has grown by', () => {
    const world = new PuppetWorld({ codec: packingCodec, peerQueueBytes: 10 });
    const socket = world.open('left');
    const answers = world.send('left', 'peer', 'aaaaaa', 'bbbbbb', 'c');
    expect(answers).toEqual([true, true, false]);
    world.clock.endTurn();
    expect(socket.sent).toEqual(['peer: aaaaaa|bbbbbb']);
    expect(world.log).toEqual(['left peer writable']);
  });

  test('may find that a command adds nothing', () => {
    const world = new PuppetWorld({ codec: packingCodec });
    const socket = world.open('left');
    expect(world.send('left', 'peer', 'beat', 'beat')).toEqual([true, true]);
    world.clock.endTurn();
    expect(socket.sent).toEqual(['peer: beat']);
  });
});

describe('frames that wait for a slow peer', () => {
  test('are kept when the turn in which they were lent ends', () => {
    const lent: Uint8Array[] = [];
    const lendingCodec: Codec<Port, string> = {
      ...packingCodec,
      encode: (_port, text) => {
        const frame = encodeText(text);
        lent.push(frame);
        return { frames: [frame], bytes: text.length };
      },
    };
    const world = new PuppetWorld({ codec: lendingCodec });
    const socket = world.open('left');
    let full = true;
    socket.answer = () => (full ? 'full' : 'sent');
    const sendAndTakeBack = (text: string): void => {
      world.send('left', 'peer', text);
      world.clock.endTurn();
      for (const frame of lent.splice(0)) frame.fill(0);
    };
    sendAndTakeBack('first');
    sendAndTakeBack('second');
    full = false;
    world.clock.advance(10);
    expect(socket.sent).toEqual(['peer: first', 'peer: second']);
  });
});
