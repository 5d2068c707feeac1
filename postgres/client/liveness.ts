// postgres/client/liveness: the timer that keeps a replication connection alive and detects a dead
// peer.

export interface LivenessOptions {
  /** The server's `wal_sender_timeout`; 0 when it has none. */
  readonly walSenderTimeoutMs: number
  /** Bytes received so far. */
  bytesRead(): number
  /** Reports the durable position, and with `replyRequested` makes the server answer. */
  ping(replyRequested: boolean): void
  /** The server sent nothing for this long, although it was asked several times. */
  onSilence(silentMs: number): void
}

const longestPeriodMs = 20_000
const unansweredPings = 3

/**
 * Pings at a third of the server's limit, or every 20 s where that limit is longer, so that a dead
 * peer is noticed soon. The timer does not depend on reading: a stream that back-pressure pauses
 * for an hour stays connected. Silence is counted in ticks of the timer, not by a clock, so that a
 * process that was suspended does not mistake its own absence for silence.
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

  /** While the stream is paused, no reply is requested, because nobody would read it. */
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
