// consumer/tables: the captured tables as this consumer folds them.
// May know: contract, clickhouse, kafka/registry. A table's shape comes from the schema of its topic, never from Postgres.

import { AvroContainer } from '../clickhouse/container.ts'
import { insertStatement } from '../clickhouse/insert.ts'
import type { GenerationTable } from '../contract/generation.ts'
import { parseValueSchema } from '../contract/schema.ts'
import { type Table, tableName } from '../contract/table.ts'
import type { SchemaStore } from '../kafka/registry.ts'
import { MillraceError } from '../runtime/errors.ts'

/** What it takes to insert records written with one schema. */
export interface RecordFormat {
  readonly container: AvroContainer
  readonly statement: string
}

/** What the configuration says of a table that matters here. */
export interface FoldOptions {
  readonly onRefusal: 'stop' | 'divert'
  readonly history: boolean
}

export class FoldTable {
  readonly topic: string
  readonly partitions: number
  readonly group: string
  readonly table: Table
  readonly onRefusal: 'stop' | 'divert'
  /** Whether every version of its rows is kept, besides the last. */
  readonly history: boolean
  /** Records inserted since the process started. */
  folded = 0
  readonly #schemas: SchemaStore
  readonly #formats = new Map<number, RecordFormat | undefined>()

  constructor(about: GenerationTable, parts: { table: Table; options: FoldOptions; schemas: SchemaStore }) {
    this.topic = about.topic
    this.partitions = about.partitions
    this.group = about.group
    this.table = parts.table
    this.onRefusal = parts.options.onRefusal
    this.history = parts.options.history
    this.#schemas = parts.schemas
  }

  /** Undefined when no such schema exists, or it is not one of this table's. Looked up once per id. */
  async format(schemaId: number): Promise<RecordFormat | undefined> {
    if (this.#formats.has(schemaId)) return this.#formats.get(schemaId)
    const format = await this.#load(schemaId)
    this.#formats.set(schemaId, format)
    return format
  }

  async #load(schemaId: number): Promise<RecordFormat | undefined> {
    const json = await this.#schemas.byId(schemaId)
    const table = json === undefined ? undefined : tryParse(json)
    if (json === undefined || table === undefined || tableName(table) !== tableName(this.table)) return undefined
    if (JSON.stringify(table.columns) !== JSON.stringify(this.table.columns)) {
      throw new MillraceError('SCHEMA_CHANGED', {
        what: `records of ${tableName(table)} have a schema that its tables in ClickHouse were not made for`,
        where: `topic ${this.topic}, schema id ${schemaId}`,
        next: 'start a new generation: millrace producer --new-generation',
      })
    }
    return { container: new AvroContainer(json), statement: insertStatement(table) }
  }
}

/** @throws {MillraceError} SCHEMA_MISSING when the producer has not registered the topic's schema */
export async function loadFoldTable(
  about: GenerationTable,
  schemas: SchemaStore,
  optionsOf: (schema: string, table: string) => FoldOptions,
): Promise<FoldTable> {
  const latest = await schemas.latest(`${about.topic}-value`)
  if (latest === undefined) {
    throw new MillraceError('SCHEMA_MISSING', {
      what: `no schema is registered under ${about.topic}-value`,
      where: `topic ${about.topic}`,
      next: 'the producer registers it when it starts; check that producer and consumer use the same kafka.registry',
    })
  }
  const table = parseValueSchema(latest.schema)
  return new FoldTable(about, { table, schemas, options: optionsOf(table.schema, table.name) })
}

function tryParse(json: string): Table | undefined {
  try {
    return parseValueSchema(json)
  } catch {
    return undefined
  }
}
