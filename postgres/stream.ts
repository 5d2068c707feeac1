// postgres/stream: the changes of a slot, acknowledged exactly, held back when asked, stopped by the first error.
// May know: postgres, contract/position, runtime.

import { setTimeout as pause } from 'node:timers/promises'
import type { Connection } from 'pg'
import { LogicalReplicationService } from 'pg-logical-replication'
import type { NoticeMessage } from 'pg-protocol/dist/messages.js'
import { parseLsn } from '../contract/position.ts'
import { MillraceError } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import { type Client, clientConfig } from './connect.ts'
import { sqlState, streamFailure } from './failure.ts'
import { Liveness } from './liveness.ts'
import { PgoutputDecoder, type PgoutputHandler } from './pgoutput.ts'
import { standbyStatus } from './standby-status.ts'
import { checkReadiness, publicationMissing, startCommand } from './stream-start.ts'

export interface StreamOptions {
  readonly url: string
  readonly slot: string
  readonly publication: string
  readonly handler: PgoutputHandler
  /** The server has sent everything before `walEnd`. It may be acknowledged once all that was handed over is durable. */
  onKeepalive(walEnd: number): void
  readonly log: Log
  /** Closes the stream. */
  readonly signal: AbortSignal
}

export interface ReplicationStream {
  /**
   * Everything before `lsn` is durable and need never be sent again. Never goes back; does nothing once the stream has ended.
   * @throws {MillraceError} INTERNAL for an LSN that was not received
   */
  acknowledge(lsn: number): void
  /** Stops reading; a few dozen kilobytes that have already arrived are still handed over. */
  pause(): void
  resume(): void
  /** Resolves after `close`; rejects with the first error of the connection, the decoder or the handler. */
  readonly ended: Promise<void>
  /** Reports the last acknowledgement and closes the connection. */
  close(): Promise<void>
  /** The highest LSN before which everything was handed over; at first, where the slot stands. */
  lastReceived(): number
}

const goodbyeMs = 2_000
const undefinedObject = '42704'
const objectNotInPrerequisiteState = '55000'

/**
 * Opens the stream of a slot where the slot stands.
 * @throws {MillraceError} SLOT_ACTIVE, SLOT_LOST, PUBLICATION_MISSING, POSTGRES_*; the signal's reason when aborted
 */
export async function openStream(options: StreamOptions): Promise<ReplicationStream> {
  options.signal.throwIfAborted()
  const stream = new SlotStream(options)
  await stream.open()
  return stream
}

/** What the driver's connection can do beyond its published types. */
interface CopyConnection extends Connection {
  sendCopyFromChunk(chunk: Buffer): void
  endCopyFrom(): void
}

/**
 * The library runs the connection; it is kept from acknowledging by itself, which it does too early and one byte too far, and
 * from starting again where it last received. No error may leave `parse`, which the library calls from the socket's event.
 */
class SlotStream implements ReplicationStream {
  readonly ended: Promise<void>
  private readonly options: StreamOptions
  private readonly service: LogicalReplicationService
  private readonly decoder: PgoutputDecoder
  private readonly settle: { resolve: () => void; reject: (error: unknown) => void }
  private readonly onAbort = () => {
    if (this.opened) void this.close()
    else this.fail(this.options.signal.reason)
  }
  private opened = false
  private connection: CopyConnection | undefined
  private liveness: Liveness | undefined
  private subscription: Promise<unknown> = Promise.resolve()
  private walSenderTimeoutMs = 0
  private durable = 0
  private keptAlive = 0
  private acknowledging = false
  private live = true
  private stopped: Promise<void> = Promise.resolve()

  constructor(options: StreamOptions) {
    this.options = options
    this.decoder = new PgoutputDecoder(options.handler)
    this.service = new LogicalReplicationService(clientConfig(options.url), {
      acknowledge: { auto: false, timeoutSeconds: 0 },
      flowControl: { enabled: false },
    })
    const { promise, resolve, reject } = withResolvers()
    this.ended = promise
    this.settle = { resolve, reject }
    // Whoever does not look at `ended` still learns of the end by what stops arriving.
    promise.catch(() => {})
  }

