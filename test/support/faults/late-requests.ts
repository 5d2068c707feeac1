// test/support/faults/late-requests: a connection to ClickHouse on which some statements arrive
// after their client has given up.

import type { Clickhouse } from '../../../clickhouse/client.ts'
import { MillraceError } from '../../../runtime/errors.ts'

type Held = () => Promise<void>

/** Statements that the client has given up, and that have not reached the server yet. */
export class LateRequests {
  readonly #held: Held[] = []
  /** Whether the next statement that writes is held. It fails for the client. */
  holdNext = false

  get count(): number {
    return this.#held.length
  }

  /** The connection as the client sees it. */
  on(clickhouse: Clickhouse): Clickhouse {
    return {
      ...clickhouse,
      command: (...args) => this.#send(() => clickhouse.command(...args)),
      insert: (sql, chunks, settings) => {
        // The client uses the buffers for its next statement.
        const copies = chunks.map(chunk => Buffer.from(chunk))
        return this.#send(() => clickhouse.insert(sql, copies, settings))
      },
    }
  }

  /** A held statement reaches the server. Its client does not learn the outcome. */
  async deliver(index = 0): Promise<void> {
    const [statement] = this.#held.splice(index, 1)
    await statement?.().catch(() => {})
  }

  async #send(statement: Held): Promise<void> {
    if (!this.holdNext) return statement()
    this.holdNext = false
    this.#held.push(statement)
    throw new MillraceError('CLICKHOUSE_UNREACHABLE', { what: 'the client gave up', next: 'none' })
  }
}
