// postgres/client/periodic: statements that run every so often, on one connection beside the stream.

import type { Log } from '../../runtime/log.ts'
import { sleep } from '../../runtime/wait.ts'
import { type Client, connect, disconnect } from './client.ts'

export interface PeriodicTask {
  /** What is missing when it fails, for the log: "no heartbeat written". */
  readonly complaint: string
  readonly everyMs: number
  run(client: Client): Promise<void>
}

export interface PeriodicOptions {
  readonly url: string
  readonly tasks: readonly PeriodicTask[]
  /** Called before the tasks' turn, also while Postgres cannot be reached. */
  onTurn?(): void
  readonly log: Log
  readonly signal: AbortSignal
}

/** A connection leads to the server that had the address when it was made, and so must not last for ever. */
const renewEveryMs = 60_000

/**
 * Runs each task at once and then every `everyMs`, one after the other, until the signal fires, which cuts the connection. A failure is
 * logged, and the task has its next turn on a new connection: a task that is to end more than that must say so itself.
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
