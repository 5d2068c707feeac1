// postgres/replication/stream: the change stream of a slot. The first error ends it.

import { MillraceError } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import { endsWithin } from '../../runtime/wait.ts'
import type { ChangeReceiver, ChangeStream, StreamStart } from '../change-source.ts'
import { type Client, destroy, disconnect, openOn } from '../client/client.ts'
import { type CopyBoth, copyBoth } from '../client/copy-both.ts'
import { sqlState, streamError } from '../client/errors.ts'
import { Liveness } from '../client/liveness.ts'
import { PgoutputDecoder } from '../protocol/pgoutput.ts'
import { standbyStatus } from '../protocol/standby-status.ts'
import type { Captured } from './history.ts'
import { checkReadiness, publicationMissing, startCommand } from './stream-start.ts'

export interface StreamOptions {
  readonly url: string
  readonly slot: string
  readonly publication: string
  /**
   * What was captured before: the source's history must contain it, and the slot must not be beyond
   * it.
   */
  readonly captured?: Captured
  readonly receiver: ChangeReceiver
  readonly log: Log
  /** Ends the opening only. */
  readonly signal: AbortSignal
}

/** The server gets this long to end the stream when it is closed. */
const closeTimeoutMs = 2_000
/** Acknowledgements are sent at most this often, because each one wakes the walsender. */
const reportEveryMs = 100
const undefinedObject = '42704'
const objectNotInPrerequisiteState = '55000'

/**
 * Opens the stream of a slot at the slot's position.
 * @throws {MillraceError} SLOT_ACTIVE, SLOT_LOST, SOURCE_WENT_BACK, GENERATION_CHANGED,
 *   PUBLICATION_MISSING, POSTGRES_*; the signal's reason when aborted
 */
export async function openStream(options: StreamOptions): Promise<ChangeStream> {
  options.signal.throwIfAborted()
  const stream = new SlotStream(options)
  await stream.open()
  return stream
}

/** Messages of the server: https://www.postgresql.org/docs/current/protocol-replication.html */
const xLogData = 0x77
const keepalive = 0x6b
const xLogDataHead = 25

/** The driver calls methods of this class from a socket event, so none of them may throw. */
class SlotStream implements ChangeStream {
  readonly ended: Promise<void>
  private readonly options: StreamOptions
  private readonly decoder: PgoutputDecoder
  private readonly settle: { resolve: () => void; reject: (error: unknown) => void }
  private client: Client | undefined
  private copy: CopyBoth | undefined
  private readonly over = withResolvers()
  private liveness: Liveness | undefined
  start: StreamStart = { confirmedLsn: 0, timeline: 0, pid: 0 }
  private durable = 0
  private keptAlive = 0
  private reporting: NodeJS.Timeout | undefined
  private reportedAt = Number.NEGATIVE_INFINITY
  private live = true
  private stopped: Promise<void> = Promise.resolve()

  constructor(options: StreamOptions) {
    this.options = options
    this.decoder = new PgoutputDecoder(options.receiver)
    const { promise, resolve, reject } = withResolvers()
    this.ended = promise
    this.settle = { resolve, reject }
    // A caller that ignores `ended` must not cause an unhandled rejection.
    promise.catch(() => {})
  }

  /** Resolves when the server has begun to stream. */
  async open(): Promise<void> {
    const { url, slot, publication, captured, receiver, signal } = this.options
    await openOn(url, { mode: 'replication', signal }, async client => {
      this.client = client
      const readiness = await checkReadiness(client, { slot, publication, captured })
      const { walSenderTimeoutMs } = readiness
      this.durable = readiness.confirmedLsn
      this.start = readiness
      receiver.started(readiness)
      client.on('notice', notice => this.notice(notice))
      await Promise.race([this.startCopy(client, startCommand(slot, publication)), this.ended])
      if (!this.live) return this.ended
      this.liveness = new Liveness({
        walSenderTimeoutMs,
        bytesRead: () => this.bytesRead(),
        ping: replyRequested => this.report(replyRequested),
        onSilence: silentMs => this.fail(this.explain(new Error(`no answer for ${Math.round(silentMs / 1000)} s`))),
      })
    })
  }

