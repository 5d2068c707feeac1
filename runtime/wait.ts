// runtime/wait: sleeping, polling, giving up after a time, and the length of a backoff.

import { setTimeout as delay } from 'node:timers/promises'

/**
 * Waits for so many milliseconds.
 * @throws the signal's reason once it aborts, and never Node's AbortError, because the reason tells
 *   callers why their work is over
 */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  await delay(ms, undefined, signal ? { signal } : {}).catch(() => signal?.throwIfAborted())
}

export interface PollOptions {
  /** Default: no limit. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
  readonly everyMs?: number
}

/**
 * Asks repeatedly until `condition` returns a value other than undefined and false.
 * @returns that value; undefined after `timeoutMs`
 * @throws what `condition` throws; the signal's reason once it aborts
 */
export async function waitUntil<T>(
  condition: () => Promise<T | undefined | false> | T | undefined | false,
  { timeoutMs = Number.POSITIVE_INFINITY, signal, everyMs = 50 }: PollOptions,
): Promise<T | undefined> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    signal?.throwIfAborted()
    const value = await condition()
    if (value !== undefined && value !== false) return value
    if (performance.now() >= deadline) return undefined
    await sleep(everyMs, signal)
  }
}

/**
 * Whether the work ends within so many milliseconds. Work that takes longer continues unobserved.
 * @throws what the work throws in that time
 */
export async function endsWithin(work: Promise<unknown>, ms: number): Promise<boolean> {
  const timer = new AbortController()
  const late = sleep(ms, timer.signal).then(
    () => false,
    () => false,
  )
  try {
    return await Promise.race([work.then(() => true), late])
  } finally {
    timer.abort()
  }
}

/**
 * The result of the work, or the signal's reason as soon as it aborts. The work itself continues
 * unobserved, so it must close everything that it opens.
 */
export function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work
  return new Promise((resolve, reject) => {
    const giveUp = () => reject(signal.reason)
    if (signal.aborted) giveUp()
    signal.addEventListener('abort', giveUp, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', giveUp))
  })
}

export interface Backoff {
  /** Length after the first failure; it doubles with each further failure. */
  readonly firstMs: number
  readonly longestMs: number
}

/** How long to wait after the n-th failure in a row (from 1), with jitter. */
export function backoffMs(failures: number, { firstMs, longestMs }: Backoff): number {
  return withJitter(Math.min(longestMs, firstMs * 2 ** (failures - 1)))
}

/**
 * Between half of the length and all of it, so that processes that fail together do not return
 * together.
 */
export function withJitter(ms: number): number {
  return Math.round(ms * (0.5 + Math.random() / 2))
}
