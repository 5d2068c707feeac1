// producer/catalog/compare: compares the recorded facts of a table with the present ones.
// Pure.

import { tableName } from '../../contract/table.ts'
import type { ColumnFacts, KeyFacts, TableFacts, TypeFacts } from '../../postgres/catalog/facts.ts'
import { publicationFaults } from '../../postgres/catalog/published.ts'
import { isWidened } from '../../postgres/catalog/widened.ts'
import { compareMembers } from './compare-members.ts'
import { ahead, type Difference, over, type UnclearChange, wrong } from './difference.ts'

export interface Comparison {
  readonly differences: readonly Difference[]
  readonly unclear: readonly UnclearChange[]
  /** Names of columns that were added and would be sent. */
  readonly added: readonly string[]
}

export interface Outlook {
  /** Names of columns that are not sent, so that their changes do not matter. */
  readonly dropped: ReadonlySet<string>
  /** New columns are withheld without an error. */
  readonly personal: boolean
  /** `server_version_num` */
  readonly version: number
}

/** @param is undefined for a dropped table */
export function compareFacts(was: TableFacts, is: TableFacts | undefined, outlook: Outlook): Comparison {
  if (is === undefined) {
    return { differences: [over('it was dropped. ClickHouse keeps its last rows.')], unclear: [], added: [] }
  }
  const differences: Difference[] = []
  if (tableName(is) !== tableName(was)) differences.push(over(`it is now called ${tableName(is)}.`))
  const columns = compareColumns(was, is, outlook)
  const members = compareMembers(was, is, columns.altered)
  differences.push(
    ...columns.differences,
    ...(columns.changesKey ? [] : compareKeys(was, is)),
    ...was.types.flatMap(type => compareTypes(type, is.types)),
    ...comparePublished(was, is),
    ...members.differences,
  )
  return { differences, unclear: members.unclear, added: columns.added }
}

interface ColumnComparison {
  readonly differences: Difference[]
  readonly added: string[]
  /** Columns that were altered in a way that the stream does not show. */
  readonly altered: string[]
  /** A key column has another type, for which Postgres rebuilds the key. */
  readonly changesKey: boolean
}

function compareColumns(was: TableFacts, is: TableFacts, outlook: Outlook): ColumnComparison {
  const differences: Difference[] = []
  const altered: string[] = []
  let changesKey = false
  for (const column of was.columns) {
    if (outlook.dropped.has(column.name)) continue
    const now = is.columns.find(({ number }) => number === column.number)
    if (now && now.written !== column.written) {
      if (hasSameValues(column, now)) altered.push(column.name)
      else if (was.key?.columns.includes(column.number)) changesKey = true
    }
    differences.push(...compareColumn(column, now, is))
  }
  const fresh = is.columns.filter(({ number }) => !was.columns.some(column => column.number === number))
  const added = fresh.filter(({ name, generated }) => !outlook.dropped.has(name) && isSent(generated, outlook.version))
  for (const { name, generated } of fresh) {
    const isKnown = was.columns.some(column => column.name === name)
    if (generated === 'v') differences.push(virtual(name))
    else if (!outlook.personal && !isKnown && added.some(column => column.name === name)) {
      differences.push(ahead(`it has a new column ${name}. Its next change stops the producer${newColumn}.`))
    }
  }
  return { differences, added: added.map(({ name }) => name), altered, changesKey }
}

const newColumn =
  ', unless the column is left out by `drop` under `columns` of the table; to capture it: millrace producer --new-generation'

/** @see replicatedColumns in postgres/catalog/catalog */
function isSent(generated: string, version: number): boolean {
  return generated === '' || (generated === 's' && version >= 180_000)
}

function virtual(name: string): Difference {
  return ahead(
    `it has a new virtual generated column ${name}. Postgres refuses UPDATE and DELETE of a published table that has one; make it STORED.`,
  )
}

