// test/support/servers/postgres: a Postgres database for one test.

import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { type Client, connect, query, withClient } from '../../../postgres/client/client.ts'
import { quoteName } from '../../../postgres/client/quote.ts'
import { waitUntil } from '../../../runtime/wait.ts'

export interface TestDatabase {
  readonly name: string
  readonly url: string
  /** A connection as the product opens it, for calls of the product. */
  readonly client: Client
  /**
   * Runs a statement as any application would, in a session with the server's own settings. A lost
   * session is opened again.
   */
  sql<Row extends object>(text: string, values?: readonly unknown[]): Promise<Row[]>
  /** Another application's connection. Closed with the database. */
  connect(): Promise<pg.Client>
  /** Ends every connection, drops the slots, then the database. */
  drop(): Promise<void>
}

/**
 * Creates an empty database with a unique name on the server of `url`.
 * @param clauses more clauses of CREATE DATABASE, such as an encoding
 */
export async function createDatabase(url: string, clauses = ''): Promise<TestDatabase> {
  const name = uniqueName('t')
  await withClient(url, client => query(client, `CREATE DATABASE ${name} ${clauses}`))
  const own = new URL(url)
  own.pathname = `/${name}`
  const clients: pg.Client[] = []
  const open = async () => {
    const application = new pg.Client({ connectionString: own.href })
    application.on('error', () => {})
    await application.connect()
    clients.push(application)
    return application
  }
  const client = await connect(own.href)
  clients.push(client)
  let session: pg.Client | undefined
  return {
    name,
    url: own.href,
    client,
    connect: open,
    async sql<Row extends object>(text: string, values?: readonly unknown[]) {
      if (session === undefined) {
        session = await open()
        session.once('end', () => {
          session = undefined
        })
      }
      const { rows } = await session.query<Row & pg.QueryResultRow>(text, values && [...values])
      return rows
    },
    async drop() {
      await Promise.all(clients.map(each => each.end().catch(() => {})))
      await withClient(url, admin => dropDatabase(admin, name))
    },
  }
}

/** A name that no other test, run or clone uses: lower case letters, digits and underscores. */
export function uniqueName(prefix: string): string {
  return `${prefix}_${process.pid}_${randomBytes(4).toString('hex')}`
}

async function dropDatabase(admin: Client, name: string): Promise<void> {
  await query(
    admin,
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()`,
    [name],
  )
  const gone = async () => {
    await query(
      admin,
      `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
       WHERE database = $1 AND NOT active AND NOT temporary`,
      [name],
    )
    const left = await query(admin, 'SELECT FROM pg_replication_slots WHERE database = $1', [name])
    return left.length === 0
  }
  if (!(await waitUntil(gone, { timeoutMs: 10_000 }))) throw new Error(`slots of ${name} are still in use`)
  await query(admin, `DROP DATABASE ${quoteName(name)} WITH (FORCE)`)
}
