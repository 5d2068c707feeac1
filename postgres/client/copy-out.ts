// postgres/client/copy-out: reads one COPY … TO STDOUT row by row, with back-pressure.

import type { Connection } from 'pg'
import { statementText } from '../../runtime/printable.ts'
import type { Client } from './client.ts'
import { postgresError } from './errors.ts'

export interface CopyReader {
  /** One row with its newline. It is valid during the call, and may be modified. */
  row(line: Buffer): void
  /** Called after each piece from the network. Nothing more is read until the promise resolves. */
  pressure(): Promise<void> | undefined
}

/**
 * Runs the statement, and resolves once its last row was delivered. An error of the reader ends the
 * connection, because a COPY cannot be ended otherwise, and rejects.
 * @throws {MillraceError} POSTGRES_*
 * @see https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-COPY: CopyData messages
 *   are "always one per row"
 */
export function copyOut(client: Client, statement: string, reader: CopyReader): Promise<void> {
  return new Promise((resolve, reject) => {
    const query = new CopyOut(statement, reader, { resolve, reject })
    client.query(query)
  })
}

interface Settle {
  resolve(): void
  reject(error: unknown): void
}

/**
 * The driver's client calls these methods while this is its current query. pg-copy-streams and
 * pg-cursor work in the same way.
 */
class CopyOut {
  private readonly statement: string
  private readonly reader: CopyReader
  private readonly settle: Settle
  private connection: Connection | undefined
  private failed = false

  constructor(statement: string, reader: CopyReader, settle: Settle) {
    this.statement = statement
    this.reader = reader
    this.settle = settle
  }

  submit(connection: Connection): void {
    this.connection = connection
    // Runs after the driver's own listener, when the rows of the piece were delivered.
    connection.stream.on('data', this.afterPiece)
    connection.query(this.statement)
  }

  handleCopyData(message: { readonly chunk: Buffer }): void {
    if (this.failed) return
    try {
      this.reader.row(message.chunk)
    } catch (error) {
      this.fail(error)
    }
  }

  handleCommandComplete(): void {}

  handleReadyForQuery(): void {
    this.detach()
    this.settle.resolve()
  }

  handleError(error: Error): void {
    this.detach()
    this.settle.reject(postgresError(error, statementText(this.statement)))
  }

  private readonly afterPiece = (): void => {
    const pressure = this.failed ? undefined : this.reader.pressure()
    if (!pressure) return
    const stream = this.connection?.stream
    stream?.pause()
    pressure.then(
      () => stream?.resume(),
      error => this.fail(error),
    )
  }

  private fail(error: unknown): void {
    this.failed = true
    this.detach()
    this.settle.reject(error)
    this.connection?.stream.destroy()
  }

  private detach(): void {
    this.connection?.stream.off('data', this.afterPiece)
  }
}
