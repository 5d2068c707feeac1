// producer/stream/late-tables: tables that the configuration matches and the generation lacks, such
// as new ones.

import type { Generation } from '../../contract/generation.ts'
import { tableName } from '../../contract/table.ts'
import type { Named } from '../../postgres/catalog/catalog.ts'
import { type Client, query } from '../../postgres/client/client.ts'
import type { PeriodicTask } from '../../postgres/client/periodic.ts'
import type { RegisteredTable } from '../capture/schemas.ts'
import { chooseTables } from '../capture/table-choice.ts'
import type { ProducerContext } from '../context.ts'

const everyMs = 60_000

/** All tables except these and their partitions. Names only, which is cheap. */
const others = `
SELECT n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
  AND c.oid <> ALL ($1::oid[])
  AND NOT (c.relispartition AND EXISTS (SELECT FROM pg_partition_ancestors(c.oid) a WHERE a.relid::oid = ANY ($1::oid[])))
ORDER BY 1, 2`

/**
 * Looks for such tables periodically, and reports each once. They are no error: the generation is
 * complete without them.
 */
export function watchLateTables(
  context: ProducerContext,
  generation: Generation,
  tables: readonly RegisteredTable[],
): PeriodicTask {
  let known: string | undefined
  const oids = tables.map(({ captured }) => captured.oid)
  return {
    complaint: 'tables that are not captured could not be searched',
    everyMs,
    async run(client) {
      const names = (await query<Named>(client, others, [oids])).map(tableName).join('\n')
      if (names !== known) await report(context, client, generation)
      known = names
    },
  }
}

async function report(
  { config, progress, log }: ProducerContext,
  client: Client,
  { number, tables }: Generation,
): Promise<void> {
  const captured = new Set(tables.map(({ schema, table }) => tableName({ schema, name: table })))
  const choice = await chooseTables(client, config)
  const missing = choice.tables.map(tableName).filter(name => !captured.has(name))
  const reason = `it is not in generation ${number}. To capture it, start a new generation: millrace producer --new-generation; otherwise leave it out by capture: false`
  progress.notCaptured = {
    ...choice.misnamed,
    ...Object.fromEntries(choice.leftOut.map(table => [tableName(table), table.reason])),
    ...Object.fromEntries(missing.map(name => [name, reason])),
  }
  if (missing.length > 0) {
    log.warn(`${missing.length} tables match and are not captured`, { tables: missing.join(', '), next: reason })
  }
}
