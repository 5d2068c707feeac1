// runtime/health: whether the loop of a service makes progress, and whether changes flow: /livez
// and /readyz.

import { Answer, type Route } from './http.ts'

/** No step of a service takes longer than this without a beat, however large the pipeline is. */
const silenceLimitMs = 300_000

/** The time at which the loop of a service last made progress. */
export class Pulse {
  readonly #now: () => number
  #beatAt: number
  #waits = 0

  /** @param now ms, by a clock that is never set */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
    this.#beatAt = now()
  }

  /** The loop reached another step, or tried a step again. */
  beat(): void {
    this.#beatAt = this.#now()
  }

  /**
   * While this wait is under way, the loop does not count as hanging: other code limits the wait or
   * reports it.
   */
  async during<T>(wait: Promise<T>): Promise<T> {
    this.#waits++
    try {
      return await wait
    } finally {
      this.#waits--
      this.beat()
    }
  }

  /** Why the loop seems to hang; undefined while it does not. */
  hangs(): string | undefined {
    const silentMs = this.#now() - this.#beatAt
    if (this.#waits > 0 || silentMs <= silenceLimitMs) return undefined
    return `nothing was done for ${Math.round(silentMs / 1000)} s`
  }
}

/**
 * `/livez` answers 503 when the process must be restarted, and never because a server is down.
 * `/readyz` answers 503 while changes do not arrive, and says why; a restart would not help.
 * @param stopsFlow why changes do not flow at the moment; undefined when they do
 */
export function healthRoutes(pulse: Pulse, stopsFlow: () => string | undefined): Record<string, Route> {
  return { '/livez': () => verdict(pulse.hangs()), '/readyz': () => verdict(stopsFlow()) }
}

function verdict(why: string | undefined): Answer {
  return why === undefined ? new Answer(200, { ok: true }) : new Answer(503, { ok: false, why })
}

/**
 * Changes flow while the age of the newest one is at most this. The producer writes a heartbeat
 * into the source at the given interval, and each heartbeat is a change.
 */
export function flowLimitMs(heartbeatSeconds: number): number {
  return 3_000 * heartbeatSeconds + 5_000
}
