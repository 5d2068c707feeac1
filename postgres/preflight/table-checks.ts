// postgres/preflight/table-checks: the requirements of each captured table.

import { tableName } from '../../contract/table.ts'
import { mapType } from '../../contract/types.ts'
import { type Named, replicatedColumns, type SourceTable } from '../catalog/catalog.ts'
import { type Client, query } from '../client/client.ts'
import { quoteTable } from '../client/quote.ts'
import { serverVersion } from '../replication/publication.ts'
import type { CheckDefinition, Finding } from './check.ts'
import { currentRole, grantsToRead } from './rights.ts'

/** Remedy for a table that is not to be captured. */
const leaveOut = 'leave it out by `capture: false` in an entry of its own under `tables`'

/**
 * All of these run before a generation begins. While it is live, the catalog watch replaces them.
 */
export const tableChecks: readonly CheckDefinition[] = [
  {
    name: 'kinds of table',
    why: 'only ordinary and partitioned tables have row changes in the WAL',
    async run({ tables }) {
      const faults = tables.flatMap(table => (table.unsupported ? [`${tableName(table)}: ${table.unsupported}`] : []))
      return verdict(tables, faults, { fix: `${leaveOut}, or change what each reason names` })
    },
  },
  {
    name: 'tables left out',
    why: 'a table that matches a pattern and cannot be captured is skipped, so that the others are captured',
    async run({ leftOut }) {
      const faults = leftOut.map(table => `${tableName(table)}: ${table.reason}`)
      if (faults.length === 0) return { state: 'pass', found: 'none' }
      return {
        state: 'warn',
        found: faults.join(', '),
        fix: `change what each reason names, or ${leaveOut} if it shall not be captured`,
      }
    },
  },
  {
    name: 'primary keys',
    why: 'the current state is kept by key; without one, equal rows cannot be distinguished',
    async run({ tables }) {
      const without = capturable(tables).filter(({ key }) => key.length === 0)
      return verdict(tables, without.map(tableName), { fix: `add a primary key, or ${leaveOut}` })
    },
  },
  {
    name: 'replica identity',
    why: 'aggregates subtract the whole old row, and Postgres sends it only with this setting',
    async run({ tables, client }) {
      const identified = capturable(tables).flatMap(table => [table, ...table.partitions])
      const without = identified.filter(({ replicaIdentity }) => replicaIdentity !== 'f')
      const foreign = await among(client, without, `NOT pg_has_role(relowner, 'USAGE')`)
      const statements = (some: readonly Named[]) =>
        some.map(table => `ALTER TABLE ${quoteTable(table)} REPLICA IDENTITY FULL`)
      const sql = statements(without.filter(table => !foreign.includes(table)))
      const others = foreign.length === 0 ? '' : `; have an owner run ${statements(foreign).join('; ')}`
      return verdict(tables, without.map(tableName), { fix: `set REPLICA IDENTITY FULL${others}`, sql })
    },
  },
  {
    name: 'column types',
    why: 'a value must arrive downstream as it is',
    async run({ tables, client }) {
      const version = await serverVersion(client)
      const faults = capturable(tables).flatMap(table =>
        replicatedColumns(table, version).flatMap(({ name, pgType, type }) => {
          const { fidelity, reason } = mapType(type)
          return fidelity === 'refused' ? [`${tableName(table)}.${name} (${pgType}): ${reason}`] : []
        }),
      )
      return verdict(tables, faults, { fix: `${leaveOut}, or give the column another type` })
    },
  },
  {
    name: 'generated columns',
    why: 'Postgres publishes them from version 18 on',
    async run({ tables, client }) {
      const version = await serverVersion(client)
      const faults = capturable(tables).flatMap(table => {
        const replicated = new Set(replicatedColumns(table, version))
        return table.columns.filter(column => !replicated.has(column)).map(({ name }) => `${tableName(table)}.${name}`)
      })
      return verdict(tables, faults, { fix: 'they are left out downstream; compute them there if needed' }, 'warn')
    },
  },
  {
    name: 'partitions',
    why: 'TRUNCATE, DETACH, ATTACH and DROP of a single partition are not part of the replication stream',
    async run({ tables }) {
      const partitioned = capturable(tables).filter(({ kind }) => kind === 'p')
      const fix =
        'delete rows by DELETE instead; after one of these the producer stops, and the table has to be loaded again'
      return verdict(tables, partitioned.map(tableName), { fix }, 'warn')
    },
  },
  {
    name: 'right to read',
    why: 'the initial load selects every row',
    async run({ tables, client }) {
      const unreadable = await among(client, capturable(tables), isUnreadable)
      return verdict(tables, unreadable.map(tableName), { fix: await askToRead(client, unreadable) })
    },
  },
  {
    name: 'right to read partitions',
    why: 'after VACUUM FULL of a partition, or ATTACH of a new one, the producer reads its rows to see whether any were lost',
    async run({ tables, client }) {
      const partitions = capturable(tables).flatMap(table => table.partitions)
      const unreadable = await among(client, partitions, isUnreadable)
      return verdict(tables, unreadable.map(tableName), { fix: await askToRead(client, unreadable) }, 'warn')
    },
  },
  {
    name: 'locks',
    why: 'the initial load locks every table, with its partitions and indexes, until all is copied',
    onlyToBegin: true,
    async run({ tables, client }) {
      const { needed, room } = await countLocks(client, tables)
      const found = `${needed} locks needed, and the server has room for ${room}`
      if (needed <= room / 2) return { state: 'pass', found }
      const fix = `raise max_locks_per_transaction to ${await enoughLocks(client, needed)} and restart Postgres`
      return { state: needed > room ? 'fail' : 'warn', found, fix }
    },
  },
  {
    name: 'row level security',
    why: 'a policy would hide rows from the initial load',
    async run({ tables, client }) {
      const hidden = await among(client, capturable(tables), 'row_security_active(oid)')
      const fix = `have a superuser run ALTER ROLE ${await currentRole(client)} BYPASSRLS`
      return verdict(tables, hidden.map(tableName), { fix })
    },
  },
]

