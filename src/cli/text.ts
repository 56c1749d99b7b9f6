/** Text from elsewhere, made safe and readable for a terminal. */
import { decodeStrictText } from '../core/frames.ts';

const ESCAPES: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** The longest text, and the most bytes in hexadecimal, that are shown whole. */
const TEXT_LIMIT = 64;
const HEX_LIMIT = 16;

/** One line that cannot move the cursor or change colours: control characters become escapes. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, (character) => {
    const hex = character.charCodeAt(0).toString(16).padStart(2, '0');
    return ESCAPES[character] ?? (hex.length > 2 ? `\\u${hex}` : `\\x${hex}`);
  });
}

/** Bytes as their text if they are short printable UTF-8, otherwise their number and a beginning. */
export function printableBytes(bytes: Uint8Array): string {
  const text = bytes.byteLength <= TEXT_LIMIT ? decodeStrictText(bytes) : undefined;
  if (text !== undefined && text === printable(text)) return text;
  const hex = Buffer.from(bytes.subarray(0, HEX_LIMIT)).toString('hex');
  const rest = bytes.byteLength > HEX_LIMIT ? '…' : '';
  return `<${bytes.byteLength} bytes ${hex}${rest}>`;
}

/** A routing id, one character a byte, as text if it is printable ASCII, otherwise in hexadecimal. */
export function printableAddress(address: string): string {
  if (/^[\x21-\x7e]+$/.test(address)) return address;
  return `0x${Buffer.from(address, 'latin1').toString('hex')}`;
}
