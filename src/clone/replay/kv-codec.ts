/**
 * What is on the wire between LLM servers and those who follow their key-value cache events.
 *
 *   event    topic sequence body             PUB → SUB
 *   ask      '' sequence                     to the ROUTER
 *   answer   '' sequence body                of SGLang, and of vLLM as it was
 *            '' topic sequence body          of vLLM as it is
 *   end      an answer with the sequence −1 and an empty body
 *
 * A sequence has 8 bytes, big-endian. Both layouts of answers are read, as their number of frames tells
 * them apart. Decoding is total: whatever the bytes, the result is one command or the reason why not.
 */
import { deliverOr, messageOf, type Codec } from '../../core/codec.ts';
import { decodeText, EMPTY_FRAME, encodeText } from '../../core/frames.ts';
import type { Frames } from '../../core/machine.ts';
import type { Sequence } from '../commands.ts';
import type {
  AskCommand,
  KvPublisherInput,
  KvPublisherOutput,
  KvPublisherPort,
  KvSubscriberInput,
  KvSubscriberOutput,
  KvSubscriberPort,
} from './commands.ts';

/** `topic`: answers say their topic. `plain`: they do not, so a publisher has one topic only. */
export type ReplayLayout = 'topic' | 'plain';

const SEQUENCE_BYTES = 8;
const END: Uint8Array = new Uint8Array(SEQUENCE_BYTES).fill(0xff);

/** The codec of a publisher that answers in this layout. */
export function kvPublisherCodec(
  layout: ReplayLayout,
): Codec<KvPublisherPort, KvPublisherInput, KvPublisherOutput> {
  return {
    decode: (_port, frames, deliver) => deliverOr(askIn(frames), deliver),
    encode: (_port, command) => messageOf(framesFor(command, layout)),
  };
}

/** The codec of a subscriber: hears what is published, and answers in either layout. */
export const kvSubscriberCodec: Codec<KvSubscriberPort, KvSubscriberInput, KvSubscriberOutput> = {
  decode: (port, frames, deliver) =>
    deliverOr(port === 'publisher' ? eventIn(frames) : answerIn(frames), deliver),
  encode: (_port, command) => messageOf([EMPTY_FRAME, encodeSequence(command.from)]),
};

function framesFor(command: KvPublisherOutput, layout: ReplayLayout): Frames {
  const topic = encodeText(command.topic ?? '');
  const rest =
    command.type === 'end' ? [END, EMPTY_FRAME] : [encodeSequence(command.sequence), command.body];
  if (command.type === 'event') return [topic, ...rest];
  return layout === 'topic' ? [EMPTY_FRAME, topic, ...rest] : [EMPTY_FRAME, ...rest];
}

function askIn(frames: Frames): AskCommand | string {
  const [delimiter, number] = frames;
  if (frames.length !== 2 || delimiter!.length > 0) return 'not an empty frame and a sequence';
  if (number!.length !== SEQUENCE_BYTES) return 'a sequence that is not 8 bytes';
  // Whoever asks for what nobody can have published gets the end of it.
  return { type: 'ask', from: decodeSequence(number!) ?? Number.MAX_SAFE_INTEGER };
}

function eventIn(frames: Frames): KvSubscriberInput | string {
  if (frames.length !== 3) return 'not a topic, a sequence and a body';
  const [topic, number, body] = frames;
  const sequence = decodeSequence(number!);
  if (sequence === undefined) return 'a sequence that is none';
  return { type: 'event', topic: decodeText(topic!), sequence, body: body! };
}

function answerIn(frames: Frames): KvSubscriberInput | string {
  if (frames.length !== 3 && frames.length !== 4) return 'not an answer of three or four frames';
  if (frames[0]!.length > 0) return 'an answer without its empty frame';
  const topic = frames.length === 4 ? decodeText(frames[1]!) : undefined;
  const [number, body] = frames.slice(-2);
  if (isEnd(number!)) return body!.length === 0 ? { type: 'end', topic } : 'an end with a body';
  const sequence = decodeSequence(number!);
  if (sequence === undefined) return 'a sequence that is none';
  return { type: 'answer', topic, sequence, body: body! };
}

function isEnd(number: Uint8Array): boolean {
  return number.length === SEQUENCE_BYTES && number.every((byte) => byte === 0xff);
}

function encodeSequence(sequence: Sequence): Uint8Array {
  const bytes = new Uint8Array(SEQUENCE_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, Math.floor(sequence / 2 ** 32));
  view.setUint32(4, sequence >>> 0);
  return bytes;
}

/** Undefined for what is not 8 bytes, and for what no counter reaches. */
function decodeSequence(bytes: Uint8Array): Sequence | undefined {
  if (bytes.length !== SEQUENCE_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const sequence = view.getUint32(0) * 2 ** 32 + view.getUint32(4);
  return sequence < Number.MAX_SAFE_INTEGER ? sequence : undefined;
}