/** Leaves out tables of an unsupported kind, which another check reports. */
export function capturable(tables: readonly SourceTable[]): SourceTable[] {
  return tables.filter(({ unsupported }) => unsupported === undefined)
}

function verdict(
  tables: readonly SourceTable[],
  faults: readonly string[],
  mending: Pick<Finding, 'fix' | 'sql'>,
  otherwise: 'warn' | 'fail' = 'fail',
): Finding {
  if (faults.length === 0) return { state: 'pass', found: `${tables.length} tables` }
  return { state: otherwise, found: faults.join(', '), ...mending }
}

/** The tables or partitions for which the condition on `pg_class` is true. */
export async function among<T extends { readonly oid: number }>(
  client: Client,
  relations: readonly T[],
  condition: string,
): Promise<T[]> {
  const rows = await query<{ oid: number }>(
    client,
    `SELECT oid FROM pg_class WHERE oid = ANY ($1) AND (${condition})`,
    [relations.map(({ oid }) => oid)],
  )
  const found = new Set(rows.map(({ oid }) => oid))
  return relations.filter(({ oid }) => found.has(oid))
}

const isUnreadable = `NOT has_table_privilege(oid, 'SELECT') OR NOT has_schema_privilege(relnamespace, 'USAGE')`

async function askToRead(client: Client, tables: readonly Named[]): Promise<string> {
  const role = await currentRole(client)
  return `have an owner run ${tables.flatMap(table => grantsToRead(table, role)).join('; ')}`
}

/**
 * @see https://www.postgresql.org/docs/current/runtime-config-locks.html
 *   (max_locks_per_transaction)
 */
async function countLocks(client: Client, tables: readonly SourceTable[]): Promise<{ needed: number; room: number }> {
  const [row] = await query<{ needed: number; room: number }>(
    client,
    `WITH members AS (SELECT root AS oid FROM unnest($1::oid[]) root UNION SELECT relid FROM unnest($1::oid[]) root, pg_partition_tree(root))
     SELECT ((SELECT count(*) FROM members) + (SELECT count(*) FROM pg_index WHERE indrelid IN (SELECT oid FROM members)))::int AS needed,
       current_setting('max_locks_per_transaction')::int *
         (current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int) AS room`,
    [tables.map(({ oid }) => oid)],
  )
  return row!
}

/** Limits the load to half of all locks. */
async function enoughLocks(client: Client, needed: number): Promise<number> {
  const [row] = await query<{ sessions: number }>(
    client,
    `SELECT current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int AS sessions`,
  )
  return Math.ceil((2 * needed) / row!.sessions)
}