function compareColumn(was: ColumnFacts, now: ColumnFacts | undefined, is: TableFacts): Difference[] {
  const { name } = was
  if (now === undefined) {
    const isAgain = is.columns.some(column => column.name === name)
    return isAgain
      ? [
          wrong(
            `its column ${name} was dropped, and is another one of that name. ClickHouse keeps the values of the first.`,
          ),
        ]
      : [ahead(`its column ${name} was dropped. ClickHouse keeps its values, and the next change stops the producer.`)]
  }
  const differences: Difference[] = []
  if (now.name !== name) {
    differences.push(ahead(`its column ${name} is now called ${now.name}. Its next change stops the producer.`))
  }
  if (!hasSameValues(was, now)) differences.push(over(`its column ${name} was ${was.pgType} and is ${now.pgType}.`))
  if (was.notNull && !now.notNull) {
    differences.push(ahead(`its column ${name} is no longer NOT NULL. The first row with NULL in it is refused.`))
  }
  return differences
}

function hasSameValues(was: ColumnFacts, is: ColumnFacts): boolean {
  return (was.typeOid === is.typeOid && was.typeModifier === is.typeModifier) || isWidened(was, is)
}

function compareKeys(was: TableFacts, is: TableFacts): Difference[] {
  if (was.key === undefined) return []
  const before = keyOf(was, was.key)
  const harm = 'ClickHouse identifies its rows by that key, and merges different rows into one.'
  if (is.key === undefined) return [wrong(`its primary key ${before} was dropped. ${harm}`)]
  const now = keyOf(is, is.key)
  if (was.key.columns.join() !== is.key.columns.join()) {
    return [wrong(`its primary key was ${before} and is ${now}. ClickHouse keeps its rows by the first.`)]
  }
  if (was.key.deferrable !== is.key.deferrable) {
    const kinds = is.key.deferrable ? 'NOT DEFERRABLE and is DEFERRABLE' : 'DEFERRABLE and is not'
    return [wrong(`its primary key was ${kinds}. The order in which changes are sent depends on it.`)]
  }
  if (was.key.oid === is.key.oid) return []
  return [wrong(`its primary key ${now} was dropped and made again. Rows may have shared a key meanwhile.`)]
}

function keyOf({ columns }: TableFacts, key: KeyFacts): string {
  const names = key.columns.map(number => columns.find(column => column.number === number)?.name ?? `column ${number}`)
  return `(${names.join(', ')})`
}

function compareTypes(was: TypeFacts, types: readonly TypeFacts[]): Difference[] {
  const is = types.find(({ oid }) => oid === was.oid)
  // The type is gone, so its column has another type, or was dropped. Both are compared elsewhere.
  if (is === undefined) return []
  const harm = 'Unchanged rows print differently now than in ClickHouse.'
  if (was.labels === undefined || is.labels === undefined) {
    if (JSON.stringify(was.attributes) === JSON.stringify(is.attributes)) return []
    return [wrong(`the type ${was.name} of one of its columns has other attributes. ${harm}`)]
  }
  const labels = new Map(is.labels.map(each => [each.oid, each]))
  const changed = was.labels.find(({ oid, label }) => labels.get(oid)?.label !== label)
  if (changed) {
    const now = labels.get(changed.oid)
    const fate = now ? `is now '${now.label}'` : 'is gone'
    return [wrong(`the label '${changed.label}' of the type ${was.name} ${fate}. ${harm}`)]
  }
  const again = was.labels.find(({ oid, written }) => labels.get(oid)!.written !== written)
  // When a label is added between two others, Postgres may renumber all of them.
  if (again === undefined || is.labels.length > was.labels.length) return []
  return [wrong(`the label '${again.label}' of the type ${was.name} had another name for a while. ${harm}`)]
}

function comparePublished({ published: was }: TableFacts, is: TableFacts): Difference[] {
  const faults = publicationFaults(is).map(({ what }) => what)
  const isSame =
    was === undefined || is.published === undefined || was.oids.some(oid => is.published!.oids.includes(oid))
  if (faults.length === 0 && !isSame)
    faults.push('it was removed from the publication and added again. Its changes in between are lost.')
  return faults.map(what => ({ ...wrong(what), isOfPublication: true }))
}
