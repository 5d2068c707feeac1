// kafka/protocol/crc32c: the checksum of record batches.

/** Castagnoli's polynomial, reflected. @see https://www.rfc-editor.org/rfc/rfc3720#appendix-B.4 */
const polynomial = 0x82f63b78

/** Eight consecutive tables of 256 entries. Table k advances a byte past k more bytes. */
const tables = buildTables()

/** CRC-32C of `buffer[start, end)`, unsigned; eight bytes per step. */
export function crc32c(buffer: Buffer, start = 0, end = buffer.length): number {
  let crc = -1
  let at = start
  const stepsEnd = start + ((end - start) & ~7)
  while (at < stepsEnd) {
    crc ^= buffer[at]! | (buffer[at + 1]! << 8) | (buffer[at + 2]! << 16) | (buffer[at + 3]! << 24)
    crc =
      tables[1792 + (crc & 0xff)]! ^
      tables[1536 + ((crc >>> 8) & 0xff)]! ^
      tables[1280 + ((crc >>> 16) & 0xff)]! ^
      tables[1024 + (crc >>> 24)]! ^
      tables[768 + buffer[at + 4]!]! ^
      tables[512 + buffer[at + 5]!]! ^
      tables[256 + buffer[at + 6]!]! ^
      tables[buffer[at + 7]!]!
    at += 8
  }
  while (at < end) {
    crc = tables[(crc ^ buffer[at]!) & 0xff]! ^ (crc >>> 8)
    at += 1
  }
  return ~crc >>> 0
}

function buildTables(): Int32Array {
  const built = new Int32Array(8 * 256)
  for (let byte = 0; byte < 256; byte += 1) {
    let crc = byte
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ polynomial : crc >>> 1
    built[byte] = crc
  }
  for (let at = 256; at < built.length; at += 1) {
    const before = built[at - 256]!
    built[at] = built[before & 0xff]! ^ (before >>> 8)
  }
  return built
}