  /** Resolves when the server has begun to stream. */
  async open(): Promise<void> {
    const { service, options } = this
    const plugin = {
      name: 'pgoutput',
      options: {},
      parse: (message: Buffer) => this.decode(message),
      start: (client: Client) => this.start(client),
    }
    service.on('error', error => this.fail(this.explain(error)))
    service.on('heartbeat', (lsn, _time, shouldRespond) => this.keepalive(parseLsn(lsn), shouldRespond))
    options.signal.addEventListener('abort', this.onAbort, { once: true })
    const started = new Promise<void>(resolve => service.on('start', resolve))
    this.subscription = service.subscribe(plugin, options.slot, '0/0')
    const over = this.subscription.then(
      () => this.fail(this.explain(new Error('the server ended the stream'))),
      error => this.fail(this.explain(error)),
    )
    await Promise.race([started, over, this.ended])
    if (!this.live) return this.ended
    this.opened = true
    this.liveness = new Liveness({
      walSenderTimeoutMs: this.walSenderTimeoutMs,
      bytesRead: () => this.bytesRead(),
      ping: replyRequested => this.report(replyRequested),
      onSilence: silentMs => this.fail(this.explain(new Error(`no answer for ${Math.round(silentMs / 1000)} s`))),
    })
  }

  acknowledge(lsn: number): void {
    if (!this.live || lsn <= this.durable) return
    if (lsn > this.lastReceived()) {
      throw new MillraceError('INTERNAL', {
        what: `acknowledged ${lsn}, but only what is before ${this.lastReceived()} was received`,
        where: `slot ${this.options.slot}`,
        next: 'report it with the log; nothing was acknowledged',
      })
    }
    this.durable = lsn
    if (this.acknowledging) return
    this.acknowledging = true
    setImmediate(() => {
      this.acknowledging = false
      if (this.live) this.report(false)
    })
  }

  pause(): void {
    this.connection?.stream.pause()
    this.liveness?.setPaused(true)
  }

  resume(): void {
    this.connection?.stream.resume()
    this.liveness?.setPaused(false)
  }

  lastReceived(): number {
    return Math.max(this.decoder.completeTo, this.keptAlive, this.durable)
  }

  close(): Promise<void> {
    if (!this.live) return this.stopped
    this.live = false
    this.stopped = this.shutDown(async () => {
      this.report(false)
      this.connection?.endCopyFrom()
      this.connection?.stream.resume()
      await Promise.race([this.subscription.catch(() => {}), pause(goodbyeMs, undefined, { ref: false })])
    }).then(this.settle.resolve)
    return this.stopped
  }

  private async start(client: Client): Promise<unknown> {
    const { slot, publication } = this.options
    const { walSenderTimeoutMs, confirmedLsn } = await checkReadiness(client, slot, publication)
    this.walSenderTimeoutMs = walSenderTimeoutMs
    this.durable = confirmedLsn
    this.connection = client.connection as CopyConnection
    client.on('notice', notice => this.notice(notice))
    return client.query(startCommand(slot, publication))
  }

  /** From 18 on, Postgres leaves out the changes made while the publication did not exist, and only warns. */
  private notice(notice: NoticeMessage): void {
    if (notice.code === objectNotInPrerequisiteState) this.fail(publicationMissing(this.options.publication, notice))
    else this.options.log.warn(`Postgres: ${notice.message}`, { slot: this.options.slot })
  }

  private decode(message: Buffer): void {
    if (!this.live) return
    try {
      this.decoder.decode(message)
    } catch (error) {
      this.fail(error)
    }
  }

  private keepalive(walEnd: number, shouldRespond: boolean): void {
    if (!this.live) return
    this.keptAlive = Math.max(this.keptAlive, walEnd)
    try {
      this.options.onKeepalive(walEnd)
      if (shouldRespond) this.report(false)
    } catch (error) {
      this.fail(error)
    }
  }

  private report(replyRequested: boolean): void {
    this.connection?.sendCopyFromChunk(standbyStatus(this.durable, replyRequested))
  }

  /** The first failure ends the stream: whatever arrives later is neither decoded nor acknowledged. */
  private fail(error: unknown): void {
    if (!this.live) return
    this.live = false
    this.stopped = this.shutDown(async () => {}).then(() => this.settle.reject(error))
  }

  private async shutDown(goodbye: () => Promise<void>): Promise<void> {
    this.options.signal.removeEventListener('abort', this.onAbort)
    this.liveness?.stop()
    await goodbye()
    await this.service.destroy()
  }

  private bytesRead(): number {
    const stream = this.connection?.stream
    return stream && 'bytesRead' in stream ? Number(stream.bytesRead) : 0
  }

  private explain(error: unknown): MillraceError {
    const { slot, publication } = this.options
    // The slot was there a moment ago and cannot be dropped while it is read.
    if (sqlState(error) === undefinedObject) return publicationMissing(publication, error)
    return streamFailure(error, slot)
  }
}

/** Promise.withResolvers, which Node has from 22 on. */
function withResolvers(): { promise: Promise<void>; resolve: () => void; reject: (error: unknown) => void } {
  let resolve = () => {}
  let reject = (_error: unknown) => {}
  const promise = new Promise<void>((onResolve, onReject) => {
    resolve = onResolve
    reject = onReject
  })
  return { promise, resolve, reject }
}
