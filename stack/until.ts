// stack/until: waiting for a condition with a deadline, the only way in which the stack waits.

import { pause } from '../runtime/pause.ts'

export interface UntilOptions {
  readonly timeoutMs: number
  readonly signal?: AbortSignal
  readonly everyMs?: number
}

/**
 * Asks again and again until `condition` returns something other than undefined and false, and returns that;
 * undefined when the time is over. Throws what `condition` throws, and the signal's reason when aborted.
 */
export async function until<T>(
  condition: () => Promise<T | undefined | false> | T | undefined | false,
  { timeoutMs, signal, everyMs = 50 }: UntilOptions,
): Promise<T | undefined> {
  const end = performance.now() + timeoutMs
  for (;;) {
    signal?.throwIfAborted()
    const value = await condition()
    if (value !== undefined && value !== false) return value
    if (performance.now() >= end) return undefined
    await pause(everyMs, signal)
  }
}
