// producer/catalog/recording: records of the catalog: before a load, and after a harmless change.

import { tableName } from '../../contract/table.ts'
import type { SourceTable } from '../../postgres/catalog/catalog.ts'
import { readFacts, readMoment, type TableFacts } from '../../postgres/catalog/facts.ts'
import type { Client } from '../../postgres/client/client.ts'
import { MillraceError } from '../../runtime/errors.ts'
import type { Catalog } from './catalog.ts'

/**
 * Reads the records of a load. It must run after the publication is created and before the
 * snapshot, so that a change in between is noticed as a change.
 * @param sources in the order of the generation's tables
 * @throws {MillraceError} SNAPSHOT_LOST when a table differs from the source read before,
 *   POSTGRES_*
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

/**
 * The new facts, with the captured names, types and NOT NULL of the columns: the stream itself
 * stops at changes of these.
 */
export function acceptFacts(was: TableFacts, is: TableFacts): TableFacts {
  const columns = was.columns.map(column => {
    const now = is.columns.find(({ number }) => number === column.number)
    return now ? { ...column, written: now.written } : column
  })
  return { ...is, schema: was.schema, name: was.name, columns }
}

/**
 * Every TRUNCATE gives an ordinary table another file. The stream contains the TRUNCATE, so this
 * difference alone needs no record.
 */
export function isWorthRecording(was: TableFacts, is: TableFacts): boolean {
  return asText(was) !== asText(is)
}

function asText(facts: TableFacts): string {
  if (facts.kind === 'p') return JSON.stringify(facts)
  return JSON.stringify({ ...facts, members: facts.members.map(member => ({ ...member, file: 0 })) })
}
