// modeling/aggregate-rules: refuses an aggregate that the engine cannot keep exact, with the
// reason.

import type { Clickhouse } from '../clickhouse/client.ts'
import { storageName } from '../clickhouse/ddl.ts'
import type { Table } from '../contract/table.ts'
import { clickhouseType } from '../contract/types.ts'
import { MillraceError } from '../runtime/errors.ts'
import { engineColumns, engineKey } from './aggregate-table.ts'
import type { Inputs } from './inputs.ts'
import { type AggregateSource, contributionsSuffix, rowsSuffix } from './model.ts'

/** Table name → columns that a SELECT reads of it. */
export type UsedColumns = Inputs['columns']

/** A row of system.tables. */
export interface FoundTable {
  readonly database: string
  readonly name: string
  readonly engine: string
  readonly engine_full: string
  readonly partition_key: string
  readonly sorting_key: string
}

/** A row of system.columns. */
export interface FoundColumn {
  readonly table: string
  readonly name: string
  readonly type: string
  /** 1 for a column of the sorting key. */
  readonly key: number
}

export interface Candidate {
  readonly name: string
  readonly source: AggregateSource
  readonly captured: ReadonlyMap<string, Table>
  readonly found: readonly FoundTable[]
  readonly columns: readonly FoundColumn[]
  readonly inputs: Inputs
  /** For messages: the directory of the model. */
  readonly where: string
}

/** @throws {MillraceError} CONFIG_INVALID */
export async function refuseUnfit(clickhouse: Clickhouse, candidate: Candidate): Promise<void> {
  const own = candidate.columns.filter(({ table }) => table === candidate.name)
  const fault =
    faultOfTables(candidate) ??
    faultOfTable(candidate, own) ??
    faultOfMeasures(own) ??
    faultOfInputs(candidate) ??
    (await faultOfFunctions(clickhouse, candidate)) ??
    (await faultOfTypes(clickhouse, candidate, own))
  if (fault === undefined) return
  const [what, next] = fault
  throw new MillraceError('CONFIG_INVALID', {
    what: `the aggregate ${candidate.name} cannot be kept exact: ${what}`,
    where: candidate.where,
    next: `${next}; then build it again with millrace reset star`,
  })
}

type Fault = readonly [what: string, next: string] | undefined

/** Rows of one key are looked up in each current state, so the key must lead its sorting key. */
function faultOfTables({ source: { by, of }, captured }: Candidate): Fault {
  const types = new Map<string, string>()
  for (const name of of) {
    const table = captured.get(name)
    if (table === undefined) return [`${name} is not captured`, 'name it under tables in millrace.yaml']
    for (const column of by) {
      const found = table.columns.find(each => each.name === column)
      if (found === undefined)
        return [`${name} has no column ${column}`, 'under by, name columns that all its tables have']
      if (found.nullable)
        return [`${column} of ${name} may be null`, 'under by, name columns that are NOT NULL in the source']
      const type = clickhouseType(found)
      if (types.has(column) && types.get(column) !== type)
        return [
          `${column} is ${types.get(column)} in ${of[0]} and ${type} in ${name}`,
          'give the columns one type in the source',
        ]
      types.set(column, type)
    }
    const order = [...new Set([...table.partitionKey, ...table.key])]
    if (!by.every(column => order.slice(0, by.length).includes(column)))
      return [
        `rows of ${name} are sorted by ${order.join(', ')}, so those of one ${by.join(', ')} cannot be looked up`,
        `set partitionKey: [${by.join(', ')}] for ${name} under tables in millrace.yaml, in a new generation`,
      ]
  }
  return undefined
}

/** One insert must become one part, and a merge must only add up. */
function faultOfTable({ name, found }: Candidate, own: readonly FoundColumn[]): Fault {
  const table = found.find(each => each.name === name)
  if (table === undefined) return ['its table does not exist', 'create it in a file under clickhouse/']
  const { engine, engine_full, partition_key, sorting_key } = table
  if (engine !== 'SummingMergeTree') return [`its engine is ${engine}`, 'use ENGINE = SummingMergeTree']
  if (/^SummingMergeTree\(\s*[^)\s]/.test(engine_full))
    return ['SummingMergeTree names the columns to add up', 'use ENGINE = SummingMergeTree without columns']
  if (partition_key !== '')
    return [
      'it has PARTITION BY, so a reader could see a part of a fold',
      'remove PARTITION BY; ORDER BY prunes as well',
    ]
  if (/\bTTL\b/.test(engine_full)) return ['it has a TTL', 'remove it: a sum without some of its rows is wrong']
  const key = sorting_key.split(', ').map(column => column.replaceAll('`', ''))
  const strange = key.find(column => own.every(each => each.name !== column))
  if (strange !== undefined) return [`its ORDER BY has the expression ${strange}`, 'use columns only']
  if (
    engineKey.some((column, index) => key[index] !== column) ||
    engineColumns.some(column => own.every(each => each.name !== column))
  )
    return [
      `its table was made without ${engineColumns.join(', ')}`,
      'build the database again with millrace reset warehouse',
    ]
  return undefined
}

