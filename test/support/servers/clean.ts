// test/support/servers/clean: removes everything that a test file may have left in servers that
// other files use after it.

import { connectClickhouse } from '../../../clickhouse/client.ts'
import { quoteName as quoteClickhouse } from '../../../clickhouse/quote.ts'
import { deleteTopics, listTopics } from '../../../kafka/client/admin.ts'
import { connectKafka } from '../../../kafka/client/cluster.ts'
import { query, withClient } from '../../../postgres/client/client.ts'
import { quoteName, quoteString } from '../../../postgres/client/quote.ts'
import { createLog } from '../../../runtime/log.ts'
import { waitUntil } from '../../../runtime/wait.ts'
import type { Endpoints } from '../../../stack/component.ts'

/** Cleans the servers of the endpoints. Their ports, identities and settings stay. */
export async function cleanServers({ postgres, kafka, clickhouse }: Endpoints): Promise<void> {
  await Promise.all([
    postgres === undefined ? undefined : cleanPostgres(postgres),
    kafka === undefined ? undefined : cleanKafka(kafka),
    clickhouse === undefined ? undefined : cleanClickhouse(clickhouse),
  ])
}

async function cleanPostgres(url: string): Promise<void> {
  await withClient(url, async client => {
    const slots = () =>
      query<{ name: string }>(
        client,
        'SELECT slot_name AS name, pg_terminate_backend(active_pid) FROM pg_replication_slots',
      )
    for (const { name } of await slots()) {
      const drop = () => query(client, 'SELECT pg_drop_replication_slot($1)', [name]).then(() => true)
      await waitUntil(() => drop().catch(() => false), { timeoutMs: 10_000, everyMs: 20 })
    }
    const prepared = await query<{ gid: string; database: string }>(
      client,
      'SELECT gid, database FROM pg_prepared_xacts',
    )
    for (const { gid, database } of prepared) {
      const own = new URL(url)
      own.pathname = `/${database}`
      await withClient(own.href, inside => query(inside, `ROLLBACK PREPARED ${quoteString(gid)}`))
    }
    const databases = await query<{ name: string }>(
      client,
      "SELECT datname AS name FROM pg_database WHERE NOT datistemplate AND datname <> current_database() AND datname <> 'postgres'",
    )
    for (const { name } of databases) await query(client, `DROP DATABASE ${quoteName(name)} WITH (FORCE)`)
    const roles = await query<{ name: string }>(
      client,
      "SELECT rolname AS name FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%' AND rolname <> current_user",
    )
    for (const { name } of roles) await query(client, `DROP OWNED BY ${quoteName(name)}; DROP ROLE ${quoteName(name)}`)
  })
}

async function cleanKafka(broker: string): Promise<void> {
  const log = createLog('test', 'error')
  const connection = await connectKafka({ brokers: [broker], clientId: 'clean', tls: false, log })
  try {
    const topics = await listTopics(connection, '')
    await deleteTopics(
      connection,
      topics.filter(topic => !topic.startsWith('__')),
    )
  } finally {
    await connection.close()
  }
}

async function cleanClickhouse(url: string): Promise<void> {
  const clickhouse = connectClickhouse({ url, user: 'default', password: '' })
  try {
    const databases = await clickhouse.rows<{ name: string }>(
      "SELECT name FROM system.databases WHERE name NOT IN ('system', 'default', 'INFORMATION_SCHEMA', 'information_schema')",
    )
    for (const { name } of databases) await clickhouse.command(`DROP DATABASE ${quoteClickhouse(name)} SYNC`)
    const tables = await clickhouse.rows<{ name: string }>("SELECT name FROM system.tables WHERE database = 'default'")
    for (const { name } of tables) await clickhouse.command(`DROP TABLE default.${quoteClickhouse(name)} SYNC`)
  } finally {
    await clickhouse.close()
  }
}
