// generator/live/schedule: recurring times, and a loop that works at each of them.

import { Cron } from 'croner'
import { MillraceError } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import { sleep } from '../../runtime/wait.ts'

const units: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }
/**
 * The longest wait of one timer, whose limit is 2^31 ms. A short wait also notices a changed clock.
 */
const longestWaitMs = 60_000

export interface Schedule {
  /** The first time after this one; undefined when no more time follows. */
  after(time: Date): Date | undefined
}

/**
 * An interval such as `30s`, `15m`, `2h` or `1d`, counted from the start, or a cron expression of
 * five or six fields in UTC.
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
      what: `"${text}" is not a schedule: ${(error as Error).message}`,
      where: '--every',
      next: 'give an interval such as 15m, or a cron expression such as "*/15 * * * *"',
      cause: error,
    })
  }
}

/**
 * Does the work at each of the times until the signal. A time that passes while the work runs is
 * skipped with a warning. Ends when no more time follows.
 * @throws every error of the work
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
      log.warn('skipped times that passed while the work was running', { first: next.toISOString() })
    }
  }
}
