// generator/live/schedule: times at which something is to be done again and again.

import { Cron } from 'croner'
import { MillraceError } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import { sleep } from '../../runtime/wait.ts'

const units: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }
/** The longest that one timer waits: its limit is 2^31 ms, and a clock that was set is noticed. */
const longestWaitMs = 60_000

export interface Schedule {
  /** The first time after this one; undefined when there is none any more. */
  after(time: Date): Date | undefined
}

/**
 * An interval such as `30s`, `15m`, `2h` or `1d`, counted from the start, or five or six fields of cron in UTC.
 * @throws {MillraceError} USAGE
 * @see https://www.man7.org/linux/man-pages/man5/crontab.5.html
 */
export function parseSchedule(text: string, start = new Date()): Schedule {
  const [, count, unit] = /^([1-9]\d{0,5})([smhd])$/.exec(text) ?? []
  if (count !== undefined && unit !== undefined) {
    const every = Number(count) * units[unit]!
    return {
      after: time => new Date(start.getTime() + (Math.floor((time.getTime() - start.getTime()) / every) + 1) * every),
    }
  }
  try {
    const cron = new Cron(text, { timezone: 'UTC', paused: true })
    return { after: time => cron.nextRun(time) ?? undefined }
  } catch (error) {
    throw new MillraceError('USAGE', {
      what: `"${text}" is no schedule: ${(error as Error).message}`,
      where: '--every',
      next: 'give an interval such as 15m, or fields of cron such as "*/15 * * * *"',
      cause: error,
    })
  }
}

/**
 * Does the work at each of the times until the signal; a time that passes while the work is under way is left out, and the
 * log says so. Ends early when no time is left.
 * @throws what the work throws
 */
export async function follow(
  schedule: Schedule,
  work: () => Promise<unknown>,
  { log, signal }: { log: Log; signal: AbortSignal },
): Promise<void> {
  for (let due = schedule.after(new Date()); due !== undefined; ) {
    log.info('next time', { at: due.toISOString() })
    while (Date.now() < due.getTime()) {
      const wait = Math.min(longestWaitMs, due.getTime() - Date.now())
      await sleep(wait, signal).catch(() => {})
      if (signal.aborted) return
    }
    await work()
    if (signal.aborted) return
    const next = schedule.after(due)
    due = schedule.after(new Date(Math.max(Date.now(), due.getTime())))
    if (next !== undefined && due !== undefined && next < due) {
      log.warn('times went by while the last work was under way', { first: next.toISOString() })
    }
  }
}
