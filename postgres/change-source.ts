// postgres/change-source: the boundary of Postgres: changes out, acknowledgements back.

import type { PgoutputHandler } from './protocol/pgoutput.ts'

/** Where a stream begins, and what serves it. An LSN is a byte offset into the WAL. */
export interface StreamStart {
  /**
   * The slot's position: everything committed before it was acknowledged earlier, and is not sent
   * again.
   */
  readonly confirmedLsn: number
  /** Timeline of the server. */
  readonly timeline: number
  /** Process id of the walsender. */
  readonly pid: number
}

/**
 * Changes out: the transactions of one slot in the order of their commits, each with its changes in
 * their order. All calls are synchronous. The first call that throws ends the stream.
 */
export interface ChangeReceiver extends PgoutputHandler {
  /** Called once, before all others. */
  started(start: StreamStart): void
  /**
   * The server has sent everything before `walEnd`. Inside a transaction, this is not yet safe to
   * acknowledge.
   */
  keepalive(walEnd: number): void
}

/** Acknowledgements back, and control of the flow. */
export interface ChangeStream {
  readonly start: StreamStart
  /**
   * Everything before `lsn` is durable and need never be sent again. A lower LSN than before has
   * no effect. After the end of the stream, the call does nothing.
   * @throws {MillraceError} INTERNAL for an LSN beyond what was received
   */
  acknowledge(lsn: number): void
  /** Stops reading. A few dozen kilobytes that have already arrived are still delivered. */
  pause(): void
  resume(): void
  /**
   * Resolves after `close`; rejects with the first error of the connection, the decoder or the
   * receiver.
   */
  readonly ended: Promise<void>
  /** Reports the last acknowledgement and closes the connection. */
  close(): Promise<void>
}
