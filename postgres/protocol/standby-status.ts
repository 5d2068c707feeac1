// postgres/protocol/standby-status: the message that reports to Postgres which LSN is durable.

/** Milliseconds from the Unix epoch to 2000-01-01. */
const postgresEpochMs = 946_684_800_000
const high = (value: number): number => Math.floor(value / 0x1_0000_0000)
const low = (value: number): number => value % 0x1_0000_0000

/**
 * Standby status update. `durableLsn` is sent as written, flushed and applied. It is exact: one
 * byte more would let the server skip a commit that begins right there. 0 acknowledges nothing.
 * @see https://www.postgresql.org/docs/current/protocol-replication.html
 */
export function standbyStatus(durableLsn: number, replyRequested: boolean, nowMs = Date.now()): Buffer {
  const message = Buffer.alloc(34)
  message[0] = 0x72 // r
  for (const at of [1, 9, 17]) {
    message.writeUInt32BE(high(durableLsn), at)
    message.writeUInt32BE(low(durableLsn), at + 4)
  }
  const micros = (nowMs - postgresEpochMs) * 1000
  message.writeUInt32BE(high(micros), 25)
  message.writeUInt32BE(low(micros), 29)
  message[33] = replyRequested ? 1 : 0
  return message
}
