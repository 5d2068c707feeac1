// contract/types: the complete mapping of Postgres types to Avro and ClickHouse.
// Every built-in type is exact, exact as text, or refused with a reason.

import type { Column, Encoding } from './table.ts'

/** A column's type from the catalog, with domains resolved to their base type and modifier. */
export interface SourceType {
  /** `pg_type.typname`: `int8`, `numeric`, `_text`, `mood`. */
  readonly name: string
  /** `b`ase, `e`num, `c`omposite, `r`ange, `m`ultirange, `p`seudo: `pg_type.typtype`. */
  readonly kind: string
  /** `atttypmod` of the column, or the domain's; −1 when there is none. */
  readonly typeModifier: number
}

type Fidelity = 'exact' | 'text' | 'refused'

export interface TypeMapping {
  readonly fidelity: Fidelity
  readonly encoding: Encoding
  readonly precision?: number
  readonly scale?: number
  /** Why the value is sent as text, or why the column cannot be captured. */
  readonly reason?: string
}

/**
 * Users choose the names of types. As keys of an object, `constructor` and `__proto__` would always
 * be found.
 */
function mapOf<Value>(values: Readonly<Record<string, Value>>): ReadonlyMap<string, Value> {
  return new Map(Object.entries(values))
}

const exact: ReadonlyMap<string, Encoding> = mapOf({
  bool: 'boolean',
  int2: 'int',
  int4: 'int',
  int8: 'long',
  oid: 'long',
  float4: 'float',
  float8: 'double',
  date: 'date',
  timestamp: 'timestamp',
  timestamptz: 'timestamptz',
  uuid: 'uuid',
  bytea: 'bytes',
  text: 'string',
  varchar: 'string',
  bpchar: 'string',
  name: 'string',
  char: 'string',
  json: 'string',
  jsonb: 'string',
  xml: 'string',
})

const noCounterpart = 'ClickHouse has no type with the same values'
const context = 'the text form is what Postgres prints for this identifier'

const asText: ReadonlyMap<string, string> = mapOf({
  time: 'ClickHouse has no time of day that reaches 24:00:00',
  timetz: noCounterpart,
  interval: 'months, days and microseconds are kept apart, in ISO 8601',
  money: 'the number of decimals follows lc_monetary',
  bit: noCounterpart,
  varbit: noCounterpart,
  inet: 'a host address carries its netmask',
  cidr: 'an address carries its netmask',
  macaddr: noCounterpart,
  macaddr8: noCounterpart,
  point: noCounterpart,
  line: noCounterpart,
  lseg: noCounterpart,
  box: noCounterpart,
  path: noCounterpart,
  polygon: noCounterpart,
  circle: noCounterpart,
  tsvector: noCounterpart,
  tsquery: noCounterpart,
  jsonpath: noCounterpart,
  pg_lsn: noCounterpart,
  pg_snapshot: noCounterpart,
  txid_snapshot: noCounterpart,
  xid: noCounterpart,
  xid8: noCounterpart,
  cid: noCounterpart,
  tid: noCounterpart,
  oidvector: noCounterpart,
  int2vector: noCounterpart,
  refcursor: context,
  regclass: context,
  regcollation: context,
  regconfig: context,
  regdatabase: context,
  regdictionary: context,
  regnamespace: context,
  regoper: context,
  regoperator: context,
  regproc: context,
  regprocedure: context,
  regrole: context,
  regtype: context,
  aclitem: context,
  gtsvector: noCounterpart,
})

const refused: ReadonlyMap<string, string> = mapOf({
  pg_node_tree: 'an internal expression tree; it has no meaning outside its database',
  pg_ndistinct: 'internal planner statistics',
  pg_dependencies: 'internal planner statistics',
  pg_mcv_list: 'internal planner statistics',
  pg_brin_bloom_summary: 'an internal index summary',
  pg_brin_minmax_multi_summary: 'an internal index summary',
})

/** ClickHouse's widest decimal is Decimal256: 76 digits. */
const widestDecimal = 76

/**
 * How the values of a type are sent. A type that is not listed above is sent as text, with a
 * reason.
 */
