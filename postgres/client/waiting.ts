// postgres/client/waiting: finds out periodically which transaction a running statement waits for.

import { sleep } from '../../runtime/wait.ts'
import { findBlockingOf, type OpenTransaction } from './blocking.ts'
import { backendOf, type Client, withClient } from './client.ts'

/**
 * Called every few seconds with the transaction that a statement waits for; with undefined once it
 * waits no more.
 */
export type OnBlocked = (by: OpenTransaction | undefined) => void

const lookEveryMs = 3_000

/**
 * Runs a statement of `client` and finds out on another connection what it waits for. A failure of
 * the other connection is ignored: `query` monitors the statement's own connection.
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
