// postgres/protocol/message-reader: reads the primitives of replication messages, with bounds
// checked.
// LSNs are plain numbers, and so are times of the next two centuries: they stay below 2^53.

import { MillraceError } from '../../runtime/errors.ts'

/** Microseconds from the Unix epoch to 2000-01-01, the epoch of Postgres. */
const postgresEpochUs = 946_684_800_000_000

/**
 * Reads one message from its start to its end. @see
 * https://www.postgresql.org/docs/current/protocol-message-types.html
 */
export class MessageReader {
  buffer: Buffer = Buffer.alloc(0)
  at = 0
  end = 0

  open(message: Buffer): void {
    this.buffer = message
    this.at = 0
    this.end = message.length
  }

  uint8(): number {
    this.need(1)
    return this.buffer[this.at++]!
  }

  uint16(): number {
    this.need(2)
    const { buffer, at } = this
    this.at = at + 2
    return (buffer[at]! << 8) | buffer[at + 1]!
  }

  int32(): number {
    this.need(4)
    const { buffer, at } = this
    this.at = at + 4
    return (buffer[at]! << 24) | (buffer[at + 1]! << 16) | (buffer[at + 2]! << 8) | buffer[at + 3]!
  }

  uint32(): number {
    return this.int32() >>> 0
  }

  lsn(): number {
    const lsn = this.uint32() * 0x1_0000_0000 + this.uint32()
    if (!Number.isSafeInteger(lsn)) this.fail('an LSN beyond 2^53')
    return lsn
  }

  /** Microseconds since the Unix epoch. */
  timeUs(): number {
    const time = this.int32() * 0x1_0000_0000 + this.uint32()
    if (!Number.isSafeInteger(time)) this.fail('a time beyond 2^53 µs')
    return time + postgresEpochUs
  }

  string(): string {
    const { buffer, at, end } = this
    const terminator = buffer.indexOf(0, at)
    if (terminator < 0 || terminator >= end) this.fail('a name without its end')
    this.at = terminator + 1
    return buffer.toString('utf8', at, terminator)
  }

  /** Skips so many bytes. @returns where they start */
  skip(bytes: number): number {
    if (bytes < 0) this.fail('a negative length')
    this.need(bytes)
    const start = this.at
    this.at = start + bytes
    return start
  }

  finish(): void {
    if (this.at !== this.end) this.fail(`${this.end - this.at} bytes after its end`)
  }

  need(bytes: number): void {
    if (this.end - this.at < bytes) this.fail('fewer bytes than it announces')
  }

  fail(finding: string): never {
    const kind = String.fromCharCode(this.buffer[0] ?? 0x3f)
    throw new MillraceError('STREAM_CORRUPT', {
      what: `a message of the replication stream has ${finding}`,
      where: `message ${JSON.stringify(kind)} of ${this.end} bytes, at byte ${this.at}`,
      next: 'nothing of it was used or acknowledged; restart to read it again, and if it comes back report the Postgres version and this line',
    })
  }
}
