// contract/envelope: reads the records of one table's topic, and says which of them millrace did
// not write. It checks every byte of key and value without decoding values, so a damaged record is
// always found.

import { lengthAndText } from './bytes.ts'
import type { Change } from './encode.ts'
import { readSchemaId, wireHeaderBytes } from './head.ts'
import type { Position } from './position.ts'
import type { Encoding, Table } from './table.ts'

/** Whether a value was written with a schema of the table. */
export type KnowsSchema = (id: number) => boolean

/**
 * Bytes of values of fixed size. Every other value is a varint, or a length followed by that many
 * bytes.
 */
const fixedBytes: Partial<Record<Encoding, number>> = { boolean: 1, float: 4, double: 8 }
const varints: ReadonlySet<Encoding> = new Set(['int', 'long', 'date', 'timestamp', 'timestamptz'])

/** How to skip a column's value that has no fixed size. */
const asVarint = -1
const asText = -2
const asDecimal = -3

const absent = -1
const nullBranch = 0
const valueBranch = 2

/**
 * The images that each operation has: r (snapshot), c (create), u (update), d (delete), t
 * (truncate).
 */
const images: Record<Change['op'], { readonly before: boolean; readonly after: boolean }> = {
  r: { before: false, after: true },
  c: { before: false, after: true },
  u: { before: true, after: true },
  d: { before: true, after: false },
  t: { before: false, after: false },
}
/** Indexed by the ASCII code of the operation's letter. */
const operations: readonly (Change['op'] | undefined)[] = Array.from({ length: 256 }, (_, code) => {
  const letter = String.fromCharCode(code)
  return Object.hasOwn(images, letter) ? (letter as Change['op']) : undefined
})

/**
 * Reads records of a table one at a time. The fields describe the last record, and are valid only
 * if `read` returned undefined for it.
 * @see valueSchema for the shape
 */
export class Envelope implements Position {
  lsn = 0
  ordinal = 0
  op: Change['op'] = 't'
  /** Index of the operation's letter in the buffer. */
  opAt = 0
  /** Where the columns of each image begin and end; −1 for an absent image. */
  beforeStart = absent
  beforeEnd = absent
  afterStart = absent
  afterEnd = absent
  private readonly knows: KnowsSchema
  /** `source.schema` and `source.table`, encoded. */
  private readonly names: Buffer
  private readonly nullable: Uint8Array
  private readonly steps: Int8Array
  /** Index of each key column among the columns, in key order. */
  private readonly keyColumns: readonly number[]
  /** Where each column's value begins and ends in the image read last. */
  private readonly starts: Int32Array
  private readonly ends: Int32Array
  /** Next byte to read. */
  private at = 0

  constructor({ schema, name, columns, key }: Table, knows: KnowsSchema) {
    this.knows = knows
    this.names = Buffer.concat([schema, name].map(lengthAndText))
    this.nullable = Uint8Array.from(columns, ({ nullable }) => Number(nullable))
    this.steps = Int8Array.from(columns, ({ encoding }) =>
      varints.has(encoding) ? asVarint : (fixedBytes[encoding] ?? (encoding === 'decimal' ? asDecimal : asText)),
    )
    this.keyColumns = key.map(keyColumn => columns.findIndex(column => column.name === keyColumn))
    this.starts = new Int32Array(columns.length)
    this.ends = new Int32Array(columns.length)
  }

  /**
   * Why millrace did not write this record for the table; undefined when it did.
   * @param keyStart −1 for a null key
   * @param valueStart −1 for a null value
   */
  read(buffer: Buffer, keyStart: number, keyEnd: number, valueStart: number, valueEnd: number): string | undefined {
    if (valueStart === absent) return 'it has no value'
    const id = readSchemaId(buffer, valueStart, valueEnd)
    if (id === -1) return 'it does not have the Confluent wire format'
    if (!this.knows(id)) return `no schema of this table has its schema id ${id}`
    this.at = valueStart + wireHeaderBytes
    if (!this.head(buffer, valueEnd)) return 'it has no position, or names another table'
    const { before, after } = images[this.op]
    if (keyStart === absent && this.op !== 't') return `its operation is "${this.op}", but it has no key`
    if (keyStart !== absent && this.op === 't') return 'it is a TRUNCATE, but it has a key'
    if (!this.image(buffer, valueEnd, before)) return `its old row is not that of an operation "${this.op}"`
    if (before && !this.isKey(buffer, keyStart, keyEnd)) return 'its key is not that of its old row'
    this.beforeStart = before ? this.starts[0]! - this.nullable[0]! : absent
    this.beforeEnd = before ? this.at : absent
    if (!this.image(buffer, valueEnd, after)) return `its new row is not that of an operation "${this.op}"`
    if (after && !this.isKey(buffer, keyStart, keyEnd)) return 'its key is not that of its new row'
    this.afterStart = after ? this.starts[0]! - this.nullable[0]! : absent
    this.afterEnd = after ? this.at : absent
    return this.at === valueEnd ? undefined : 'bytes follow its last row'
  }