const summable = /^(?:Int(?:64|128|256)|Decimal\((?:19|[2-7]\d), \d+\))$/

function faultOfMeasures(own: readonly FoundColumn[]): Fault {
  const measures = own.filter(({ key, name }) => key === 0 && !engineColumns.includes(name))
  if (measures.length === 0) return ['every column is in its ORDER BY', 'add a column that is a sum']
  const wrong = measures.find(({ type }) => !summable.test(type))
  if (wrong === undefined) return undefined
  return [
    `${wrong.name} is ${wrong.type}, whose sums are not exact or overflow without an error`,
    'use Int64, Int128, Int256 or a Decimal of 19 or more digits, or name the column in ORDER BY',
  ]
}

/** The engine gives old and new rows under these names, and nothing else changes with a fold. */
function faultOfInputs({ source: { of }, captured, inputs }: Candidate): Fault {
  const allowed = new Set(of.map(name => rowsName(captured.get(name)!)))
  const foreign = [...inputs.columns.keys(), ...inputs.tableFunctions].find(read => !allowed.has(read))
  if (foreign !== undefined)
    return [
      `its contributions read ${foreign}`,
      `read only ${[...allowed].join(', ')}, and join anything else in the view that people read`,
    ]
  const unread = [...allowed].find(name => !inputs.columns.has(name))
  if (unread !== undefined) return [`its contributions do not read ${unread}`, 'remove the table from of']
  const unsigned = [...allowed].find(name => !inputs.columns.get(name)!.has('_sign'))
  return unsigned === undefined
    ? undefined
    : [`its contributions do not use _sign of ${unsigned}`, 'join and group by _sign, and multiply measures by it']
}

function rowsName(table: Table): string {
  return storageName(table.schema, table.name) + rowsSuffix
}

/**
 * A row must contribute the same whenever it is read. ClickHouse says of look-ups in dictionaries
 * that they do not.
 */
async function faultOfFunctions(clickhouse: Clickhouse, { inputs }: Candidate): Promise<Fault> {
  const [row] = await clickhouse.rows<{ name: string }>(
    `SELECT name FROM system.functions WHERE name IN {names:Array(String)}
AND deterministic = 0 AND name NOT IN ('arrayJoin', 'unnest') ORDER BY name LIMIT 1`,
    { names: [...inputs.functions] },
  )
  return row === undefined
    ? undefined
    : [`its contributions call ${row.name}, whose result changes`, 'call it in the view that people read']
}

/** An insert casts each value to the type of its column, without an error when it does not fit. */
async function faultOfTypes(
  clickhouse: Clickhouse,
  { name, columns }: Candidate,
  own: readonly FoundColumn[],
): Promise<Fault> {
  const given = columns.filter(({ table }) => table === `${name}${contributionsSuffix}`)
  const wanted = own.filter(column => !engineColumns.includes(column.name))
  const names = (list: readonly FoundColumn[]) =>
    list
      .map(column => column.name)
      .sort()
      .join(', ')
  if (names(given) !== names(wanted))
    return [`its contributions have the columns ${names(given)}`, `select exactly ${names(wanted)}`]
  const plain = (type: string) =>
    type
      .replace(/^LowCardinality\((.*)\)$/, '$1')
      .replace(/^(DateTime(?:64\(\d)?)(?:\(|, )'[^']*'\)$/, (_, base: string) =>
        base.includes('(') ? `${base})` : base,
      )
  for (const column of wanted) {
    const [from, to] = [given.find(each => each.name === column.name)!.type, column.type].map(plain) as [string, string]
    if (from === to) continue
    const rows = await clickhouse
      .rows<{ type: string }>(
        'SELECT toTypeName([defaultValueOfTypeName({from:String}), defaultValueOfTypeName({to:String})]) AS type',
        { from, to },
      )
      .catch(() => [])
    if (rows[0]?.type !== `Array(${to})`)
      return [
        `${column.name} is ${column.type}, and its contributions give ${from}`,
        `cast it to ${column.type} in the SELECT`,
      ]
  }
  return undefined
}
