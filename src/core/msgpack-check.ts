/**
 * Whether MessagePack has as many elements as it claims, before a decoder makes room for them.
 *
 * Each element takes a byte at least, so all arrays and maps together cannot have more elements than
 * there are bytes. Without this, each of many nested lies would cost as much as the whole message.
 */

/** For the heads 0xc0 to 0xdf: how many bytes of length follow. */
const LENGTHS = [
  [0, 0, 0, 0], // nil, unused, false, true
  [1, 2, 4, 1, 2, 4], // bin, ext
  [0, 0, 0, 0, 0, 0, 0, 0, 0, 0], // float, uint, int
  [0, 0, 0, 0, 0], // fixext
  [1, 2, 4, 2, 4, 2, 4], // str, array, map
].flat();

/** For the same: how many bytes there are beside those that the length counts. */
const FIXED = [
  [0, 0, 0, 0],
  [0, 0, 0, 1, 1, 1],
  [4, 8, 1, 2, 4, 8, 1, 2, 4, 8],
  [2, 3, 5, 9, 17],
  [0, 0, 0, 0, 0, 0, 0],
].flat();

/** False if more is claimed than can be there. Whatever else is wrong, the decoder finds. */
export function isHonestMessagePack(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let elements = 0;
  let at = 0;
  while (at < bytes.byteLength && elements <= bytes.byteLength) {
    const head = bytes[at++]!;
    if (head < 0x80 || head >= 0xe0) continue; // a small number
    if (head < 0x90) elements += 2 * (head & 0x0f);
    else if (head < 0xa0) elements += head & 0x0f;
    else if (head < 0xc0) at += head & 0x1f;
    else {
      const width = LENGTHS[head - 0xc0]!;
      if (at + width > bytes.byteLength) return true;
      const length = readLength(view, at, width);
      at += width + FIXED[head - 0xc0]!;
      if (head < 0xdc) at += length;
      else elements += head < 0xde ? length : 2 * length;
    }
  }
  return elements <= bytes.byteLength;
}

function readLength(view: DataView, at: number, width: number): number {
  if (width === 1) return view.getUint8(at);
  if (width === 2) return view.getUint16(at);
  return width === 4 ? view.getUint32(at) : 0;
}
