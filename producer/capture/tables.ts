// producer/capture/tables: the captured tables, and the encoding of each column.

import { historyColumnNames, reservedColumns } from '../../contract/names.ts'
import { type Column, tableName } from '../../contract/table.ts'
import { isPrintedOnce, mapType } from '../../contract/types.ts'
import { replicatedColumns, type SourceColumn, type SourceTable } from '../../postgres/catalog/catalog.ts'
import { type Config, type TableOptions, tableOptions } from '../../runtime/config/config.ts'
import type { HashKey } from '../../runtime/config/hash-key.ts'
import { MillraceError } from '../../runtime/errors.ts'
import type { Log } from '../../runtime/log.ts'
import type { CapturedTable, Guard } from './captured-table.ts'
import { type Classified, classify } from './column-classification.ts'
import type { ColumnPolicy } from './column-policy.ts'
import { checkGroups } from './groups.ts'

const historyNames: ReadonlySet<string> = new Set(historyColumnNames)

interface Captured {
  readonly table: CapturedTable
  readonly faults: readonly string[]
  /** Columns of the partition key in which equal values may print differently. */
  readonly loose: readonly string[]
}

export interface CaptureContext {
  readonly config: Config
  /** `server_version_num` */
  readonly serverVersion: number
  /** Tables, by oid, whose primary key is deferrable. */
  readonly deferrable: ReadonlySet<number>
  /** Needed where columns are hashed. */
  readonly hashKey?: HashKey | undefined
  /** Faults that were found before, as sentences. */
  readonly faults?: readonly string[]
}

/**
 * Describes the chosen tables for the capture, once preflight has passed them.
 * @throws {MillraceError} TABLE_NOT_CAPTURABLE with every fault of every table
 */
export function captureTables(sources: readonly SourceTable[], context: CaptureContext): CapturedTable[] {
  const { config } = context
  const faults = [...(context.faults ?? [])]
  const tables: CapturedTable[] = []
  const loose = new Map<CapturedTable, readonly string[]>()
  for (const source of sources) {
    const captured = capture(source, tableOptions(config, source.schema, source.name)!, context)
    faults.push(...captured.faults.map(fault => `${tableName(source)}: ${fault}`))
    tables.push(captured.table)
    loose.set(captured.table, captured.loose)
  }
  if (faults.length === 0) faults.push(...checkGroups(tables, loose))
  if (tables.length === 0 && faults.length === 0) faults.push('no table of the database matches')
  if (faults.length === 0) return tables
  throw new MillraceError('TABLE_NOT_CAPTURABLE', {
    what: faults.join('\n  '),
    where: 'tables in the configuration',
    next: 'correct the configuration, or the tables in Postgres',
  })
}

/** Reports in the log which columns are sent as text. */
export function reportText(sources: readonly SourceTable[], log: Log): void {
  for (const source of sources) {
    for (const { name, pgType, type } of source.columns) {
      const { fidelity, reason } = mapType(type)
      if (fidelity !== 'text') continue
      log.info('a column is sent as text', { table: tableName(source), column: name, type: pgType, reason })
    }
  }
}

function capture(source: SourceTable, options: TableOptions, context: CaptureContext): Captured {
  const { serverVersion, deferrable, hashKey } = context
  const replicated = replicatedColumns(source, serverVersion)
  const partitionKey = options.partitionKey ?? source.key
  const classified = classify(replicated, [...source.key, ...partitionKey], options)
  const columns = classified.passing.map(({ column, policy }) => describePassing(column, policy, options.text))
  const isHashed = columns.some(({ policy }) => policy === 'hash')
  const places = (names: readonly string[]) => names.map(name => columns.findIndex(column => column.name === name))
  const { schema, name, key, comment } = source
  return {
    faults: [...columnFaults(source, replicated, options), ...classified.faults],
    loose: partitionKey.filter(name => {
      const column = replicated.find(each => each.name === name)
      return column && !(column.deterministic && isPrintedOnce(column.type))
    }),
    table: {
      table: {
        ...{ schema, name, columns, key, partitionKey },
        ...(isHashed && hashKey ? { hashKey: hashKey.name } : {}),
        ...(comment === undefined ? {} : { comment }),
      },
      oid: source.oid,
      kind: source.kind,
      columns: classified.passing.map(({ column }) => column),
      identityColumns: places([...new Set([...key, ...partitionKey])]),
      partitionColumns: places(partitionKey),
      partitions: options.partitions,
      group: options.group ?? tableName(source),
      onError: options.onError,
      deferrableKey: deferrable.has(source.oid),
      ...guardOf(replicated, classified, { personal: options.personal, hashKey }),
    },
  }
}

function guardOf(
  replicated: readonly SourceColumn[],
  { passing, unclassified }: Classified,
  rest: Pick<Guard, 'personal' | 'hashKey'>,
): { guard?: Guard } {
  const policies = passing.map(({ policy }) => policy)
  const stays = replicated.filter(column => !passing.some(each => each.column === column)).map(({ name }) => name)
  if (!rest.personal && stays.length === 0 && policies.every(policy => policy === 'keep')) return {}
  return { guard: { policies, unclassified, dropped: stays.filter(name => !unclassified.includes(name)), ...rest } }
}

/** Masked and hashed values are text, whatever the column's type. */
function describePassing(column: SourceColumn, policy: ColumnPolicy, text: readonly string[]): Column {
  const described = describeColumn(column, policy !== 'keep' || text.includes(column.name))
  return policy === 'keep' ? described : { ...described, policy }
}

function describeColumn({ name, pgType, type, nullable, comment }: SourceColumn, asText: boolean): Column {
  const { encoding, precision, scale } = mapType(type)
  const about = { name, pgType, nullable, ...(comment === undefined ? {} : { comment }) }
  if (asText) return { ...about, encoding: 'string' }
  return encoding === 'decimal' ? { ...about, encoding, precision: precision!, scale: scale! } : { ...about, encoding }
}

function columnFaults(source: SourceTable, replicated: readonly SourceColumn[], options: TableOptions): string[] {
  const faults: string[] = []
  for (const name of options.text) {
    if (!replicated.some(column => column.name === name))
      faults.push(`text names column ${name}, which it does not have`)
  }
  for (const name of [...source.key, ...(options.partitionKey ?? [])]) {
    const column = replicated.find(candidate => candidate.name === name)
    if (!column) faults.push(`its key names column ${name}, which is not there or not replicated`)
    else if (column.nullable) faults.push(`its partition key has column ${name}, which may be NULL`)
  }
  for (const { name } of replicated) {
    if (reservedColumns.has(name))
      faults.push(`its column ${name} has a name that the tables in ClickHouse need; rename it`)
    if (options.history && historyNames.has(name))
      faults.push(`its column ${name} has a name that its history needs; rename it, or leave history off`)
  }
  return faults
}
