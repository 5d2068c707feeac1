// generator/database/pool: the connections of the HTTP API's requests.

import pg from 'pg'
import { type Client, clientConfig, describeUrl } from '../../postgres/client/client.ts'
import { postgresError } from '../../postgres/client/errors.ts'
import { inTransaction } from '../../postgres/client/transaction.ts'

const mostConnections = 4

export interface Pool {
  /** Runs the work in a transaction of its own. @throws {MillraceError} POSTGRES_* */
  transaction<Result>(work: (client: Client) => Promise<Result>): Promise<Result>
  close(): Promise<void>
}

/** Connects at the first request, and again after a lost connection. */
export function openPool(url: string): Pool {
  const pool = new pg.Pool({ ...clientConfig(url), max: mostConnections, allowExitOnIdle: true })
  pool.on('error', () => {}) // an idle connection that breaks is replaced when it is needed
  return {
    async transaction(work) {
      const client = await pool.connect().catch((error: unknown) => {
        throw postgresError(error, describeUrl(url))
      })
      let broken = true
      const onError = () => {}
      client.on('error', onError)
      try {
        // The pool makes plain clients and adds `release` to them.
        const result = await inTransaction(client as pg.PoolClient & Client, () =>
          work(client as pg.PoolClient & Client),
        )
        broken = false
        return result
      } finally {
        client.off('error', onError)
        client.release(broken)
      }
    },
    close: () => pool.end(),
  }
}
