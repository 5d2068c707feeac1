// producer/generation/resume: resumes a live generation that still fits its configuration and the
// source's tables.

import type { Generation } from '../../contract/generation.ts'
import { tableName } from '../../contract/table.ts'
import type { SourceColumn, SourceTable } from '../../postgres/catalog/catalog.ts'
import { readFacts, readMoment, type TableFacts } from '../../postgres/catalog/facts.ts'
import { type Client, withClient } from '../../postgres/client/client.ts'
import { type TableOptions, tableOptions } from '../../runtime/config/config.ts'
import { loadHashKey } from '../../runtime/config/hash-key.ts'
import { orAborted } from '../../runtime/wait.ts'
import type { CapturedTable } from '../capture/captured-table.ts'
import { hashesAnything, reportWithheld } from '../capture/column-classification.ts'
import { findRegistered, type RegisteredTable } from '../capture/schemas.ts'
import { checkToResume, generationChanged } from '../capture/source.ts'
import { captureTables } from '../capture/tables.ts'
import { type Catalog, readCatalog } from '../catalog/catalog.ts'
import { CatalogWatch } from '../catalog/watch.ts'
import type { ProducerContext } from '../context.ts'

export interface Resumed {
  readonly tables: readonly RegisteredTable[]
  readonly watch: CatalogWatch
}

/**
 * The generation's tables as they were captured. The stream announces them in this form first, even
 * if the catalog has changed since. No other table of the source is checked.
 * @throws {MillraceError} GENERATION_CHANGED, SCHEMA_CHANGED, PUBLICATION_MISSING,
 *   PREFLIGHT_FAILED, TABLE_NOT_CAPTURABLE, POSTGRES_*
 */
export async function resumeTables(context: ProducerContext, generation: Generation): Promise<Resumed> {
  const { url, schemas, signal } = context
  const catalog = await readCatalog(context, generation)
  return await withClient(
    url,
    async client => {
      await checkToResume(context, client, generation)
      const captured = await recapture(context, { client, generation, catalog })
      const tables = await orAborted(findRegistered(schemas, generation.tables, captured), signal)
      for (const { table, guard } of captured) reportWithheld(context, tableName(table), guard?.unclassified ?? [])
      const watch = new CatalogWatch(context, generation, { catalog, captured })
      await watch.look(client)
      return { tables, watch }
    },
    signal,
  )
}

interface Parts {
  readonly client: Client
  readonly generation: Generation
  readonly catalog: Catalog
}

/**
 * In the generation's order. @throws {MillraceError} GENERATION_CHANGED, TABLE_NOT_CAPTURABLE,
 * HASH_KEY
 */
async function recapture(
  { config }: ProducerContext,
  { client, generation, catalog }: Parts,
): Promise<CapturedTable[]> {
  const { version } = await readMoment(client, '')
  const options = generation.tables.map(({ schema, table }) =>
    optionsOf(tableOptions(config, schema, table), schema, table),
  )
  const withPolicies = catalog.tables.filter((_, index) => {
    const { personal, columns } = options[index]!
    return personal || Object.keys(columns).length > 0
  })
  const scope = { version, publication: catalog.publication.oid }
  const facts = await readFacts(
    client,
    withPolicies.map(({ source }) => source.oid),
    scope,
  )
  const sources = catalog.tables.map(({ source }, index) =>
    withNewColumns(source, facts.get(source.oid), options[index]!),
  )
  const deferrable = new Set(
    catalog.tables.flatMap(({ source, facts: then }) => (then.key?.deferrable ? [source.oid] : [])),
  )
  const hashKey = hashesAnything(config) ? loadHashKey(config, { make: true }) : undefined
  const captured = captureTables(sources, { config, serverVersion: version, deferrable, hashKey })
  for (const [index, table] of captured.entries()) requireSamePartitions(generation.tables[index]!, table)
  return captured
}

function optionsOf(options: TableOptions | undefined, schema: string, name: string): TableOptions {
  if (options !== undefined) return options
  throw generationChanged('the table is no longer configured', `table ${tableName({ schema, name })}`)
}

function requireSamePartitions({ partitions, group }: Generation['tables'][number], found: CapturedTable): void {
  const where = `table ${tableName(found.table)}`
  if (found.partitions !== partitions) {
    throw generationChanged(`it has ${partitions} partitions and is configured with ${found.partitions}`, where)
  }
  if (found.group !== group) {
    throw generationChanged(`it is in group ${group} and is configured for ${found.group}`, where)
  }
}

/**
 * Adds the columns that were added to the table since and are not sent: the configuration drops
 * them, or does not classify them.
 */
function withNewColumns(source: SourceTable, facts: TableFacts | undefined, options: TableOptions): SourceTable {
  const fresh = facts?.columns.filter(({ number }) => !source.columns.some(column => column.number === number)) ?? []
  const staying = fresh.filter(({ name }) => {
    const policy = Object.hasOwn(options.columns, name) ? options.columns[name] : undefined
    if (policy !== undefined && policy !== 'drop') {
      throw generationChanged(`column ${name} is new, and is to ${policy}`, `table ${tableName(source)}`)
    }
    return policy === 'drop' || options.personal
  })
  return { ...source, columns: [...source.columns, ...staying.map(asColumn)] }
}

function asColumn({ number, name, typeOid, typeModifier, pgType }: TableFacts['columns'][number]): SourceColumn {
  const type = { name: pgType, kind: 'b', typeModifier }
  return {
    ...{ number, name, typeOid, typeModifier, pgType, type, nullable: true, deterministic: true },
    ...{ generated: undefined, comment: undefined },
  }
}
