// modeling/reconcile: recomputes aggregates from the current state, and inserts the differences.

import type { Clickhouse } from '../clickhouse/client.ts'
import { quoteName, quoteString } from '../clickhouse/quote.ts'
import type { Model } from './model.ts'

/**
 * Inserts into every aggregate the difference between a recomputation and its rows. Nothing else
 * may insert meanwhile. The cost grows with the tables, not with a batch.
 * @param mayCorrect called right before a difference is inserted
 * @returns how many rows differed, by table
 */
export async function reconcile(
  clickhouse: Clickhouse,
  model: Model,
  mayCorrect: () => boolean = () => true,
): Promise<Map<string, number>> {
  const corrected = new Map<string, number>()
  for (const [table, select] of model.recompute) {
    const difference = differenceSelect(overCurrentState(select), table, await columnsOf(clickhouse, table))
    const [row] = await clickhouse.rows<{ n: string }>(`SELECT count() AS n FROM (${difference})`, {}, allowUnaliased)
    const count = Number(row?.n ?? 0)
    if (count === 0 || !mayCorrect()) continue
    await clickhouse.command(`INSERT INTO ${quoteName(table)} ${difference}`, {
      ...allowUnaliased,
      async_insert: 0,
      insert_deduplicate: 0,
    })
    corrected.set(table, count)
  }
  return corrected
}

/**
 * A view names its changelog without an alias, so the subquery that replaces the changelog has no
 * alias either.
 */
const allowUnaliased = { joined_subquery_requires_alias: 0 } as const

/**
 * Replaces each changelog by the current state with sign +1, as if every live row had been inserted
 * once.
 */
function overCurrentState(select: string): string {
  return select.replaceAll(
    /`([^`]+)\.changelog`/g,
    (_, table: string) => `(SELECT *, toInt8(1) AS _sign FROM ${quoteName(`${table}.current`)} FINAL)`,
  )
}

interface AggregateColumn {
  readonly name: string
  readonly type: string
  readonly key: boolean
}

async function columnsOf(clickhouse: Clickhouse, table: string): Promise<AggregateColumn[]> {
  const rows = await clickhouse.rows<{ name: string; type: string; is_in_sorting_key: number }>(
    'SELECT name, type, is_in_sorting_key FROM system.columns WHERE database = currentDatabase() AND table = {table:String} ORDER BY position',
    { table },
  )
  return rows.map(({ name, type, is_in_sorting_key }) => ({ name, type, key: is_in_sorting_key === 1 }))
}

function differenceSelect(recompute: string, table: string, columns: readonly AggregateColumn[]): string {
  const names = columns.map(({ name }) => quoteName(name)).join(', ')
  const negated = columns.map(({ name, key }) => (key ? quoteName(name) : `-${quoteName(name)} AS ${quoteName(name)}`))
  const summed = columns.map(({ name, type, key }) =>
    key ? quoteName(name) : `CAST(sum(${quoteName(name)}), ${quoteString(type)}) AS ${quoteName(name)}`,
  )
  const sums = columns.filter(({ key }) => !key).map(({ name }) => `${quoteName(name)} != 0`)
  const keys = columns.filter(({ key }) => key).map(({ name }) => quoteName(name))
  return `SELECT * FROM (
  SELECT ${summed.join(', ')} FROM (
    SELECT ${names} FROM (${recompute})
    UNION ALL SELECT ${negated.join(', ')} FROM ${quoteName(table)}
  ) GROUP BY ${keys.join(', ')}
) WHERE ${sums.join(' OR ')}`
}