  acknowledge(lsn: number): void {
    if (!this.live || lsn <= this.durable) return
    const received = Math.max(this.decoder.completeTo, this.keptAlive)
    if (lsn > received) {
      throw new MillraceError('INTERNAL', {
        what: `acknowledged ${lsn}, but only changes before ${received} were received`,
        where: `slot ${this.options.slot}`,
        next: 'report it with the log; nothing was acknowledged',
      })
    }
    this.durable = lsn
    const waitMs = this.reportedAt + reportEveryMs - performance.now()
    this.reporting ??= setTimeout(() => this.report(false), Math.max(0, waitMs))
  }

  pause(): void {
    this.client?.connection.stream.pause()
    this.liveness?.setPaused(true)
  }

  resume(): void {
    this.client?.connection.stream.resume()
    this.liveness?.setPaused(false)
  }

  close(): Promise<void> {
    if (!this.live) return this.stopped
    this.live = false
    this.stopped = this.endCopy().then(this.settle.resolve)
    return this.stopped
  }

  private startCopy(client: Client, command: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.copy = copyBoth(client, command, {
        onStart: resolve,
        onMessage: message => this.message(message),
        onEnd: error => {
          const failure = this.explain(error ?? new Error('the server ended the stream'))
          this.over.resolve()
          this.fail(failure)
          reject(failure)
        },
      })
    })
  }

  /**
   * From 18 on, Postgres skips changes made while the publication did not exist, and only sends a
   * warning.
   */
  private notice(notice: { readonly code?: string | undefined; readonly message?: string | undefined }): void {
    if (notice.code === objectNotInPrerequisiteState) this.fail(publicationMissing(this.options.publication, notice))
    else this.options.log.warn(`Postgres: ${notice.message}`, { slot: this.options.slot })
  }

  private message(message: Buffer): void {
    if (!this.live) return
    try {
      if (message[0] === xLogData) this.decoder.decode(message.subarray(xLogDataHead))
      else if (message[0] === keepalive) this.keepalive(readLsn(message, 1), message[17] === 1)
      else throw unknownMessage(message[0], this.options.slot)
    } catch (error) {
      this.fail(error)
    }
  }

  private keepalive(walEnd: number, shouldRespond: boolean): void {
    this.keptAlive = Math.max(this.keptAlive, walEnd)
    this.options.receiver.keepalive(walEnd)
    if (shouldRespond) this.report(false)
  }

  private report(replyRequested: boolean): void {
    clearTimeout(this.reporting)
    this.reporting = undefined
    this.reportedAt = performance.now()
    this.copy?.send(standbyStatus(this.durable, replyRequested))
  }

  /** The first failure ends the stream: later messages are neither decoded nor acknowledged. */
  private fail(error: unknown): void {
    if (!this.live) return
    this.live = false
    this.liveness?.stop()
    clearTimeout(this.reporting)
    if (this.client) destroy(this.client)
    this.settle.reject(error)
  }

  private async endCopy(): Promise<void> {
    this.liveness?.stop()
    this.report(false)
    this.copy?.finish()
    this.client?.connection.stream.resume()
    await endsWithin(this.over.promise, closeTimeoutMs)
    if (this.client) await disconnect(this.client)
  }

  private bytesRead(): number {
    const stream = this.client?.connection.stream
    return stream && 'bytesRead' in stream ? Number(stream.bytesRead) : 0
  }

  private explain(error: unknown): MillraceError {
    const { slot, publication } = this.options
    // The slot existed when the stream began, and cannot be dropped while it is read. So the
    // publication is missing.
    if (sqlState(error) === undefinedObject) return publicationMissing(publication, error)
    return streamError(error, slot)
  }
}

function readLsn(message: Buffer, at: number): number {
  return message.readUInt32BE(at) * 0x1_0000_0000 + message.readUInt32BE(at + 4)
}

function unknownMessage(kind: number | undefined, slot: string): MillraceError {
  return new MillraceError('STREAM_CORRUPT', {
    what: `a message of the unknown kind ${kind} is in the stream of changes`,
    where: `slot ${slot}`,
    next: 'nothing was acknowledged; report it with the version of Postgres',
  })
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
