// postgres/preflight/replication-check: whether a replication connection can be opened, which is more than the role's rights.

import { MillraceError } from '../../runtime/errors.ts'
import { identify } from '../replication/history.ts'
import type { Check } from './check.ts'

/** Opens one: pg_hba.conf, a pooler, or a lack of WAL senders may refuse it although everything else is right. */
export async function checkReplication(url: string, signal: AbortSignal): Promise<Check> {
  const about = { name: 'replication connection', why: 'changes come over one, which the server treats unlike others' }
  try {
    return { ...about, state: 'pass', found: `opened to system/database ${(await identify(url, signal)).source}` }
  } catch (error) {
    signal.throwIfAborted()
    if (!(error instanceof MillraceError)) throw error
    return { ...about, state: 'fail', found: error.message, fix: error.next }
  }
}
