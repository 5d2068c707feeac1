// runtime/steps: a command that destroys, as a row of steps between any two of which its process may be killed.

import type { Log } from './log.ts'

/**
 * Gives a sentence after each step. Whoever runs the whole again afterwards, from wherever it was cut off, must end as if it never had been;
 * what was opened is closed when it is given up.
 */
export type Steps = AsyncGenerator<string, void, undefined>

export async function carryOut(steps: Steps, log: Log): Promise<void> {
  for await (const done of steps) log.info(done)
}
