// postgres/client/copy-both: runs START_REPLICATION: receives the stream's messages, sends status
// messages.

import type { Connection } from 'pg'
import type { Client } from './client.ts'

export interface CopyBothHandler {
  /** The server has begun to stream. */
  onStart(): void
  /** One message of the stream, such as XLogData. It is valid during the call. Must not throw. */
  onMessage(message: Buffer): void
  /**
   * The command has ended, without an error when the server ended the stream regularly. Called
   * once.
   */
  onEnd(error?: Error): void
}

/** Methods of the driver's connection that its published types lack. */
interface CopyConnection extends Connection {
  sendCopyFromChunk(chunk: Buffer): void
  endCopyFrom(): void
}

export interface CopyBoth {
  /** Sends a message. Does nothing on a connection that has ended. */
  send(message: Buffer): void
  /** Tells the server that nothing more will be sent. The server then ends the command. */
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

/** The driver's client calls these methods while this is its current query. */
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

  /** Also called when the connection breaks. */
  handleError(error: Error): void {
    this.end(error)
  }

  private end(error?: Error): void {
    if (this.isOver) return
    this.isOver = true
    this.handler.onEnd(error)
  }
}
