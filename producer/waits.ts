// producer/waits: reports waits for other transactions, in the log with growing pauses and in the
// status.

import { describeTransaction, endingStatement } from '../postgres/client/blocking.ts'
import type { OnBlocked } from '../postgres/client/waiting.ts'
import type { Log } from '../runtime/log.ts'
import { Reminder } from '../runtime/reminder.ts'
import type { ProducerProgress } from './progress.ts'

/** @param doing the waiting step, as in "making the slot" */
export function reportBlocked({ log, progress }: { log: Log; progress: ProducerProgress }, doing: string): OnBlocked {
  const reminder = new Reminder()
  return by => {
    progress.pulse.beat()
    if (by === undefined) {
      progress.waitingFor = undefined
      log.info('the wait for another transaction is over', { doing })
      return
    }
    const open = describeTransaction(by)
    // Readers of the status may lack the right to see statements, which contain values.
    progress.waitingFor = `${doing} waits for the ${describeTransaction({ ...by, statement: undefined })}`
    if (!reminder.isDue(String(by.pid ?? by.gid))) return
    const next = `it continues when that transaction has ended; to end it: ${endingStatement(by)}`
    log.warn('waiting for another transaction to end', { doing, open, next })
  }
}
