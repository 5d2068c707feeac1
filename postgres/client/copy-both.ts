// postgres/client/copy-both: START_REPLICATION on a connection: messages of the stream in, status messages out.

import type { Connection } from 'pg'
import type { Client } from './client.ts'

export interface CopyBothHandler {
  /** The server has begun to stream. */
  onStart(): void
  /** One message of the stream, such as XLogData; valid during the call, and not to throw. */
  onMessage(message: Buffer): void
  /** The command is over: without an error when the server has ended the stream in good order. Called once. */
  onEnd(error?: Error): void
}

/** What the driver's connection can do beyond its published types. */
interface CopyConnection extends Connection {
  sendCopyFromChunk(chunk: Buffer): void
  endCopyFrom(): void
}

export interface CopyBoth {
  /** Sends a message; does nothing on a connection that has been cut. */
  send(message: Buffer): void
  /** Says that nothing more will be sent; the server then ends the command. */
  finish(): void
}

/**
 * Runs a command that the server answers with CopyBothResponse.
 * @see https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-COPY
 */
export function copyBoth(client: Client, command: string, handler: CopyBothHandler): CopyBoth {
  client.query(new CopyBothQuery(command, handler))
  const connection = client.connection as CopyConnection
  return {
    send: message => connection.sendCopyFromChunk(message),
    finish: () => connection.endCopyFrom(),
  }
}

/** What the driver's client calls while this is its current query. */
class CopyBothQuery {
  private readonly command: string
  private readonly handler: CopyBothHandler
  private isOver = false

  constructor(command: string, handler: CopyBothHandler) {
    this.command = command
    this.handler = handler
  }

  submit(connection: Connection): void {
    connection.once('replicationStart', () => this.handler.onStart())
    connection.query(this.command)
  }

  handleCopyData({ chunk }: { readonly chunk: Buffer }): void {
    this.handler.onMessage(chunk)
  }

  handleCommandComplete(): void {}

  handleReadyForQuery(): void {
    this.end()
  }

  /** Also when the connection breaks. */
  handleError(error: Error): void {
    this.end(error)
  }

  private end(error?: Error): void {
    if (this.isOver) return
    this.isOver = true
    this.handler.onEnd(error)
  }
}
