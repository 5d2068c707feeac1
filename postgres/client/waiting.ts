// postgres/client/waiting: looks whom a statement waits for, every few seconds until it has its answer.

import { sleep } from '../../runtime/wait.ts'
import { findBlockingOf, type OpenTransaction } from './blocking.ts'
import { backendOf, type Client, withClient } from './client.ts'

/** Told every few seconds whom a statement waits for; undefined once it waits for nobody any more. */
export type OnBlocked = (by: OpenTransaction | undefined) => void

const lookEveryMs = 3_000

/**
 * Runs a statement of `client`, and looks beside it whom it waits for. A server that cannot be asked tells nothing: the statement's own
 * connection is looked after elsewhere.
 */
export async function watchBlocked<T>(
  {
    url,
    client,
    onBlocked,
  }: { readonly url: string; readonly client: Client; readonly onBlocked: OnBlocked | undefined },
  statement: () => Promise<T>,
): Promise<T> {
  if (onBlocked === undefined) return statement()
  const over = new AbortController()
  const { signal } = over
  const { pid } = backendOf(client)
  let wasBlocked = false
  const look = async () => {
    for (;;) {
      await sleep(lookEveryMs, signal)
      const by = await withClient(url, other => findBlockingOf(other, pid), signal).catch(() => undefined)
      if (signal.aborted || by === undefined) continue
      wasBlocked = true
      onBlocked(by)
    }
  }
  const looking = look().catch(() => {})
  try {
    return await statement()
  } finally {
    over.abort()
    await looking
    if (wasBlocked) onBlocked(undefined)
  }
}
