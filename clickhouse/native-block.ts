// clickhouse/native-block: the records of a table as one block of ClickHouse's Native format, with
// the changelog's columns.

import { lengthAndText } from '../contract/bytes.ts'
import type { Table } from '../contract/table.ts'
import { clickhouseType } from '../contract/types.ts'
import { changelogColumns } from './ddl.ts'
import { FixedValues, LongValues, type NativeValues, readLong, unfit } from './native-numbers.ts'
import { nativeValues } from './native-values.ts'

const firstRows = 32
/** A block of more rows or bytes releases its memory, because there may be a thousand tables. */
const keptRows = 1024
const keptBytes = 256 * 1024

const nullBranch = 0
const valueBranch = 2
const letters = { update: 0x75, delete: 0x64, truncate: 0x74 }

/**
 * Builds the body of an `INSERT … FORMAT Native` into a changelog. An update becomes two rows (−1
 * before, +1 after), a delete one row (−1), any other operation one row (+1).
 * @see https://clickhouse.com/docs/interfaces/formats/Native
 */
export class NativeBlock {
  /** Rows of the block. */
  rows = 0
  /** Records of the block. */
  count = 0
  readonly #columns: readonly NativeValues[]
  /** A byte per row for each nullable column: 1 for NULL. */
  readonly #nulls: readonly (FixedValues<Uint8Array> | undefined)[]
  /** Name and type of each column as the format has them before its values. */
  readonly #headings: readonly Buffer[]
  /** Bytes of `source.schema` and `source.table`. */
  readonly #nameBytes: number
  readonly #own = new ChangelogValues()
  #room = 0
  /** Bytes of the records. */
  #bytes = 0

