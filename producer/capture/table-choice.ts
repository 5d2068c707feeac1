// producer/capture/table-choice: the tables of the database that the configuration chooses.

import { tableName } from '../../contract/table.ts'
import { type Named, readTables, type SourceTable } from '../../postgres/catalog/catalog.ts'
import type { Client } from '../../postgres/client/client.ts'
import type { LeftOut } from '../../postgres/preflight/check.ts'
import { type Config, entryName, tableEntry } from '../../runtime/config/config.ts'

export interface Choice {
  readonly tables: readonly SourceTable[]
  readonly leftOut: readonly LeftOut[]
  /** Views and other relations that match a pattern. A pattern chooses tables only. */
  readonly noTables: readonly string[]
  /** Why names of the configuration cannot be captured, by name. */
  readonly misnamed: Readonly<Record<string, string>>
}

/**
 * The relations that the configuration chooses. A pattern chooses the tables that can be captured,
 * and skips all others. An exact name chooses any relation, so that it can be refused with a
 * reason.
 * @throws {MillraceError} POSTGRES_*
 */
export async function chooseTables(client: Client, config: Config): Promise<Choice> {
  const sources = await readTables(client, (table, ancestors) => isChosen(config, table, ancestors))
  const leftOut: LeftOut[] = []
  const noTables: string[] = []
  const tables = sources.filter(source => {
    const { schema, name, kind } = source
    const reason = isNamed(config, source) ? undefined : (source.unsupported ?? whyKeyless(source))
    if (reason === undefined) return true
    if ('rp'.includes(kind) && !schema.startsWith('pg_temp_')) leftOut.push({ schema, name, reason })
    else noTables.push(tableName(source))
    return false
  })
  return { tables, leftOut, noTables, misnamed: findMisnamed(config, sources) }
}

/** A table that is excluded excludes its partitions, except those that the configuration names. */
function isChosen(config: Config, table: Named, ancestors: readonly Named[]): boolean {
  const entry = tableEntry(config, table.schema, table.name)
  if (!entry?.capture || entry.isNamed) return entry?.capture ?? false
  return ancestors.every(({ schema, name }) => tableEntry(config, schema, name)?.capture !== false)
}

function isNamed(config: Config, { schema, name }: Named): boolean {
  return tableEntry(config, schema, name)?.isNamed ?? false
}

function whyKeyless({ key }: SourceTable): string | undefined {
  return key.length > 0 ? undefined : 'it has no primary key, by which current state could be kept; add one'
}

function findMisnamed(config: Config, sources: readonly SourceTable[]): Record<string, string> {
  const found: Record<string, string> = {}
  const rootOf = new Map(sources.flatMap(root => root.partitions.map(leaf => [entryName(leaf), tableName(root)])))
  const names = new Set(sources.map(entryName))
  for (const [name, { capture = true }] of Object.entries(config.tables)) {
    const root = rootOf.get(name)
    if (root !== undefined) found[name] = `it is a partition of ${root}, which is captured with all of them`
    else if (capture && !name.includes('*') && !names.has(name)) found[name] = 'there is no such table'
  }
  return found
}

/** Why the configuration cannot be captured as it is, as sentences. */
export function faultsOf({ tables, leftOut, misnamed }: Choice): string[] {
  const reasons = Object.entries(misnamed)
  if (tables.length === 0) reasons.push(...leftOut.map((table): [string, string] => [tableName(table), table.reason]))
  return reasons.map(([name, reason]) => `${name}: ${reason}`)
}