  /** Reads everything before the images. */
  private head(buffer: Buffer, end: number): boolean {
    this.lsn = this.natural(buffer, end)
    this.ordinal = this.natural(buffer, end)
    const transaction = this.natural(buffer, end)
    const commitTime = this.natural(buffer, end)
    if (this.lsn < 0 || this.ordinal < 0 || transaction < 0 || commitTime < 0) return false
    const { names } = this
    // The snapshot mark; the names; the operation, a text of one letter; the time at which the
    // record was written.
    if (this.at + names.length + 3 >= end || buffer[this.at]! > 1) return false
    let at = this.at + 1
    for (let index = 0; index < names.length; index++) if (buffer[at++] !== names[index]) return false
    const op = buffer[at] === 2 ? operations[buffer[at + 1]!] : undefined
    if (op === undefined) return false
    this.op = op
    this.opAt = at + 1
    this.at = at + 2
    return this.natural(buffer, end) >= 0
  }

  /** Skips an image, or the null branch of an absent one. */
  private image(buffer: Buffer, end: number, wanted: boolean): boolean {
    if (this.at >= end || buffer[this.at++] !== (wanted ? valueBranch : nullBranch)) return false
    if (!wanted) return true
    const { steps, starts, ends, nullable } = this
    let { at } = this
    for (let column = 0; column < steps.length; column++) {
      const branch = nullable[column] === 1 ? buffer[at++] : valueBranch
      starts[column] = at
      if (branch === valueBranch) {
        const step = steps[column]!
        if (step >= 0) at += step
        else if (step === asVarint) while (buffer[at++]! >= 0x80) {}
        else {
          const length = buffer[at]!
          let bytes = length / 2
          if (length >= 0x80 || length % 2 !== 0) {
            this.at = at
            bytes = this.natural(buffer, end)
            if (bytes < 0) return false
            at = this.at
          } else at += 1
          // A decimal has at least one byte: two's complement has no shorter form.
          if (bytes === 0 && step === asDecimal) return false
          at += bytes
        }
      } else if (branch !== nullBranch) return false
      // Past the end of the buffer, `at` may be NaN. The negated comparison rejects it as well.
      if (!(at <= end)) return false
      ends[column] = at
    }
    this.at = at
    return true
  }

  /** Whether the key equals the key columns of the image read last. */
  private isKey(buffer: Buffer, keyStart: number, keyEnd: number): boolean {
    if (readSchemaId(buffer, keyStart, keyEnd) === -1) return false
    let at = keyStart + wireHeaderBytes
    for (const column of this.keyColumns) {
      const end = this.ends[column]!
      for (let from = this.starts[column]!; from < end; from++) if (buffer[at++] !== buffer[from]) return false
    }
    return at === keyEnd
  }

  /**
   * A zig-zag varint of a natural number below 2^53; −1 for anything else. Unlike VarintReader it
   * does not throw, since foreign records are expected here.
   */
  private natural(buffer: Buffer, end: number): number {
    let { at } = this
    if (at >= end) return -1
    let byte = buffer[at++]!
    // The lowest bit is the sign.
    if ((byte & 1) === 1) return -1
    let value = (byte & 0x7f) >> 1
    for (let factor = 64; byte >= 0x80; factor *= 128) {
      if (at >= end || factor > Number.MAX_SAFE_INTEGER) return -1
      byte = buffer[at++]!
      value += (byte & 0x7f) * factor
    }
    this.at = at
    return value <= Number.MAX_SAFE_INTEGER ? value : -1
  }
}