  constructor({ schema, name, columns }: Table) {
    this.#columns = columns.map(nativeValues)
    this.#nulls = columns.map(({ nullable }) =>
      nullable ? new FixedValues(length => new Uint8Array(length)) : undefined,
    )
    this.#headings = nativeColumns({ columns }).map(([column, type]) =>
      Buffer.concat([
        unsigned(Buffer.byteLength(column)),
        Buffer.from(column),
        unsigned(type.length),
        Buffer.from(type),
      ]),
    )
    this.#nameBytes = lengthAndText(schema).length + lengthAndText(name).length
  }

  /**
   * Appends the rows of a record that `Envelope.read` has accepted.
   * @param start first byte after the wire header
   * @returns false when the changelog's types may not hold a value, or the record is a TRUNCATE.
   *   Then the block is spoiled until `reset`, and the records must be sent as Avro: ClickHouse
   *   decides about them
   */
  append(partition: number, offset: number, source: Buffer, start: number, end: number): boolean {
    const own = this.#own
    const first = this.rows
    if (first + 2 > this.#room) this.#grow(Math.max(firstRows, 2 * this.#room))
    // The operation is a text of one letter, after its length.
    const letterAt = own.readHead(source, start, first) + this.#nameBytes + 1
    const letter = source[letterAt]!
    let at = own.skipLong(source, letterAt + 1)
    if (letter === letters.truncate) return false
    own.place(first, partition, offset)
    const hasBefore = source[at++] === valueBranch
    if (hasBefore) {
      at = this.#image(source, at, this.rows)
      own.image(this.rows++, -1, letter)
    }
    const hasAfter = source[at++] === valueBranch
    if (hasAfter) {
      if (hasBefore) own.copy(first, this.rows)
      at = this.#image(source, at, this.rows)
      own.image(this.rows++, 1, letter)
    }
    this.count++
    this.#bytes += end - start
    return at === end && hasBefore === (letter === letters.update || letter === letters.delete)
  }

  /** Reads an image as a row. @returns its end, which is wrong if a value does not fit */
  #image(source: Buffer, start: number, row: number): number {
    const columns = this.#columns
    let at = start
    for (let index = 0; index < columns.length; index++) {
      const nulls = this.#nulls[index]
      if (nulls !== undefined) {
        const isNull = source[at++] === nullBranch
        nulls.array[row] = Number(isNull)
        if (isNull) {
          columns[index]!.skip(row)
          continue
        }
      }
      at = columns[index]!.read(source, at, row)
      if (at === unfit) return Number.NaN
    }
    return at
  }

  /** The block's chunks, in order. They share this object's memory, and are valid until `reset`. */
  chunks(): Buffer[] {
    const { rows } = this
    const chunks: Buffer[] = [Buffer.concat([unsigned(this.#headings.length), unsigned(rows)])]
    const heading = (index: number) => chunks.push(this.#headings[index]!)
    for (let index = 0; index < this.#columns.length; index++) {
      heading(index)
      const nulls = this.#nulls[index]
      if (nulls !== undefined) chunks.push(nulls.bytes(rows))
      chunks.push(this.#columns[index]!.bytes(rows))
    }
    for (const [index, bytes] of this.#own.bytes(rows).entries()) {
      heading(this.#columns.length + index)
      chunks.push(bytes)
    }
    return chunks
  }

  reset(): void {
    this.rows = 0
    this.count = 0
    if (this.#room > keptRows || this.#bytes > keptBytes) this.#grow(0)
    this.#bytes = 0
  }

  #grow(rows: number): void {
    for (const column of this.#columns) column.grow(rows)
    for (const nulls of this.#nulls) nulls?.grow(rows)
    this.#own.grow(rows)
    this.#room = rows
  }
}

/** Name and type of each column of a block, in order. */
export function nativeColumns({ columns }: Pick<Table, 'columns'>): [name: string, type: string][] {
  return [
    ...columns.map((column): [string, string] => [column.name, clickhouseType(column)]),
    ...changelogColumns.map(([name, type]): [string, string] => [name, name === '_op' ? 'String' : type]),
  ]
}

/** A length, not zig-zag. */
function unsigned(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80)
  return Buffer.from([...bytes, rest])
}

const wordsPerVersion = 4

/** The changelog's columns after the table's own, see `changelogColumns`. */
class ChangelogValues {
  readonly #sign = new FixedValues(length => new Int8Array(length))
  /** A length of 1 and the letter: a text. */
  readonly #op = new FixedValues(length => new Uint16Array(length))
  readonly #lsn = new LongValues()
  readonly #ordinal = new LongValues()
  readonly #partition = new FixedValues(length => new Int32Array(length))
  readonly #offset = new LongValues()
  readonly #commitTime = new LongValues()
  readonly #skipped = new Int32Array(2)

  /** Reads everything before the names of the table. @returns the position of the names */
  readHead(source: Buffer, start: number, row: number): number {
    const ordinal = this.#lsn.read(source, start, row)
    const transaction = this.#ordinal.read(source, ordinal, row)
    const commitTime = this.skipLong(source, transaction)
    return this.#commitTime.read(source, commitTime, row) + 1
  }

  skipLong(source: Buffer, at: number): number {
    return readLong(source, at, this.#skipped, 0)
  }

  place(row: number, partition: number, offset: number): void {
    this.#partition.array[row] = partition
    this.#offset.array[2 * row] = offset
    this.#offset.array[2 * row + 1] = Math.floor(offset / 0x1_0000_0000)
  }

  /** Gives a row the position and the place of another one. */
  copy(from: number, to: number): void {
    for (const { array } of [this.#lsn, this.#ordinal, this.#offset, this.#commitTime]) {
      array[2 * to] = array[2 * from]!
      array[2 * to + 1] = array[2 * from + 1]!
    }
    this.#partition.array[to] = this.#partition.array[from]!
  }

  image(row: number, sign: number, letter: number): void {
    this.#sign.array[row] = sign
    this.#op.array[row] = (letter << 8) | 1
  }

  grow(rows: number): void {
    for (const values of this.#all()) values.grow(rows)
  }

  bytes(rows: number): Buffer[] {
    const [sign, op, lsn, ordinal, ...place] = this.#all().map(values => values.bytes(rows))
    return [sign!, op!, lsn!, ordinal!, this.#versions(rows), ...place]
  }

  #all() {
    return [this.#sign, this.#op, this.#lsn, this.#ordinal, this.#partition, this.#offset, this.#commitTime]
  }

  /** `_lsn * 2^64 + _ordinal`. */
  #versions(rows: number): Buffer {
    const versions = new Int32Array(rows * wordsPerVersion)
    const lsn = this.#lsn.array
    const ordinal = this.#ordinal.array
    for (let row = 0, word = 0; row < rows; row++, word += wordsPerVersion) {
      versions[word] = ordinal[2 * row]!
      versions[word + 1] = ordinal[2 * row + 1]!
      versions[word + 2] = lsn[2 * row]!
      versions[word + 3] = lsn[2 * row + 1]!
    }
    return Buffer.from(versions.buffer)
  }
}
