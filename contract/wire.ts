// contract/wire: the five bytes before every Avro body.

/** Magic byte 0 and a big-endian schema id. @see https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format */
export const wireHeaderBytes = 5

export function writeWireHeader(target: Buffer, at: number, schemaId: number): number {
  target[at] = 0
  target.writeUInt32BE(schemaId, at + 1)
  return at + wireHeaderBytes
}

/** The schema id at the start of a value, or −1 when the bytes do not have the wire format. */
export function readSchemaId(source: Buffer, start: number, end: number): number {
  return end - start >= wireHeaderBytes && source[start] === 0 ? source.readUInt32BE(start + 1) : -1
}
