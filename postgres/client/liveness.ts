// postgres/client/liveness: the timer that keeps a replication connection alive, and notices when it is not.

export interface LivenessOptions {
  /** The server's `wal_sender_timeout`; 0 when it has none. */
  readonly walSenderTimeoutMs: number
  /** Bytes received so far. */
  bytesRead(): number
  /** Reports the durable position, and with `replyRequested` makes the server answer. */
  ping(replyRequested: boolean): void
  /** Nothing came for that long, although the server was asked several times. */
  onSilence(silentMs: number): void
}

const longestPeriodMs = 20_000
const unansweredPings = 3

/**
 * Pings at a third of the server's limit, and so often that a dead peer is noticed soon where that limit is long. It does not depend on reading: a stream paused by back-pressure for an hour stays
 * connected. Silence is counted in own ticks and not by a clock, so that a process that was itself suspended is not misled.
 */
export class Liveness {
  private readonly options: LivenessOptions
  private readonly periodMs: number
  private readonly timer: NodeJS.Timeout
  private paused = false
  private lastBytes = -1
  private silentTicks = 0

  constructor(options: LivenessOptions) {
    this.options = options
    const { walSenderTimeoutMs } = options
    this.periodMs = walSenderTimeoutMs > 0 ? Math.min(walSenderTimeoutMs / 3, longestPeriodMs) : longestPeriodMs
    this.timer = setInterval(() => this.tick(), this.periodMs)
  }

  /** While paused, no answers are asked for: nobody would read them. */
  setPaused(paused: boolean): void {
    this.paused = paused
    this.silentTicks = 0
  }

  stop(): void {
    clearInterval(this.timer)
  }

  private tick(): void {
    const bytes = this.options.bytesRead()
    this.silentTicks = this.paused || bytes !== this.lastBytes ? 0 : this.silentTicks + 1
    this.lastBytes = bytes
    if (this.silentTicks > unansweredPings) this.options.onSilence(this.silentTicks * this.periodMs)
    else this.options.ping(!this.paused)
  }
}
