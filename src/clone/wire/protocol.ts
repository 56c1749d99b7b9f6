/**
 * The codecs of Clone: which dialect is heard and spoken at which port.
 *
 * Our own peers speak the packed stream, over one link. Stock peers speak 12/CHP, over three. A server
 * hears both at the same port: the first bytes of a message tell which.
 */
import { deliverOr, messageOf, type Codec, type Outgoing } from '../../core/codec.ts';
import type { Frames } from '../../core/machine.ts';
import { isTagged } from '../../core/pack-format.ts';
import type { ClientPort } from '../client-events.ts';
import type {
  ChpClientInput,
  ChpClientOutput,
  FollowerInput,
  FollowerOutput,
  ServerInput,
  ServerOutput,
} from '../commands.ts';
import type { ServerPort } from '../server-events.ts';
import {
  decodeIcanhaz,
  decodeKvset,
  decodePublished,
  decodeSnapshot,
  encodeChp,
  isIcanhaz,
} from './chp-codec.ts';
import { STREAM_TAG } from './stream-format.ts';
import { decodeForFollower, decodeForServer } from './stream-reader.ts';
import { encodeStream } from './stream-writer.ts';

const UNKNOWN = 'no dialect of ours';

/** What a server hears: at `active` it is a follower itself. */
export type ServerHears = ServerInput | FollowerInput;
/** What a server says. */
export type ServerSays = ServerOutput | FollowerOutput;

/** What a server hears and says. */
export const serverCodec: Codec<ServerPort, ServerHears, ServerSays> = {
  decode(port, frames, deliver) {
    switch (port) {
      case 'peers':
        if (isTagged(frames, STREAM_TAG)) return decodeForServer(frames, deliver);
        return isIcanhaz(frames) ? deliverOr(decodeIcanhaz(frames), deliver) : UNKNOWN;
      case 'collector':
        return deliverOr(decodeKvset(frames), deliver);
      case 'active':
        return hearStream(frames, deliver);
      case 'publisher':
        return UNKNOWN;
    }
  },
  encode(_port, command, open) {
    switch (command.type) {
      case 'kvsync':
      case 'kthxbai':
      case 'kvpub':
      case 'hugz':
        return messageOf(encodeChp(command));
      default:
        return encodeStream(command, open);
    }
  },
};

/** What those hear and say who follow a server of ours: at any port. */
export const followerCodec: Codec<string, FollowerInput, FollowerOutput> = {
  decode: (_port, frames, deliver) => hearStream(frames, deliver),
  encode: (_port, command, open) => encodeStream(command, open),
};

/** What our client hears and says. */
export const clientCodec: Codec<ClientPort, FollowerInput, FollowerOutput> = followerCodec;

/** What our client hears and says where the server is a stock one. */
export const chpClientCodec: Codec<ClientPort, ChpClientInput, ChpClientOutput> = {
  decode(port, frames, deliver) {
    switch (port) {
      case 'server':
        return deliverOr(decodeSnapshot(frames), deliver);
      case 'updates':
        return deliverOr(decodePublished(frames), deliver);
      case 'writes':
        return UNKNOWN;
    }
  },
  encode: (_port, command): Outgoing => messageOf(encodeChp(command)),
};

function hearStream(frames: Frames, deliver: (command: FollowerInput) => void): string | undefined {
  return isTagged(frames, STREAM_TAG) ? decodeForFollower(frames, deliver) : UNKNOWN;
}
