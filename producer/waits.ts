// producer/waits: what somebody else holds up, said in the log again and again with growing pauses, and in the status.
// May know: postgres/{blocking,waiting}, runtime/log, producer/progress.

import { describeTransaction, endingStatement } from '../postgres/blocking.ts'
import type { OnBlocked } from '../postgres/waiting.ts'
import type { Log } from '../runtime/log.ts'
import type { Progress } from './progress.ts'

const firstPauseMs = 15_000
const longestPauseMs = 600_000

/** Whether it is time to say something again: at once when it is news, and then after pauses that double. */
export class Reminder {
  readonly #now: () => number
  #said: string | undefined
  #nextAt = 0
  #pauseMs = firstPauseMs

  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  isDue(what: string): boolean {
    if (what !== this.#said) this.#pauseMs = firstPauseMs
    else if (this.#now() < this.#nextAt) return false
    else this.#pauseMs = Math.min(longestPauseMs, 2 * this.#pauseMs)
    this.#said = what
    this.#nextAt = this.#now() + this.#pauseMs
    return true
  }

  /** It is over: the same would be news. */
  forget(): void {
    this.#said = undefined
  }
}

/** @param doing what waits, as in "making the slot" */
export function reportBlocked({ log, progress }: { log: Log; progress: Progress }, doing: string): OnBlocked {
  const reminder = new Reminder()
  return by => {
    progress.pulse.beat()
    if (by === undefined) {
      progress.waitingFor = undefined
      log.info('the wait for another transaction is over', { doing })
      return
    }
    const open = describeTransaction(by)
    // Whoever may ask for the status need not be allowed to read statements, which hold values.
    progress.waitingFor = `${doing} waits for the ${describeTransaction({ ...by, statement: undefined })}`
    if (!reminder.isDue(String(by.pid ?? by.gid))) return
    const next = `it goes on by itself when that has ended; to end it: ${endingStatement(by)}`
    log.warn('waiting for another transaction to end', { doing, open, next })
  }
}
