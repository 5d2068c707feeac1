// producer/catalog/recording: what a generation remembers of the catalog: before its load, and after a change that does no harm.

import { tableName } from '../../contract/table.ts'
import type { SourceTable } from '../../postgres/catalog/catalog.ts'
import { readFacts, readMoment, type TableFacts } from '../../postgres/catalog/facts.ts'
import type { Client } from '../../postgres/client/client.ts'
import { MillraceError } from '../../runtime/errors.ts'
import type { Catalog } from './catalog.ts'

/**
 * To be read once the publication is there, and before the snapshot is taken: what changes in between is then seen as a change.
 * @param sources in the order of the generation's tables
 * @throws {MillraceError} SNAPSHOT_LOST when a table is no longer as it was read a moment ago, POSTGRES_*
 */
export async function recordCatalog(
  client: Client,
  { publication: name, sources }: { readonly publication: string; readonly sources: readonly SourceTable[] },
): Promise<Catalog> {
  const { version, seen, publication } = await readMoment(client, name)
  if (publication === undefined) throw changedMeanwhile(`publication ${name}`)
  const oids = sources.map(({ oid }) => oid)
  const facts = await readFacts(client, oids, { version, publication: publication.oid })
  const tables = sources.map(source => {
    const found = facts.get(source.oid)
    if (found === undefined || shapeOfFacts(found) !== shapeOfSource(source)) throw changedMeanwhile(tableName(source))
    return { source, facts: found, seen, truncatedAt: 0 }
  })
  return { publication, tables }
}

function shapeOfSource(source: SourceTable): string {
  return shapeOf(source, source.key)
}

function shapeOfFacts(facts: TableFacts): string {
  const nameOf = (wanted: number) => facts.columns.find(({ number }) => number === wanted)?.name
  return shapeOf(facts, facts.key?.columns.map(nameOf) ?? [])
}

function shapeOf({ schema, name, columns }: SourceTable | TableFacts, key: readonly (string | undefined)[]): string {
  const shapes = columns.map(({ number, name: column, typeOid, typeModifier }) => [
    number,
    column,
    typeOid,
    typeModifier,
  ])
  return JSON.stringify([schema, name, shapes, key])
}

function changedMeanwhile(what: string): MillraceError {
  return new MillraceError('SNAPSHOT_LOST', {
    what: 'it was altered while its load was being prepared',
    where: what,
    next: 'nothing was lost; the initial load begins again',
  })
}

/** What the stream itself will stop at stays as it was captured: the columns' names, types and NOT NULL. */
export function acceptFacts(was: TableFacts, is: TableFacts): TableFacts {
  const columns = was.columns.map(column => {
    const now = is.columns.find(({ number }) => number === column.number)
    return now ? { ...column, written: now.written } : column
  })
  return { ...is, schema: was.schema, name: was.name, columns }
}

/** TRUNCATE gives an ordinary table another file every time, which the stream tells; that alone is not worth a record. */
export function isWorthRecording(was: TableFacts, is: TableFacts): boolean {
  return asText(was) !== asText(is)
}

function asText(facts: TableFacts): string {
  if (facts.kind === 'p') return JSON.stringify(facts)
  return JSON.stringify({ ...facts, members: facts.members.map(member => ({ ...member, file: 0 })) })
}
