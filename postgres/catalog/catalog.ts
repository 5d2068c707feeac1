// postgres/catalog/catalog: the tables of the database, from its system catalog.

import type { SourceType } from '../../contract/types.ts'
import { type Client, query } from '../client/client.ts'
import type { ReplicaIdentity } from '../protocol/pgoutput.ts'
import { catalogQuery } from './catalog-query.ts'

export interface SourceColumn {
  readonly name: string
  /** `pg_attribute.attnum`; dropped columns leave gaps. */
  readonly number: number
  /**
   * The declared type: for a domain, the domain's own. The stream's relation messages contain the
   * same.
   */
  readonly typeOid: number
  readonly typeModifier: number
  /** The type's name as `format_type` prints it. */
  readonly pgType: string
  /**
   * The type with domains resolved to their base type. The name of a type that is not built in
   * contains its schema.
   */
  readonly type: SourceType
  /**
   * Whether a row may contain NULL. This includes columns with a NOT NULL constraint that was never
   * validated, and domains with NOT NULL, which is not true of every row
   * (https://www.postgresql.org/docs/current/sql-createdomain.html#SQL-CREATEDOMAIN-NOTES).
   */
  readonly nullable: boolean
  /** False where the column's collation treats texts with different bytes as equal. */
  readonly deterministic: boolean
  /** A virtual column is never replicated, and makes its table unsupported. */
  readonly generated: 'stored' | 'virtual' | undefined
  readonly comment: string | undefined
}

interface SourcePartition {
  readonly oid: number
  readonly schema: string
  readonly name: string
  /** `r` ordinary, `f` foreign. */
  readonly kind: string
  /** `p` permanent, `u` unlogged. */
  readonly persistence: string
  readonly replicaIdentity: ReplicaIdentity
}

export interface SourceTable {
  readonly oid: number
  readonly schema: string
  readonly name: string
  /** `r` ordinary, `p` partitioned. Every other kind has a reason in `unsupported`. */
  readonly kind: string
  readonly columns: readonly SourceColumn[]
  /** Names of the primary key's columns in key order; empty without one. */
  readonly key: readonly string[]
  readonly replicaIdentity: ReplicaIdentity
  /** The leaves of a partitioned table, each with a replica identity of its own. */
  readonly partitions: readonly SourcePartition[]
  readonly comment: string | undefined
  /** Why the table cannot be captured, as a sentence; undefined where it can. */
  readonly unsupported: string | undefined
}

interface TableRow extends Omit<SourceTable, 'unsupported' | 'columns' | 'comment'> {
  readonly columns: readonly ColumnRow[]
  readonly ancestors: readonly number[]
  /** `p` permanent, `u` unlogged, `t` temporary. */
  readonly persistence: string
  readonly inherits: boolean
  readonly inherited: boolean
  readonly comment: string | null
}

interface ColumnRow extends Omit<SourceColumn, 'generated' | 'comment'> {
  readonly generated: string
  readonly comment: string | null
}

/** The name of a table. */
export interface Named {
  readonly schema: string
  readonly name: string
}

/**
 * Reads the tables that `select` chooses. A partition is part of its root where the root is chosen
 * too. Tables of the system's schemas are never offered. One statement reads everything, so that
 * the parts are consistent.
 * @param select decides by the table's name and by the names of the partitioned tables above it
 * @throws {MillraceError} POSTGRES_*
 */
export async function readTables(
  client: Client,
  select: (table: Named, ancestors: readonly Named[]) => boolean,
): Promise<SourceTable[]> {
  const rows = await query<TableRow>(client, catalogQuery)
  const byOid = new Map(rows.map(row => [row.oid, row]))
  const chosen = rows.filter(row =>
    select(
      row,
      row.ancestors.map(oid => byOid.get(oid)!),
    ),
  )
  const roots = new Set(chosen.map(({ oid }) => oid))
  return chosen.filter(({ ancestors }) => !ancestors.some(oid => roots.has(oid))).map(describe)
}

/**
 * The columns that both the initial load and the stream contain. Postgres publishes stored
 * generated columns from version 18 on.
 */
export function replicatedColumns(table: SourceTable, serverVersion: number): SourceColumn[] {
  return table.columns.filter(
    ({ generated }) => generated === undefined || (generated === 'stored' && serverVersion >= 180_000),
  )
}

function describe(row: TableRow): SourceTable {
  const { oid, schema, name, kind, key, replicaIdentity, partitions } = row
  const columns = row.columns.map(column => ({
    ...column,
    generated: generatedColumnKinds[column.generated],
    comment: column.comment ?? undefined,
  }))
  const parts = { oid, schema, name, kind, columns, key, replicaIdentity, partitions }
  return { ...parts, comment: row.comment ?? undefined, unsupported: whyUnsupported(row) }
}

const generatedColumnKinds: Readonly<Record<string, 'stored' | 'virtual'>> = { s: 'stored', v: 'virtual' }

const unsupportedKinds: Readonly<Record<string, string>> = {
  v: 'it is a view, which has no changes of its own; capture the tables it reads',
  m: 'it is a materialized view, whose refreshes Postgres does not replicate; capture the tables it reads',
  f: 'it is a foreign table, whose changes happen on another server; capture it there',
}

function whyUnsupported(row: TableRow): string | undefined {
  const kind = unsupportedKinds[row.kind]
  if (kind !== undefined) return kind
  if (row.persistence === 'u')
    return 'it is unlogged, so that its changes are not in the WAL; run ALTER TABLE … SET LOGGED'
  if (row.persistence === 't') return 'it is temporary and belongs to one session'
  if (row.inherits)
    return 'it inherits from another table, so that its rows are also rows of that one; use declarative partitioning'
  if (row.inherited)
    return 'other tables inherit from it, so that its rows are in several tables; use declarative partitioning'
  const virtual = row.columns.find(({ generated }) => generatedColumnKinds[generated] === 'virtual')
  // Once such a table is published, Postgres refuses the application's updates:
  // https://www.postgresql.org/docs/current/logical-replication-publication.html
  if (virtual) {
    return `its column ${virtual.name} is a virtual generated column, and once published with REPLICA IDENTITY FULL Postgres refuses every UPDATE and DELETE of the table; make the column STORED`
  }
  const foreign = row.partitions.find(partition => partition.kind === 'f')
  if (foreign)
    return `its partition ${foreign.schema}.${foreign.name} is a foreign table, whose changes happen on another server`
  const unlogged = row.partitions.find(partition => partition.persistence === 'u')
  if (unlogged) return `its partition ${unlogged.schema}.${unlogged.name} is unlogged; run ALTER TABLE … SET LOGGED`
  return undefined
}
