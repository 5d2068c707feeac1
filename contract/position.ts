// contract/position: the position of a change in the source's history.
// Changes are ordered, versioned and de-duplicated by position, never by a clock.

/**
 * Position of a change: commit LSN of its transaction, then its ordinal inside the transaction.
 *
 * Both are plain numbers. An LSN is a byte offset into the WAL, and is exact up to 2^53 (9 PB of
 * WAL); `parseLsn` throws beyond that. A snapshot row has the position (consistent point − 1,
 * running number), below every streamed change.
 */
export interface Position {
  readonly lsn: number
  readonly ordinal: number
}

/** Negative when `a` is before `b`, 0 when equal, positive when after. */
export function comparePositions(a: Position, b: Position): number {
  return a.lsn - b.lsn || a.ordinal - b.ordinal
}

/**
 * Byte offset of an LSN in Postgres' text form `XXXXXXXX/XXXXXXXX` (two hexadecimal halves).
 * @throws {RangeError} when the text is not an LSN, or exceeds 2^53
 * @see https://www.postgresql.org/docs/current/datatype-pg-lsn.html
 */
export function parseLsn(text: string): number {
  const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text)
  if (!match) throw new RangeError(`"${text}" is not an LSN; expected two hexadecimal halves such as 0/16B3748`)
  return combineLsn(Number.parseInt(match[1]!, 16), Number.parseInt(match[2]!, 16))
}

/** Postgres' text form of an LSN, upper case, no padding: what `pg_lsn` prints. */
export function formatLsn(lsn: number): string {
  return `${Math.floor(lsn / 0x1_0000_0000)
    .toString(16)
    .toUpperCase()}/${(lsn % 0x1_0000_0000).toString(16).toUpperCase()}`
}

/** LSN from its two halves of 32 bits. @throws {RangeError} beyond 2^53 */
function combineLsn(high: number, low: number): number {
  const lsn = high * 0x1_0000_0000 + low
  if (!Number.isSafeInteger(lsn)) throw new RangeError(`LSN ${high.toString(16)}/${low.toString(16)} lies beyond 2^53`)
  return lsn
}
