/** CRC-32C, the checksum in LevelDB's files; zlib has only the other one. Eight bytes a step. */

const POLYNOMIAL = 0x82f63b78;

/** What one byte does to a checksum, followed by 0 to 7 bytes of zeros. */
const TABLES = tables();

function tables(): readonly Int32Array[] {
  const first = new Int32Array(256).map((_, byte) => {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? POLYNOMIAL : 0);
    return crc;
  });
  const all = [first];
  for (let zeros = 1; zeros < 8; zeros++) {
    const before = all[zeros - 1]!;
    all.push(before.map((crc) => (crc >>> 8) ^ first[crc & 0xff]!));
  }
  return all;
}

/** The checksum of `bytes`, unsigned. */
export function crc32c(bytes: Uint8Array): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = TABLES as readonly Int32Array[] & { length: 8 };
  const whole = bytes.length & ~7;
  let crc = -1;
  let at = 0;
  for (; at < whole; at += 8) {
    crc ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    crc =
      t7![crc & 0xff]! ^
      t6![(crc >>> 8) & 0xff]! ^
      t5![(crc >>> 16) & 0xff]! ^
      t4![crc >>> 24]! ^
      t3![bytes[at + 4]!]! ^
      t2![bytes[at + 5]!]! ^
      t1![bytes[at + 6]!]! ^
      t0![bytes[at + 7]!]!;
  }
  for (; at < bytes.length; at++) crc = (crc >>> 8) ^ t0![(crc ^ bytes[at]!) & 0xff]!;
  return ~crc >>> 0;
}

/** As LevelDB stores it: so that a checksum over bytes with checksums in them is still one. */
export function maskedCrc32c(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
