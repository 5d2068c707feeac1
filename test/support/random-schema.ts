// test/support/random-schema: tables that nobody has thought of, and statements upon them, all as SQL text.
// Knows nothing of how millrace represents what it makes up.

import { escapeIdentifier as quote } from 'pg'
import type { Random } from '../../generator/shop/random.ts'

export interface RandomTable {
  /** Quoted, with its schema. */
  readonly name: string
  readonly key: readonly RandomColumn[]
  readonly rest: readonly RandomColumn[]
  readonly partitionKey: readonly RandomColumn[]
  readonly partitions: number
}

interface RandomColumn {
  readonly name: string
  readonly type: string
  readonly nullable: boolean
  /** SQL of a random value; keys come from few values, so that they meet. */
  readonly value: (random: Random) => string
}

const literal = (text: string) => `'${text.replaceAll("'", "''")}'`
const letters = ['a', 'b', "'", '"', '\\', ',', '{', '}', ' ', 'ü', '💥', '\n', '\t', '0', 'x'.repeat(50)]
const word = (random: Random, longest: number) =>
  Array.from({ length: random.integer(0, longest) }, () => random.pick(letters)).join('')
const moment = (random: Random) =>
  new Date(Date.UTC(1901, 0, 1) + random.fraction() * 398 * 365.25 * 86_400_000)
    .toISOString()
    .slice(0, 19)
    .replace('T', ' ')

const keyTypes: Readonly<Record<string, (random: Random) => string>> = {
  int: random => String(random.integer(-8, 8)),
  bigint: random => literal(random.pick(['-9223372036854775808', '9223372036854775807', '0', '1', '-1'])),
  text: random => literal(random.pick(['', 'a', 'A', "'", '\\', 'ü', ' ', 'a b'])),
  'numeric(8,3)': random => literal((random.integer(-6, 6) / 4).toFixed(2)),
  numeric: random => literal(random.pick(['1', '1.0', '-0.5', '1e20', '12345678901234567890.5'])),
  uuid: random => literal(`00000000-0000-4000-8000-00000000000${random.integer(0, 9)}`),
  date: random => `date '2024-02-25' + ${random.integer(0, 8)}`,
  'char(3)': random => literal(random.pick(['a', 'ab', 'abc', ''])),
  boolean: random => String(random.chance(0.5)),
}

const valueTypes: Readonly<Record<string, (random: Random) => string>> = {
  ...keyTypes,
  text: random => (random.chance(0.02) ? `repeat(${literal(word(random, 4))}, 2000)` : literal(word(random, 12))),
  smallint: random => `'${random.integer(-32768, 32767)}'`,
  'double precision': random =>
    literal(random.pick(['NaN', '-Infinity', '-0', '0.1', String(random.fraction() * 1e300)])),
  real: random => literal(String(Math.fround(random.fraction() * 1e30))),
  'numeric(30,8)': random =>
    literal(`${random.integer(-1e9, 1e9)}${random.integer(0, 1e9)}.${random.integer(0, 99_999_999)}`),
  timestamp: random => literal(`${moment(random)}.${random.integer(0, 999_999)}`),
  timestamptz: random => literal(`${moment(random)}.5+0${random.integer(0, 9)}:30`),
  date: random => literal(moment(random).slice(0, 10)),
  time: random => literal(`${random.integer(10, 23)}:00:00.${random.integer(0, 999_999)}`),
  interval: random =>
    literal(`${random.integer(-20, 20)} mons ${random.integer(-20, 20)} days ${random.integer(-90, 90)} secs`),
  bytea: random => `decode('${Buffer.from(word(random, 20)).toString('hex')}', 'hex')`,
  jsonb: random => `jsonb_build_object(${literal(word(random, 2))}, ${random.integer(0, 9)}, 'n', NULL)`,
  json: random => literal(`{"a": ${random.integer(0, 9)}.10,  "a" :null}`),
  'text[]': random => `ARRAY[${literal(word(random, 3))}, NULL, ${literal(word(random, 3))}]`,
  int4range: random => `int4range(0, ${random.integer(1, 99)})`,
  inet: random => literal(`10.0.0.${random.integer(0, 255)}${random.pick(['', '/24'])}`),
}

const names = [
  'id',
  'Order',
  'a-b',
  'wert ü',
  'x"y',
  'select',
  'n',
  '💥',
  'a.b',
  "it's",
  '_x41_',
  'back\\slash',
  'constructor',
]

export function randomTables(random: Random): RandomTable[] {
  const tableNames = shuffled(random, names).slice(0, random.integer(2, 4))
  return tableNames.map(name => randomTable(random, `public.${quote(name)}`))
}

function randomTable(random: Random, name: string): RandomTable {
  const columnNames = shuffled(random, names)
  const column = (types: typeof keyTypes, nullable: boolean): RandomColumn => {
    const type = random.pick(Object.keys(types))
    return { name: columnNames.pop()!, type, nullable, value: types[type]! }
  }
  const key = Array.from({ length: random.integer(1, 3) }, () => column(keyTypes, false))
  const rest = Array.from({ length: random.integer(0, 8) }, () => column(valueTypes, random.chance(0.7)))
  const partitionKey = random.chance(0.3) ? [random.pick([...key, ...rest.filter(({ nullable }) => !nullable)])] : key
  return { name, key, rest, partitionKey, partitions: random.integer(1, 3) }
}

export function createTable({ name, key, rest }: RandomTable): string {
  const columns = [...key, ...rest].map(each => `${quote(each.name)} ${each.type}${each.nullable ? '' : ' NOT NULL'}`)
  const primary = key.map(each => quote(each.name)).join(', ')
  return `CREATE TABLE ${name} (${columns.join(', ')}, PRIMARY KEY (${primary})); ALTER TABLE ${name} REPLICA IDENTITY FULL;`
}

/** One change of one table; it may fail, on a key that is there already. */
export function randomStatement(random: Random, table: RandomTable): string {
  const { name, key, rest } = table
  const columns = [...key, ...rest]
  const value = (column: RandomColumn) =>
    column.nullable && random.chance(0.2) ? 'NULL' : `(${column.value(random)})::${column.type}`
  const row = () => `(${columns.map(value).join(', ')})`
  const assign = (some: readonly RandomColumn[]) => some.map(each => `${quote(each.name)} = ${value(each)}`).join(', ')
  const where = `WHERE ${quote(key[0]!.name)} ${random.pick(['=', '=', '<', '>='])} ${value(key[0]!)}`
  const insert = `INSERT INTO ${name} VALUES ${Array.from({ length: random.integer(1, 6) }, row).join(', ')}`
  const primary = key.map(each => quote(each.name)).join(', ')
  const some = shuffled(random, rest).slice(0, random.integer(1, 4))
  const kind = random.fraction()
  if (kind < 0.4) return `${insert} ON CONFLICT DO NOTHING`
  if (kind < 0.45) return insert
  if (some.length > 0 && kind < 0.5)
    return `INSERT INTO ${name} VALUES ${row()} ON CONFLICT (${primary}) DO UPDATE SET ${assign(some)}`
  if (some.length > 0 && kind < 0.7) return `UPDATE ${name} SET ${assign(some)} ${where}`
  if (kind < 0.85) return `UPDATE ${name} SET ${assign([random.pick(key)])} ${where}`
  return kind < 0.985 ? `DELETE FROM ${name} ${where}` : `TRUNCATE ${name}`
}

function shuffled<T>(random: Random, items: readonly T[]): T[] {
  const keyed = items.map(item => ({ item, place: random.fraction() }))
  return keyed.sort((a, b) => a.place - b.place).map(({ item }) => item)
}
