// test/support/pgoutput-bytes: messages of the replication stream, written by hand after the protocol's page.
// https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html

export const int8 = (value: number): Buffer => Buffer.from([value])
export const int16 = (value: number): Buffer => Buffer.from([value >> 8, value])
export const int32 = (value: number): Buffer => Buffer.from([value >> 24, value >> 16, value >> 8, value])
export const int64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64BE(value)
  return bytes
}
export const name = (text: string): Buffer => Buffer.from(`${text}\0`)
export const letter = (text: string): Buffer => Buffer.from(text)

/** A value as it stands in a row: text, NULL, or a TOASTed value that was not sent. */
export type Value = string | null | undefined

export function row(values: readonly Value[]): Buffer {
  const columns = values.map(value => {
    if (value === null) return letter('n')
    if (value === undefined) return letter('u')
    return Buffer.concat([letter('t'), int32(Buffer.byteLength(value)), Buffer.from(value)])
  })
  return Buffer.concat([int16(values.length), ...columns])
}

export interface RelationParts {
  readonly oid: number
  readonly schema: string
  readonly table: string
  readonly identity: string
  readonly columns: readonly { name: string; key?: boolean; type?: number; modifier?: number }[]
}

export function relation({ oid, schema, table, identity, columns }: RelationParts): Buffer {
  return Buffer.concat([
    letter('R'),
    int32(oid),
    name(schema),
    name(table),
    letter(identity),
    int16(columns.length),
    ...columns.flatMap(column => [
      int8(column.key ? 1 : 0),
      name(column.name),
      int32(column.type ?? 25),
      int32(column.modifier ?? -1),
    ]),
  ])
}

export const begin = (lsn: bigint, time: bigint, xid: number): Buffer =>
  Buffer.concat([letter('B'), int64(lsn), int64(time), int32(xid)])

export const commit = (lsn: bigint, end: bigint, time: bigint): Buffer =>
  Buffer.concat([letter('C'), int8(0), int64(lsn), int64(end), int64(time)])

export const insert = (oid: number, after: readonly Value[]): Buffer =>
  Buffer.concat([letter('I'), int32(oid), letter('N'), row(after)])

export const update = (oid: number, image: 'K' | 'O' | '', before: readonly Value[], after: readonly Value[]): Buffer =>
  Buffer.concat([letter('U'), int32(oid), letter(image), image ? row(before) : letter(''), letter('N'), row(after)])

export const remove = (oid: number, image: 'K' | 'O', before: readonly Value[]): Buffer =>
  Buffer.concat([letter('D'), int32(oid), letter(image), row(before)])

export const truncate = (options: number, oids: readonly number[]): Buffer =>
  Buffer.concat([letter('T'), int32(oids.length), int8(options), ...oids.map(int32)])

export const logicalMessage = (flags: number, lsn: bigint, prefix: string, content: Buffer): Buffer =>
  Buffer.concat([letter('M'), int8(flags), int64(lsn), name(prefix), int32(content.length), content])
