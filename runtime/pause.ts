// runtime/pause: a wait that a signal ends.

import { setTimeout as delay } from 'node:timers/promises'

/**
 * Waits for so many milliseconds.
 * @throws the signal's reason once it has aborted, and not Node's AbortError: callers tell by the reason why their work is over
 */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  await delay(ms, undefined, signal ? { signal } : {}).catch(() => signal?.throwIfAborted())
}
