/**
 * The number of bytes at the end that start an incomplete character: 0 to 3. Only bytes that may still become valid
 * UTF-8 count, so bytes that are already invalid are never waited for.
 */
export function incompleteTail(bytes: Uint8Array): number {
  const length = bytes.length;
  for (let back = 1; back <= Math.min(3, length); back++) {
    const byte = bytes[length - back]!;
    if (byte < 0x80) return 0;
    if (byte < 0xc0) continue; // a continuation byte, its lead byte is further left
    if (back >= characterLength(byte)) return 0;
    return back === 1 || secondByteFits(byte, bytes[length - back + 1]!) ? back : 0;
  }
  return 0;
}

/** Whether bytes are valid UTF-8, without making a string of them. */
export function isUtf8(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; ) {
    const lead = bytes[at++] as number;
    if (lead < 0x80) continue;
    const end = at - 1 + characterLength(lead);
    if (end < at || end > bytes.length || !secondByteFits(lead, bytes[at] as number)) return false;
    for (; at < end; at++) if (((bytes[at] as number) & 0xc0) !== 0x80) return false;
  }
  return true;
}

/** Bytes of the character that starts with `lead`; 0 if none can. */
function characterLength(lead: number): number {
  if (lead < 0xc2 || lead > 0xf4) return 0;
  return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/** The second byte excludes overlong forms, surrogates and what is above U+10FFFF. see: Unicode, table 3-7 */
function secondByteFits(lead: number, second: number): boolean {
  if (lead === 0xe0) return second >= 0xa0;
  if (lead === 0xed) return second < 0xa0;
  if (lead === 0xf0) return second >= 0x90;
  if (lead === 0xf4) return second < 0x90;
  return true;
}
