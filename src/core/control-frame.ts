/**
 * What our clients write where a protocol returns a frame untouched: which try of which request. Six bytes
 * and two, in network order.
 */
const LENGTH = 8;
const TWO_TO_32 = 2 ** 32;

/** @param request below 2⁴⁸ @param attempt below 2¹⁶ */
export function controlFrame(request: number, attempt: number): Uint8Array {
  const frame = new Uint8Array(LENGTH);
  const high = Math.floor(request / TWO_TO_32);
  frame[0] = high >>> 8;
  frame[1] = high;
  frame[2] = request >>> 24;
  frame[3] = request >>> 16;
  frame[4] = request >>> 8;
  frame[5] = request;
  frame[6] = attempt >>> 8;
  frame[7] = attempt;
  return frame;
}

/** The number of the request, or -1 if the frame is none of ours. */
export function requestIn(frame: Uint8Array): number {
  if (frame.byteLength !== LENGTH) return -1;
  const high = (frame[0]! << 8) | frame[1]!;
  const low = (frame[2]! << 24) | (frame[3]! << 16) | (frame[4]! << 8) | frame[5]!;
  return high * TWO_TO_32 + (low >>> 0);
}

/** The number of the try in a frame that is ours. */
export function tryIn(frame: Uint8Array): number {
  return (frame[6]! << 8) | frame[7]!;
}
