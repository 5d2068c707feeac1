// verify/warehouse: finds the generation that analysts read, from ClickHouse alone.

import { type Clickhouse, type ClickhouseOptions, connectClickhouse } from '../clickhouse/client.ts'
import { changelogName, changelogSuffix, storageName } from '../clickhouse/ddl.ts'
import { findDatabases } from '../clickhouse/generation-databases.ts'
import { quoteName } from '../clickhouse/quote.ts'
import { formatLsn } from '../contract/position.ts'
import { parseValueSchema } from '../contract/schema.ts'
import type { Table } from '../contract/table.ts'
import { MillraceError } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import { sleep } from '../runtime/wait.ts'
import { readRows } from './reading.ts'

export interface OpenedWarehouse {
  /** Its current database is the generation's. */
  readonly clickhouse: Clickhouse
  readonly database: string
  /** The source that the generation was loaded from, as in `Generation.source`. */
  readonly source: string
  readonly tables: readonly Table[]
  /** Names of all objects in the database. */
  readonly objects: ReadonlySet<string>
}

/** Time limit for ClickHouse to reach a snapshot's LSN. */
const catchUpMs = 60_000
/** Short, because under load less changes between a snapshot and the read of a view. */
const pollMs = 10

/**
 * The highest generation whose initial load is visible. Databases of other pipelines are ignored.
 * @throws {MillraceError} NOTHING_LOADED when there is none
 */
export async function openLiveWarehouse(options: ClickhouseOptions, pipeline: string): Promise<OpenedWarehouse> {
  const bare = connectClickhouse(options)
  try {
    const found = await findDatabases(bare, pipeline)
    for (const { name, number, owner } of found.toReversed()) {
      if (owner?.pipeline !== pipeline || owner.number !== number) continue
      const clickhouse = connectClickhouse({ ...options, database: name })
      const objects = await objectsOf(clickhouse)
      if (objects.has('watermark') && (await visibleLsn(clickhouse)) > 0) {
        return {
          clickhouse,
          database: name,
          source: owner.source,
          objects,
          tables: await capturedTables(clickhouse, name),
        }
      }
      await clickhouse.close()
    }
  } finally {
    await bare.close()
  }
  throw new MillraceError('NOTHING_LOADED', {
    what: `ClickHouse holds no loaded generation of "${pipeline}"`,
    where: options.url,
    next: 'start the producer and the consumer and let the initial load finish; millrace status shows how far it is',
  })
}

/** A longer wait is logged. */
const usualMs = 5_000

/**
 * Waits until everything below the LSN is visible.
 * @throws {MillraceError} NOT_CAUGHT_UP when that takes too long; the signal's reason
 */
export async function untilVisible(
  { clickhouse }: OpenedWarehouse,
  lsn: number,
  { log, signal }: { log: Log; signal: AbortSignal },
): Promise<void> {
  const started = performance.now()
  for (let said = false; ; ) {
    const visible = await visibleLsn(clickhouse)
    if (visible >= lsn) return
    const waited = performance.now() - started
    if (waited > catchUpMs) {
      throw new MillraceError('NOT_CAUGHT_UP', {
        what: `ClickHouse shows everything up to ${formatLsn(visible)} and did not reach ${formatLsn(lsn)} in ${catchUpMs / 1000} s`,
        next: 'millrace status shows where it waits; check that the producer and the consumer run',
      })
    }
    if (!said && waited > usualMs) {
      log.info('waiting until ClickHouse shows the committed changes', {
        visible: formatLsn(visible),
        until: formatLsn(lsn),
      })
      said = true
    }
    await sleep(pollMs, signal)
  }
}

/** Whether any captured table has a change at or after the LSN. */
export async function changedSince({ clickhouse, tables, objects }: OpenedWarehouse, lsn: number): Promise<boolean> {
  for (const table of tables) {
    const changes = `SELECT 1 FROM ${quoteName(changelogName(table))} WHERE _lsn >= ${lsn} LIMIT 1`
    const [row] = objects.has(changelogName(table)) ? await readRows(clickhouse, changes) : []
    if (row !== undefined) return true
  }
  return false
}

/**
 * Changelogs in the database that belong to none of the generation's captured tables, in the form
 * of `Verification.names`.
 */
export function strayChangelogs({ database, tables, objects }: OpenedWarehouse): Record<string, string> {
  // A table may itself be called `changelog`.
  const known = new Set(tables.flatMap(table => [changelogName(table), storageName(table.schema, table.name)]))
  const stray = [...objects].filter(name => name.endsWith(changelogSuffix) && !known.has(name))
  return Object.fromEntries(
    stray.map(name => [`${database}.${name}`, 'belongs to no captured table of the generation']),
  )
}

/** The newest LSN below which everything is visible; 0 while nothing is. */
async function visibleLsn(clickhouse: Clickhouse): Promise<number> {
  const [row] = await clickhouse.rows<{ lsn: string }>("SELECT max(lsn) AS lsn FROM watermark WHERE scope = ''")
  return Number(row?.lsn ?? 0)
}

async function objectsOf(clickhouse: Clickhouse): Promise<Set<string>> {
  const rows = await readRows<{ name: string }>(
    clickhouse,
    'SELECT name FROM system.tables WHERE database = currentDatabase()',
  )
  return new Set(rows.map(({ name }) => name))
}

/** Fails without tables, because a comparison of no tables would find no difference. */
async function capturedTables(clickhouse: Clickhouse, database: string): Promise<Table[]> {
  const rows = await readRows<{ value_schema: string }>(
    clickhouse,
    'SELECT value_schema FROM captured FINAL ORDER BY topic',
  )
  if (rows.length > 0) return rows.map(row => parseValueSchema(row.value_schema))
  throw new MillraceError('NOTHING_LOADED', {
    what: 'the generation has no list of captured tables',
    where: `table captured in database ${database}`,
    next: 'start the consumer once, which writes the list',
  })
}
