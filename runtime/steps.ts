// runtime/steps: a destructive command as a series of steps; its process may be killed between any
// two of them.

import type { Log } from './log.ts'

/**
 * Yields a sentence after each step. If the process is killed, running the whole command again must
 * give the same result as one complete run. Ending the generator early must close everything it
 * opened.
 */
export type Steps = AsyncGenerator<string, void, undefined>

export async function carryOut(steps: Steps, log: Log): Promise<void> {
  for await (const done of steps) log.info(done)
}
