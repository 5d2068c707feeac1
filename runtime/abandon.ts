// runtime/abandon: work that nobody waits for any more once a signal has fired.

/**
 * What the work gives, or the signal's reason as soon as it fires. The work itself goes on unheard: only for what holds nothing that
 * somebody else does not close.
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
