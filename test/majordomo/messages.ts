/** Random messages for Majordomo peers: valid ones, nearly valid ones, and noise. */
import fc from 'fast-check';
import { encodeText } from '../../src/core/frames.ts';
import type { Frames } from '../../src/core/machine.ts';
import type { Command, Dialect, StockDialect } from '../../src/majordomo/wire/commands.ts';
import { encode } from '../../src/majordomo/wire/protocol.ts';

export const SERVICES = ['echo', 'sum'] as const;

export const dialects: fc.Arbitrary<StockDialect> = fc.constantFrom('mdp0.1', 'mdp0.2');
export const services = fc.constantFrom<string>(...SERVICES, 'mmi.service', 'mmi.x');

/** Frames of a body: never none, as no dialect has a message without one. */
export const bodies: fc.Arbitrary<Frames> = fc.array(fc.uint8Array({ maxLength: 12 }), {
  minLength: 1,
  maxLength: 3,
});

/** An envelope as `tags` has them, or any other. */
export function envelopes(...tags: readonly string[]): fc.Arbitrary<Frames> {
  const known = fc.constantFrom(...tags).map((tag) => [encodeText(tag)]);
  const frame = fc.uint8Array({ minLength: 1, maxLength: 6 });
  return fc.oneof({ weight: 4, arbitrary: known }, fc.array(frame, { minLength: 1, maxLength: 3 }));
}

export interface Choices {
  readonly service?: fc.Arbitrary<string>;
  readonly dialect?: fc.Arbitrary<Dialect>;
  readonly envelope?: fc.Arbitrary<Frames>;
}

const type = <Type extends string>(name: Type): fc.Arbitrary<Type> => fc.constant(name);

/** Any command that any Majordomo peer may say. */
export function commands(choices: Choices = {}): fc.Arbitrary<Command> {
  const { service = services, dialect = dialects, envelope = envelopes('tag') } = choices;
  const partial = { dialect: fc.constant<Dialect>('mdp0.2'), final: fc.constant(false) };
  const final = { dialect, final: fc.constant(true) };
  return fc.oneof(
    fc.record({ type: type('request'), dialect, service, body: bodies }),
    fc.record({ type: type('reply'), service, body: bodies, ...final }),
    fc.record({ type: type('reply'), service, body: bodies, ...partial }),
    fc.record({ type: type('ready'), dialect, service }),
    fc.record({ type: type('dispatch'), dialect, envelope, body: bodies }),
    fc.record({ type: type('result'), envelope, body: bodies, ...final }),
    fc.record({ type: type('result'), envelope, body: bodies, ...partial }),
    fc.record({ type: type('heartbeat'), dialect }),
    fc.record({ type: type('disconnect'), dialect }),
  );
}

/** Frames that mean something in some place, or nothing at all. */
const frames: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc.constant(new Uint8Array(0)),
  fc.constantFrom('MDPC01', 'MDPW01', 'MDPC02', 'MDPW02', 'MDPW03', 'echo').map(encodeText),
  fc.nat(8).map((number) => Uint8Array.of(number)),
  fc.uint8Array({ maxLength: 300, size: 'max' }),
);

export const noise: fc.Arbitrary<Frames> = fc.array(frames, { maxLength: 8 });

/** Valid messages, the same cut short or lengthened by a frame, and noise. */
export function messages(choices: Choices = {}): fc.Arbitrary<Frames> {
  const valid = commands(choices).map((command) => encode(command).frames);
  return fc.oneof(
    { weight: 8, arbitrary: valid },
    { weight: 1, arbitrary: valid.map((message) => message.slice(0, -1)) },
    { weight: 1, arbitrary: fc.tuple(valid, frames).map(([message, more]) => [...message, more]) },
    { weight: 2, arbitrary: noise },
  );
}
