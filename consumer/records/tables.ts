// consumer/records/tables: the captured tables as targets of inserts.
// The columns of a table come from the schema of its topic, never from Postgres.

import { AvroContainer } from '../../clickhouse/avro-file.ts'
import { NativeBlock } from '../../clickhouse/native-block.ts'
import { Envelope } from '../../contract/envelope.ts'
import type { GenerationTable } from '../../contract/generation.ts'
import { readSchemaId } from '../../contract/head.ts'
import { parseValueSchema } from '../../contract/schema.ts'
import { type Table, tableName } from '../../contract/table.ts'
import type { RecordSet } from '../../kafka/protocol/record-batch.ts'
import type { RegisteredSchema, SchemaStore } from '../../kafka/registry/schema-store.ts'
import { MillraceError } from '../../runtime/errors.ts'

/** What sends records of one schema, and the table as the schema describes it. */
export interface RecordFormat {
  readonly block: NativeBlock
  readonly container: AvroContainer
  readonly table: Table
}

/** Registries assign signed 32-bit ids, and some fail when asked for larger ones. */
const largestSchemaId = 2 ** 31 - 1

/** The options of a table that the consumer reads from the configuration. */
export interface TargetTableOptions {
  readonly onError: 'stop' | 'dead-letter'
  readonly history: boolean
}

type PlacedTable = GenerationTable & { readonly place: number }

export class TargetTable {
  readonly topic: string
  readonly partitions: number
  readonly group: string
  /** Index in the generation's list of tables. */
  readonly place: number
  readonly table: Table
  readonly onError: 'stop' | 'dead-letter'
  /** Whether every version of its rows is kept. */
  readonly history: boolean
  /** Reads the table's records. It knows the schemas that `learn` has looked up. */
  readonly envelope: Envelope
  /** Records inserted since the process started. */
  inserted = 0
  /** Images that ClickHouse has refused since it last accepted a record of this table. */
  refusedInARow = 0
  /** Dead letters written since the process started. */
  deadLetters = 0
  readonly #schemas: SchemaStore
  readonly #formats = new Map<number, RecordFormat | undefined>()

  constructor(about: PlacedTable, parts: { table: Table; options: TargetTableOptions; schemas: SchemaStore }) {
    this.topic = about.topic
    this.partitions = about.partitions
    this.group = about.group
    this.place = about.place
    this.table = parts.table
    this.onError = parts.options.onError
    this.history = parts.options.history
    this.#schemas = parts.schemas
    this.envelope = new Envelope(parts.table, id => this.#formats.get(id) !== undefined)
  }

  get stopsAtForeign(): boolean {
    return this.onError === 'stop'
  }

  /**
   * Looks up the schema ids of the records, so that the envelope recognizes the table's own
   * records.
   */
  async learn({ count, buffer, valueStarts, valueEnds }: RecordSet): Promise<void> {
    let last: number | undefined
    for (let index = 0; index < count; index++) {
      const id = readSchemaId(buffer, valueStarts[index]!, valueEnds[index]!)
      if (id === last) continue
      last = id
      if (id !== -1 && !this.#formats.has(id)) this.#formats.set(id, await this.#load(id))
    }
  }

  /** Format of a schema that `learn` has found to be the table's. */
  format(schemaId: number): RecordFormat {
    return this.#formats.get(schemaId)!
  }

  /** Undefined when the schema does not exist, or is not of this table. Both never change. */
  async #load(schemaId: number): Promise<RecordFormat | undefined> {
    const json = schemaId > largestSchemaId ? undefined : await this.#schemas.byId(schemaId)
    const table = json === undefined ? undefined : tryParse(json)
    if (json === undefined || table === undefined || shapeOf(table) !== shapeOf(this.table)) return undefined
    return { block: new NativeBlock(table), container: new AvroContainer(json), table }
  }
}

/**
 * The tables of one generation, in order.
 * @throws {MillraceError} SCHEMA_MISSING, GENERATION_CHANGED
 */
export async function loadTargetTables(
  tables: readonly GenerationTable[],
  schemas: SchemaStore,
  optionsOf: (schema: string, table: string) => TargetTableOptions,
): Promise<TargetTable[]> {
  const shapes = await newestShapes(tables, schemas)
  return tables.map((about, place) => {
    const table = shapes[place]!
    return new TargetTable({ ...about, place }, { table, schemas, options: optionsOf(table.schema, table.name) })
  })
}

/**
 * Each table as the newest schema of its topic describes it.
 * @throws {MillraceError} SCHEMA_MISSING when the producer has registered none; GENERATION_CHANGED
 *   when another program has registered one
 */
export async function newestShapes(tables: readonly GenerationTable[], schemas: SchemaStore): Promise<Table[]> {
  const latest = await schemas.latestOf(tables.map(({ topic }) => subjectOf(topic)))
  return tables.map((about, place) => describedBy(latest[place], about))
}

const subjectOf = (topic: string) => `${topic}-value`

function describedBy(latest: RegisteredSchema | undefined, { topic, schema, table }: GenerationTable): Table {
  const subject = subjectOf(topic)
  if (latest === undefined) {
    throw new MillraceError('SCHEMA_MISSING', {
      what: `no schema is registered under ${subject}`,
      where: `topic ${topic}`,
      next: 'the producer registers it when it starts; check that producer and consumer use the same kafka.registry',
    })
  }
  const found = tryParse(latest.schema)
  if (found?.schema === schema && found.name === table) return found
  const isOf = found === undefined ? 'was not registered by millrace' : `is of table ${tableName(found)}`
  throw new MillraceError('GENERATION_CHANGED', {
    what: `version ${latest.version} of subject ${subject}, the newest, ${isOf}`,
    where: `topic ${topic}, schema ${latest.id}`,
    next: 'delete that version in the schema registry, or load everything again, under other subjects: millrace producer --new-generation',
  })
}

/** The parts of a table that its records depend on. */
function shapeOf({ schema, name, columns, key, partitionKey }: Table): string {
  return JSON.stringify([schema, name, columns.map(({ comment: _, ...column }) => column), key, partitionKey])
}

function tryParse(json: string): Table | undefined {
  try {
    return parseValueSchema(json)
  } catch {
    return undefined
  }
}
