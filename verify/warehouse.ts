// verify/warehouse: the generation that analysts see, found from ClickHouse alone.
// May know: contract, clickhouse, runtime.

import { type Clickhouse, type ClickhouseOptions, connectClickhouse } from '../clickhouse/client.ts'
import { changelogName } from '../clickhouse/ddl.ts'
import { quoteName } from '../clickhouse/quote.ts'
import { formatLsn } from '../contract/position.ts'
import { parseValueSchema } from '../contract/schema.ts'
import type { Table } from '../contract/table.ts'
import { MillraceError } from '../runtime/errors.ts'

export interface OpenedWarehouse {
  /** Its current database is the generation's. */
  readonly clickhouse: Clickhouse
  readonly database: string
  readonly tables: readonly Table[]
}

/** How long ClickHouse may take to reach a snapshot's LSN. */
const catchUpMs = 60_000
/** Under load, the sooner a view is read after its snapshot, the less has changed between. */
const pollMs = 10

/**
 * The highest generation whose initial load is visible.
 * @throws {MillraceError} NOTHING_LOADED when there is none
 */
export async function openLiveWarehouse(options: ClickhouseOptions, pipeline: string): Promise<OpenedWarehouse> {
  const bare = connectClickhouse(options)
  try {
    const found = await bare.rows<{ name: string }>(
      `SELECT name FROM system.databases WHERE match(name, {pattern:String}) ORDER BY toUInt32(extract(name, '[0-9]+$')) DESC`,
      { pattern: `^${pipeline}_[0-9]+$` },
    )
    for (const { name } of found) {
      const clickhouse = connectClickhouse({ ...options, database: name })
      if (await isLoaded(clickhouse)) return { clickhouse, database: name, tables: await capturedTables(clickhouse) }
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

/**
 * Waits until everything below the LSN is visible.
 * @throws {MillraceError} NOT_CAUGHT_UP when that takes too long
 */
export async function untilVisible({ clickhouse }: OpenedWarehouse, lsn: number, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + catchUpMs
  for (;;) {
    const visible = await visibleLsn(clickhouse)
    if (visible >= lsn) return
    signal.throwIfAborted()
    if (performance.now() > deadline) {
      throw new MillraceError('NOT_CAUGHT_UP', {
        what: `ClickHouse shows everything up to ${formatLsn(visible)} and did not reach ${formatLsn(lsn)} in ${catchUpMs / 1000} s`,
        next: 'millrace status shows where it waits; check that the producer and the consumer run',
      })
    }
    await new Promise(resolve => setTimeout(resolve, pollMs))
  }
}

/** Whether any captured table has a change at or after the LSN. */
export async function changedSince({ clickhouse, tables }: OpenedWarehouse, lsn: number): Promise<boolean> {
  for (const table of tables) {
    const [row] = await clickhouse.rows(`SELECT 1 FROM ${quoteName(changelogName(table))} WHERE _lsn >= ${lsn} LIMIT 1`)
    if (row !== undefined) return true
  }
  return false
}

/** The newest LSN below which everything is visible; 0 while nothing is. */
async function visibleLsn(clickhouse: Clickhouse): Promise<number> {
  const [row] = await clickhouse.rows<{ lsn: string }>('SELECT max(lsn) AS lsn FROM watermark')
  return Number(row?.lsn ?? 0)
}

async function isLoaded(clickhouse: Clickhouse): Promise<boolean> {
  const [table] = await clickhouse.rows(
    `SELECT 1 FROM system.tables WHERE database = currentDatabase() AND name = 'watermark'`,
  )
  return table !== undefined && (await visibleLsn(clickhouse)) > 0
}

async function capturedTables(clickhouse: Clickhouse): Promise<Table[]> {
  const rows = await clickhouse.rows<{ value_schema: string }>('SELECT value_schema FROM captured FINAL ORDER BY topic')
  return rows.map(({ value_schema }) => tableOf(value_schema))
}

function tableOf(schema: string): Table {
  try {
    return parseValueSchema(schema)
  } catch (cause) {
    throw new MillraceError('GENERATION_CHANGED', {
      what: `the tables in ClickHouse were made by another version of millrace: ${(cause as Error).message}`,
      next: 'start a new generation: millrace producer --new-generation',
      cause,
    })
  }
}
