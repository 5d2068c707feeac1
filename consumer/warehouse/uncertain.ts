// consumer/warehouse/uncertain: a mark in ClickHouse that aggregates may differ from the tables,
// until they are corrected.

import type { Clickhouse } from '../../clickhouse/client.ts'
import { quoteString } from '../../clickhouse/quote.ts'
import type { Model } from '../../modeling/model.ts'
import { reconcile } from '../../modeling/reconcile.ts'
import type { Log } from '../../runtime/log.ts'

export const uncertainStatement = `CREATE TABLE IF NOT EXISTS uncertain (
  since DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC'), reason String
) ENGINE = MergeTree ORDER BY since
COMMENT 'Why the aggregates of the model may differ from the tables; empty when they do not'`

/** Why, and since when, aggregates may differ from the tables. */
export interface Uncertainty {
  /** ISO 8601. */
  readonly since: string
  readonly reason: string
}

interface Marking {
  readonly inserter: { readonly clickhouse: Clickhouse }
  readonly model: Model | undefined
  readonly log: Log
}

/** Records that aggregates may lack rows or count rows twice, if the model has aggregates. */
export async function markUncertain({ inserter: { clickhouse }, model, log }: Marking, reason: string): Promise<void> {
  if (model === undefined) return
  log.warn('aggregates may differ from the tables until they are corrected', { reason })
  await clickhouse.command(`INSERT INTO uncertain (reason) VALUES (${quoteString(reason)})`, { async_insert: 0 })
}

export async function readUncertainty(clickhouse: Clickhouse): Promise<Uncertainty | undefined> {
  const [row] = await clickhouse.rows<{ since: string; reason: string }>(
    "SELECT formatDateTime(since, '%FT%T.%fZ', 'UTC') AS since, reason FROM uncertain ORDER BY since LIMIT 1",
  )
  return row
}

/**
 * Recomputes the aggregates and inserts the differences. Nothing else may insert meanwhile.
 * @param isAlone whether no other member has begun to insert: called before and after. Otherwise
 *   the mark stays
 */
export async function makeCertain(
  clickhouse: Clickhouse,
  model: Model,
  { log, isAlone }: { log: Log; isAlone: () => boolean },
): Promise<void> {
  const corrected = await reconcile(clickhouse, model, isAlone)
  for (const [table, rows] of corrected) log.warn('aggregate corrected', { table, rows })
  if (isAlone()) await clickhouse.command('TRUNCATE TABLE uncertain')
}
