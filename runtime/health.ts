// runtime/health: what an orchestrator asks a service: whether its loop makes progress, and whether changes flow.

import { Answer, type Route } from './http.ts'

/** No step of a service takes so long without a sign of life, however large the pipeline is. */
const silenceLimitMs = 300_000

/** When the loop of a service was last seen to do something. */
export class Pulse {
  readonly #now: () => number
  #beatAt: number
  #waits = 0

  /** @param now ms, by a clock that is never set */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
    this.#beatAt = now()
  }

  /** The loop has come to something new, or has tried again. */
  beat(): void {
    this.#beatAt = this.#now()
  }

  /** For a wait that is watched over elsewhere, and that may last: as long as it is under way, there is nothing to restart. */
  async during<T>(wait: Promise<T>): Promise<T> {
    this.#waits++
    try {
      return await wait
    } finally {
      this.#waits--
      this.beat()
    }
  }

  /** Why the loop must be taken to hang; undefined while it need not. */
  hangs(): string | undefined {
    const silentMs = this.#now() - this.#beatAt
    if (this.#waits > 0 || silentMs <= silenceLimitMs) return undefined
    return `nothing was done for ${Math.round(silentMs / 1000)} s`
  }
}

/**
 * `/livez` answers 503 when the process has to be started anew, and never because a server is away. `/readyz` answers 503 while changes do
 * not arrive, and says why; a restart would not help.
 * @param stopsFlow why changes do not flow at the moment; undefined when they do
 */
export function healthRoutes(pulse: Pulse, stopsFlow: () => string | undefined): Record<string, Route> {
  return { '/livez': () => verdict(pulse.hangs()), '/readyz': () => verdict(stopsFlow()) }
}

function verdict(why: string | undefined): Answer {
  return why === undefined ? new Answer(200, { ok: true }) : new Answer(503, { ok: false, why })
}

/** Changes flow when the last one arrived so long ago at most: the source writes a heartbeat every so many seconds, which is one. */
export function flowLimitMs(heartbeatSeconds: number): number {
  return 3_000 * heartbeatSeconds + 5_000
}