export function mapType(type: SourceType): TypeMapping {
  const encoding = exact.get(type.name)
  if (encoding !== undefined && type.kind === 'b') return { fidelity: 'exact', encoding }
  if (type.name === 'numeric') return mapNumeric(type.typeModifier)
  if (type.kind === 'e') return { fidelity: 'exact', encoding: 'string' }
  if (type.kind === 'p') return { fidelity: 'refused', encoding: 'string', reason: `${type.name} is a pseudo-type` }
  const refusal = refused.get(type.name)
  if (refusal !== undefined) return { fidelity: 'refused', encoding: 'string', reason: refusal }
  return { fidelity: 'text', encoding: 'string', reason: asText.get(type.name) ?? describeOther(type) }
}

/**
 * Further types whose equal values have equal texts, besides whole numbers, bounded decimals,
 * padded characters and enums.
 */
const printedOnce: ReadonlySet<string> = new Set(
  'bool date timestamp timestamptz time uuid bytea text varchar name char money bit varbit inet cidr macaddr macaddr8 pg_lsn'.split(
    ' ',
  ),
)

/**
 * Whether equal values always have the same text, ignoring collations. Counterexamples are `1.0`
 * and `1.00`, `0` and `-0`, `1 day` and `24:00:00`, and `a` and `A` in a citext.
 */
export function isPrintedOnce(type: SourceType): boolean {
  if (type.kind === 'e') return true
  if (type.kind !== 'b') return false
  if (type.name === 'bpchar') return type.typeModifier >= 0
  if (type.name === 'numeric') return mapNumeric(type.typeModifier).fidelity === 'exact'
  return printedOnce.has(type.name) || /^(int[248]|oid)$/.test(type.name)
}

function describeOther(type: SourceType): string {
  if (type.name.startsWith('_')) return 'an array may hold NULLs, several dimensions and any lower bound'
  if (type.kind === 'c') return 'a row type of the source database'
  if (type.kind === 'r' || type.kind === 'm') return 'ClickHouse has no range with open, closed and empty bounds'
  return `${type.name} is not a built-in type`
}

/**
 * `numeric(p,s)` packs p and s into the modifier as ((p << 16) | (s & 0x7ff)) + 4; since Postgres
 * 15 s may be negative or above p.
 * @see https://github.com/postgres/postgres/blob/master/src/backend/utils/adt/numeric.c
 *   (make_numeric_typmod)
 */
function mapNumeric(typeModifier: number): TypeMapping {
  if (typeModifier < 4)
    return { fidelity: 'text', encoding: 'string', reason: 'numeric without precision has no bound' }
  const packed = typeModifier - 4
  const digits = (packed >>> 16) & 0xffff
  const declaredScale = ((packed & 0x7ff) ^ 1024) - 1024
  const scale = Math.max(declaredScale, 0)
  const precision = Math.max(digits - Math.min(declaredScale, 0), scale)
  if (precision > widestDecimal) {
    return { fidelity: 'text', encoding: 'string', reason: `more than ${widestDecimal} digits` }
  }
  return { fidelity: 'exact', encoding: 'decimal', precision, scale }
}

const clickhouseNames: Record<Exclude<Encoding, 'decimal' | 'int' | 'long'>, string> = {
  boolean: 'Bool',
  float: 'Float32',
  double: 'Float64',
  date: 'Date32',
  timestamp: "DateTime64(6, 'UTC')",
  timestamptz: "DateTime64(6, 'UTC')",
  uuid: 'UUID',
  bytes: 'String',
  string: 'String',
}

/** The ClickHouse type for every value of the column, with `Nullable(...)` if needed. */
export function clickhouseType(column: Column): string {
  const bare = bareClickhouseType(column)
  return column.nullable ? `Nullable(${bare})` : bare
}

function bareClickhouseType(column: Column): string {
  switch (column.encoding) {
    case 'decimal':
      return `Decimal(${column.precision}, ${column.scale})`
    case 'int':
      return column.pgType === 'smallint' ? 'Int16' : 'Int32'
    case 'long':
      return column.pgType === 'oid' ? 'UInt32' : 'Int64'
    default:
      return clickhouseNames[column.encoding]
  }
}

/**
 * The ranges of DateTime64(6) and Date32. A row with a value outside of them is refused, and never
 * clamped.
 * @see https://clickhouse.com/docs/sql-reference/data-types/datetime64
 */
export const temporalLimits = {
  /**
   * Whole seconds since the Unix epoch: 1900-01-01T00:00:00Z to 2299-12-31T23:59:59Z. In µs the end
   * exceeds 2^53.
   */

  timestampSeconds: { min: -2_208_988_800, max: 10_413_791_999 },
  /** Days since the Unix epoch: 1900-01-01 to 2299-12-31. */
  dateDays: { min: -25_567, max: 120_529 },
} as const
