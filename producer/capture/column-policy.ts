// producer/capture/column-policy: leaves out, masks or hashes columns, before any other code sees
// the row.
// Tables without a policy have no masker and cost no time.

import { createHmac } from 'node:crypto'
import { columnKinds, withRoom } from '../../contract/bytes.ts'
import type { TextRow } from '../../contract/encode.ts'
import type { HashKey } from '../../runtime/config/hash-key.ts'

/** The policy of a column that is sent. A column that is not sent is not listed. */
export type ColumnPolicy = 'keep' | 'mask' | 'hash'

export interface MaskerOptions {
  /** Of each sent column, its index in the source's row. */
  readonly sourceIndexes: readonly number[]
  readonly policies: readonly ColumnPolicy[]
  /** Needed where a column is hashed. */
  readonly hashKey?: HashKey | undefined
}

const leastBytes = 4096
/** A word of one byte becomes four. */
const mostMaskGrowth = 4
/** Identifier, colon, and SHA-256 in hex. */
const mostHashBytes = 16 + 1 + 64
const asterisk = 0x2a

/**
 * Rewrites rows of one table. Both images of an update exist at the same time, so each has a
 * buffer. A row is valid until the next one of the same image.
 */
export class RowMasker {
  readonly #before: MaskedRow
  readonly #after: MaskedRow
  readonly #options: MaskerOptions

  constructor(options: MaskerOptions) {
    this.#options = options
    this.#before = new MaskedRow(options.sourceIndexes.length)
    this.#after = new MaskedRow(options.sourceIndexes.length)
  }

  before(row: TextRow): TextRow {
    return this.#mask(row, this.#before)
  }

  after(row: TextRow): TextRow {
    return this.#mask(row, this.#after)
  }

  /**
   * Whether both images of an update are equal after masking. Then only withheld columns changed,
   * and the update is not sent.
   */
  hidesUpdate(): boolean {
    const [a, b] = [this.#before, this.#after]
    const end = a.ends.at(-1) ?? 0
    if (!a.ends.every((at, column) => at === b.ends[column] && a.kinds[column] === b.kinds[column])) return false
    return a.buffer.compare(b.buffer, 0, end, 0, end) === 0
  }

  #mask(row: TextRow, masked: MaskedRow): TextRow {
    const { sourceIndexes, policies, hashKey } = this.#options
    const { buffer, kinds, starts, ends } = row
    masked.reserve(this.#roomFor(row))
    let at = 0
    for (let column = 0; column < sourceIndexes.length; column++) {
      const index = sourceIndexes[column]!
      const start = starts[index]!
      const end = ends[index]!
      masked.kinds[column] = kinds[index]!
      masked.starts[column] = at
      if (kinds[index] !== columnKinds.text) {
        masked.ends[column] = at
        continue
      }
      const policy = policies[column]!
      if (policy === 'keep') at += buffer.copy(masked.buffer, at, start, end)
      else if (policy === 'mask') at = writeMask(masked.buffer, at, buffer.subarray(start, end))
      else at += masked.buffer.write(hashOf(hashKey!, buffer.subarray(start, end)), at, 'latin1')
      masked.ends[column] = at
    }
    return masked
  }

  /** An upper bound of the masked row's bytes. */
  #roomFor({ kinds, starts, ends }: TextRow): number {
    const { sourceIndexes, policies } = this.#options
    let bytes = 0
    for (let column = 0; column < sourceIndexes.length; column++) {
      const index = sourceIndexes[column]!
      if (kinds[index] !== columnKinds.text) continue
      const text = ends[index]! - starts[index]!
      bytes += policies[column] === 'keep' ? text : text * mostMaskGrowth + mostHashBytes
    }
    return bytes
  }
}

class MaskedRow implements TextRow {
  buffer: Buffer = Buffer.allocUnsafeSlow(leastBytes)
  readonly count: number
  readonly kinds: Uint8Array
  readonly starts: Int32Array
  readonly ends: Int32Array

  constructor(columns: number) {
    this.count = columns
    this.kinds = new Uint8Array(columns)
    this.starts = new Int32Array(columns)
    this.ends = new Int32Array(columns)
  }

  reserve(bytes: number): void {
    this.buffer = withRoom(this.buffer, 0, bytes)
  }
}

/** `<key id>:<HMAC-SHA-256 in hex>`; equal values are equal under one key. */
export function hashOf({ id, secret }: HashKey, value: Buffer): string {
  return `${id}:${createHmac('sha256', secret).update(value).digest('hex')}`
}

/**
 * Every word becomes its first character and `***`. A word is a run of characters other than ASCII
 * white space (tab, line feed, vertical tab, form feed, carriage return, space), which stays as it
 * is: `Ada Lovelace` → `A*** L***`.
 * @param value UTF-8
 */
export function maskOf(value: Buffer): Buffer {
  const masked = Buffer.allocUnsafe(value.length * mostMaskGrowth)
  return masked.subarray(0, writeMask(masked, 0, value))
}

function writeMask(target: Buffer, start: number, value: Buffer): number {
  let at = start
  for (let from = 0; from < value.length; ) {
    const byte = value[from]!
    if (isSpace(byte)) {
      target[at++] = byte
      from++
      continue
    }
    target[at++] = byte
    // The other bytes of the same character.
    for (from++; (value[from]! & 0xc0) === 0x80; from++) target[at++] = value[from]!
    for (let stars = 0; stars < 3; stars++) target[at++] = asterisk
    while (from < value.length && !isSpace(value[from]!)) from++
  }
  return at
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d)
}
