// postgres/protocol/tuple: the columns of one row as ranges of the buffer that they arrived in.
// The object is reused from row to row, so that a row needs no new object and no string.

import { columnKinds } from '../../contract/bytes.ts'

/**
 * Column i is `buffer[starts[i]..ends[i])` when `kinds[i]` is text. Valid only during the call that
 * receives it: the next row overwrites it, and the bytes belong to the socket.
 */
export class Tuple {
  buffer: Buffer = Buffer.alloc(0)
  count = 0
  kinds = new Uint8Array(0)
  starts = new Int32Array(0)
  ends = new Int32Array(0)

  /** Makes room for so many columns. The earlier content may be lost. */
  reserve(columns: number): void {
    if (columns <= this.kinds.length) return
    this.kinds = new Uint8Array(columns)
    this.starts = new Int32Array(columns)
    this.ends = new Int32Array(columns)
  }

  /** The column's text; null for NULL, undefined for a TOASTed value that was not sent. */
  text(column: number): string | null | undefined {
    if (this.kinds[column] === columnKinds.null) return null
    if (this.kinds[column] === columnKinds.unchanged) return undefined
    return this.buffer.toString('utf8', this.starts[column], this.ends[column])
  }
}
