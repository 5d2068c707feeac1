// postgres/replication/snapshot-plan: divides the initial load into statements of similar size.

import { MillraceError } from '../../runtime/errors.ts'
import { type Client, query } from '../client/client.ts'
import { quoteName, quoteOnly } from '../client/quote.ts'
import { type OnBlocked, watchBlocked } from '../client/waiting.ts'

export interface SnapshotTable {
  readonly oid: number
  readonly schema: string
  readonly name: string
  /** `r` ordinary, `p` partitioned. */
  readonly kind: string
  /** Names of the columns, in the order of the rows' values. */
  readonly columns: readonly string[]
}

/** One statement's part of a table. */
export interface Piece {
  readonly table: number
  readonly statement: string
}

export interface PlanOptions {
  readonly url: string
  readonly tables: readonly SnapshotTable[]
  readonly readers: number
  /** Called with the transaction that the locks wait for. */
  readonly onBlocked?: OnBlocked | undefined
}

/** 64 MB. For less, another connection costs more time than it saves. */
const leastBlocks = 8192
/** Several pieces per reader, so that the last reader has little left when the others are done. */
const piecesPerReader = 4

/**
 * Locks the tables against rewriting in the transaction of `client`, and divides them into ranges
 * of blocks. A partitioned table, and one that is not stored as a heap, is one piece.
 * @throws {MillraceError} SNAPSHOT_LOST when a table was rewritten or truncated after the snapshot
 */
export async function planSnapshot(client: Client, { url, tables, readers, onBlocked }: PlanOptions): Promise<Piece[]> {
  if (tables.length === 0) return []
  await watchBlocked({ url, client, onBlocked }, () => query(client, lockStatement(tables)))
  await requireUnwritten(client, tables)
  const rows = await query<{ oid: number; blocks: string }>(
    client,
    `SELECT c.oid, CASE WHEN c.relkind = 'r' AND a.amname = 'heap'
       THEN pg_relation_size(c.oid) / current_setting('block_size')::int ELSE 0 END AS blocks
     FROM pg_class c LEFT JOIN pg_am a ON a.oid = c.relam WHERE c.oid = ANY ($1)`,
    [tables.map(({ oid }) => oid)],
  )
  const blocksOf = new Map(rows.map(({ oid, blocks }) => [oid, Number(blocks)]))
  const total = [...blocksOf.values()].reduce((sum, blocks) => sum + blocks, 0)
  const size = Math.max(leastBlocks, Math.ceil(total / (readers * piecesPerReader)))
  return tables.flatMap((table, index) =>
    divide(blocksOf.get(table.oid) ?? 0, size).map(range => ({ table: index, statement: statement(table, range) })),
  )
}

/** Prevents the tables and their partitions from being rewritten until the transaction ends. */
export function lockStatement(tables: readonly SnapshotTable[]): string {
  return `LOCK TABLE ${tables.map(quoteOnly).join(', ')} IN ACCESS SHARE MODE`
}

/**
 * Conditions that together match every row exactly once. Rows beyond the last known block are of
 * later transactions.
 */
function divide(blocks: number, size: number): string[] {
  if (blocks <= size) return ['']
  const starts = Array.from({ length: Math.ceil(blocks / size) }, (_, index) => index * size)
  return starts.map((start, index) => {
    const upper = index === starts.length - 1 ? '' : ` AND ctid < '(${start + size},0)'`
    return ` WHERE ctid >= '(${start},0)'${upper}`
  })
}

function statement(table: SnapshotTable, condition: string): string {
  const columns = table.columns.map(quoteName).join(', ')
  return `COPY (SELECT ${columns} FROM ${quoteOnly(table)}${condition}) TO STDOUT`
}

/**
 * TRUNCATE and rewriting forms of ALTER TABLE are not bound to snapshots: in a snapshot from
 * before, a rewritten table looks empty, without an error. The catalog as of the snapshot then has
 * another file than the server uses now.
 * @see https://www.postgresql.org/docs/current/mvcc-caveats.html
 */
async function requireUnwritten(client: Client, tables: readonly SnapshotTable[]): Promise<void> {
  const rewritten = await query<{ name: string }>(
    client,
    `SELECT format('%I.%I', n.nspname, c.relname) AS name
     FROM unnest($1::oid[]) root CROSS JOIN LATERAL (SELECT root UNION SELECT relid FROM pg_partition_tree(root)) AS t (oid)
       JOIN pg_class c ON c.oid = t.oid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relfilenode <> 0 AND c.relfilenode IS DISTINCT FROM pg_relation_filenode(c.oid)`,
    [tables.map(({ oid }) => oid)],
  )
  if (rewritten.length === 0) return
  throw new MillraceError('SNAPSHOT_LOST', {
    what: 'a table was rewritten or truncated after the snapshot was taken, so the snapshot no longer shows its rows',
    where: rewritten.map(({ name }) => name).join(', '),
    next: 'nothing was lost; the initial load begins again with a new snapshot',
  })
}
