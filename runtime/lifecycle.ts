// runtime/lifecycle: a process from its start to its end: signals, the deadline, closing in reverse
// order.

import { Disposables } from './disposables.ts'
import type { Log } from './log.ts'

/** Exit codes of the process. A service that stops after SIGTERM exits with 0. */
export const exitCodes = { ok: 0, found: 1, failed: 2, interrupted: 130 } as const

export interface Lifecycle {
  /** Aborts when the process is asked to stop. Every wait must end with it. */
  readonly signal: AbortSignal
  /**
   * Registers how to close a resource; all are closed in reverse order, whether the work succeeds
   * or not.
   */
  opened(name: string, close: () => unknown): void
  /** Asks the process to stop, as SIGTERM does. */
  stop(): void
}

export interface LifecycleOptions {
  readonly log: Log
  /** How long stopping may take before the process exits without closing the rest. Default 10 s. */
  readonly deadlineMs?: number
}

const stopSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * npm and tsx forward a signal that the terminal has sent to the whole group. Within this time, a
 * repeated signal counts as one.
 */
const signalDebounceMs = 500

/**
 * Runs the work, then closes everything it opened. The first signal asks the work to stop. A second
 * signal, or the deadline, ends the process at once with 130.
 * @returns the work's own exit code, or 130 after SIGINT
 * @throws the error of the work, except an AbortError after a signal; otherwise the first error of
 *   closing
 */
export async function runUntilStopped(
  work: (lifecycle: Lifecycle) => Promise<number>,
  options: LifecycleOptions,
): Promise<number> {
  const { log, deadlineMs = 10_000 } = options
  const disposables = new Disposables()
  const end = (why: string) => {
    log.error(why, { unfinished: disposables.names.join(', ') || 'the work itself' })
    process.exit(exitCodes.interrupted)
  }
  const asked = listen(log, () => end('asked to stop a second time'))
  let deadline: NodeJS.Timeout | undefined
  const startDeadline = () => {
    deadline ??= setTimeout(() => end(`not stopped within ${deadlineMs} ms`), deadlineMs)
  }
  asked.signal.addEventListener('abort', startDeadline)

  const outcome = await settle(() =>
    work({ signal: asked.signal, stop: asked.stop, opened: (name, close) => disposables.opened(name, close) }),
  )
  startDeadline()
  const closing = await settle(() => disposables.close())
  clearTimeout(deadline)
  asked.forget()

  if (outcome.failed && !(asked.signal.aborted && isAbort(outcome.error))) throw outcome.error
  if (closing.failed) throw closing.error
  if (asked.by() === 'SIGINT') return exitCodes.interrupted
  return outcome.failed ? exitCodes.ok : outcome.value
}

/** Aborts on the first signal, and when the reader of stdout has closed it. */
function listen(log: Log, onSecond: () => void) {
  const controller = new AbortController()
  const stop = () => controller.abort()
  let first: { readonly signal: NodeJS.Signals; readonly at: number } | undefined
  const onSignal = (signal: NodeJS.Signals) => {
    const at = performance.now()
    if (first && at - first.at >= signalDebounceMs) onSecond()
    if (first) return
    first = { signal, at }
    log.info('stopping', { signal })
    stop()
  }
  const ignore = () => {} // A service keeps running when nobody reads its log any more.
  for (const signal of stopSignals) process.on(signal, onSignal)
  process.stdout.on('error', stop)
  process.stderr.on('error', ignore)
  return {
    signal: controller.signal,
    stop,
    by: () => first?.signal,
    forget() {
      for (const signal of stopSignals) process.off(signal, onSignal)
      process.stdout.off('error', stop)
      process.stderr.off('error', ignore)
    },
  }
}

type Outcome<T> = { readonly failed: false; readonly value: T } | { readonly failed: true; readonly error: unknown }

async function settle<T>(work: () => Promise<T> | T): Promise<Outcome<T>> {
  try {
    return { failed: false, value: await work() }
  } catch (error) {
    return { failed: true, error }
  }
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError'
}
