// postgres/client/periodic: statements that run periodically, on one connection beside the stream.

import type { Log } from '../../runtime/log.ts'
import { sleep } from '../../runtime/wait.ts'
import { type Client, connect, disconnect } from './client.ts'

export interface PeriodicTask {
  /** The log message of a failure: "no heartbeat written". */
  readonly complaint: string
  readonly everyMs: number
  run(client: Client): Promise<void>
}

export interface PeriodicOptions {
  readonly url: string
  readonly tasks: readonly PeriodicTask[]
  /** Called before each turn of the tasks, even while Postgres cannot be reached. */
  onTurn?(): void
  readonly log: Log
  readonly signal: AbortSignal
}

/**
 * A connection stays with the server that had the address when the connection was made, so it is
 * renewed.
 */
const renewEveryMs = 60_000

/**
 * Runs each task at once and then every `everyMs`, one after the other, until the signal fires and
 * ends the connection. A failure is logged, and ends only this turn of the task. The next turn is
 * on a new connection. A task reports a failure that must end more than that.
 */
export async function runPeriodically({ url, tasks, onTurn, log, signal }: PeriodicOptions): Promise<void> {
  const due = tasks.map(() => performance.now())
  let client: Client | undefined
  let renewAt = 0
  while (!signal.aborted) {
    onTurn?.()
    for (const [index, task] of tasks.entries()) {
      if (due[index]! > performance.now()) continue
      try {
        if (client && performance.now() > renewAt) {
          await disconnect(client)
          client = undefined
        }
        if (client === undefined) renewAt = performance.now() + renewEveryMs
        client ??= await connect(url, { signal })
        await task.run(client)
      } catch (error) {
        if (signal.aborted) break
        log.warn(task.complaint, { reason: error instanceof Error ? error.message : String(error) })
        if (client) await disconnect(client)
        client = undefined
      }
      due[index] = performance.now() + task.everyMs
    }
    await sleep(Math.max(0, Math.min(...due) - performance.now()), signal).catch(() => {})
  }
  if (client) await disconnect(client)
}
