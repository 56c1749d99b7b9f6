/** The codecs of the `stream` dialect: the same packed stream as Clone's, and nothing beside it. */
import type { Codec } from '../../core/codec.ts';
import { isTagged } from '../../core/pack-format.ts';
import type { FollowerInput, FollowerOutput, ServerInput } from '../commands.ts';
import { followerCodec } from '../wire/protocol.ts';
import { STREAM_TAG } from '../wire/stream-format.ts';
import { decodeForServer } from '../wire/stream-reader.ts';
import { encodeStream } from '../wire/stream-writer.ts';
import type { StreamPublisherPort } from './stream-publisher-machine.ts';
import type { StreamSubscriberPort } from './stream-subscriber-machine.ts';

/** What a publisher hears and says. */
export const streamPublisherCodec: Codec<StreamPublisherPort, ServerInput, FollowerInput> = {
  decode: (_port, frames, deliver) =>
    isTagged(frames, STREAM_TAG) ? decodeForServer(frames, deliver) : 'no dialect of ours',
  encode: (_port, command, open) => encodeStream(command, open),
};

/** What a subscriber hears and says. */
export const streamSubscriberCodec: Codec<StreamSubscriberPort, FollowerInput, FollowerOutput> =
  followerCodec;
