// contract/names: names of the source as names in Kafka and Avro. Different names stay different.

import { createHash } from 'node:crypto'

/** Kafka's limit for a topic name. @see https://kafka.apache.org/documentation/#topicconfigs */
const longestTopic = 249

/**
 * An Avro name for a Postgres identifier, with each illegal character escaped as `_x<hex>_`.
 * Injective: a literal `_x41_` in the source is escaped as well.
 * @see https://avro.apache.org/docs/1.12.0/specification/#names
 */
export function avroName(identifier: string): string {
  const escaped = escapeExcept(identifier, /[A-Za-z0-9_]/)
  return /^[0-9]/.test(escaped) ? `_x${escaped.charCodeAt(0).toString(16)}_${escaped.slice(1)}` : escaped
}

/**
 * `<name>.<generation>.<schema>.<table>`. Characters that Kafka does not allow are escaped: in the
 * table as `_x<hex>_`, in the schema as `-x<hex>-`. Kafka refuses a topic whose name differs from
 * another one only in dots and underscores. So the schema part contains no underscore. It does not
 * begin with a digit either, which could be read as a generation's number.
 */
export function topicName(pipeline: string, generation: number, schema: string, table: string): string {
  const topic = `${generationPrefix(pipeline, generation)}${schemaPart(schema)}.${topicPart(table)}`
  if (topic.length <= longestTopic) return topic
  const digest = createHash('sha256').update(topic).digest('hex').slice(0, 16)
  return `${topic.slice(0, longestTopic - 17)}_${digest}`
}

/** The prefix of every topic of a generation: `<name>.<generation>.` */
export function generationPrefix(pipeline: string, generation: number): string {
  return `${pipeline}.${generation}.`
}

/**
 * Names that no captured column may have, because they are columns of the changelog and the current
 * state, or virtual columns of ClickHouse.
 * @see https://clickhouse.com/docs/engines/table-engines/mergetree-family/mergetree#virtual-columns
 */
export const reservedColumns: ReadonlySet<string> = new Set([
  '_sign',
  '_op',
  '_lsn',
  '_ordinal',
  '_version',
  '_partition',
  '_offset',
  '_commit_time',
  '_deleted',
  '_row_exists',
  '_block_number',
  '_block_offset',
])

/**
 * Names that no column of a table with a history may have, because they are columns of the history.
 */
export const historyColumnNames = [
  'version_key',
  'start_date',
  'end_date',
  'is_current',
  'source_id_audit',
  'insert_id',
  'update_id',
] as const

function schemaPart(identifier: string): string {
  return [...identifier]
    .map((character, index) =>
      /[A-Za-z]/.test(character) || (index > 0 && /\d/.test(character)) ? character : escaped(character, '-'),
    )
    .join('')
}

function escaped(character: string, mark: '_' | '-'): string {
  return `${mark}x${character.codePointAt(0)!.toString(16)}${mark}`
}

function topicPart(identifier: string): string {
  return escapeExcept(identifier, /[A-Za-z0-9_-]/)
}

function escapeExcept(identifier: string, allowed: RegExp): string {
  const literalsApart = identifier.replace(/_(?=x[0-9a-f]+_)/g, '\u0000')
  let text = ''
  for (const character of literalsApart) {
    if (character === '\u0000') text += '_x5f_'
    else text += allowed.test(character) ? character : escaped(character, '_')
  }
  return text
}
