// kafka/registry/schema-catalog: the schemas in the records of a `_schemas` topic, in the format of
// Confluent's registry. It does no I/O. The same records always give the same catalog.

import type { RegisteredSchema } from './schema-store.ts'

/** @see https://github.com/confluentinc/schema-registry: SchemaKey and SchemaValue */
export interface SchemaRecord {
  readonly subject: string
  readonly version: number
  readonly id: number
  readonly schema: string
  readonly deleted: boolean
}

export function recordKey({ subject, version }: Pick<SchemaRecord, 'subject' | 'version'>): string {
  return JSON.stringify({ keytype: 'SCHEMA', subject, version, magic: 1 })
}

export function recordValue({ subject, version, id, schema, deleted }: SchemaRecord): string {
  return JSON.stringify({ subject, version, id, schema, deleted })
}

/** A record without a schema. It reserves its offset. */
export const noopKey = JSON.stringify({ keytype: 'NOOP', magic: 0 })

/**
 * Ids come from offsets, so concurrent writers never share one. Within a subject they may use the
 * same version. The later record then hides the earlier one, and compaction would remove the schema
 * of its id. `hidden` lists such schemas, and the next writer registers them again with another
 * version.
 */
export class SchemaCatalog {
  readonly #byId = new Map<number, string>()
  readonly #ids = new Map<string, number>()
  readonly #subjects = new Map<string, Map<number, SchemaRecord>>()
  readonly #hidden = new Map<number, SchemaRecord>()
  #maxId = 0

  /**
   * Applies the topic's next record. Records other than schemas, such as NOOP and CONFIG, are
   * ignored.
   */
  apply(key: string | null, value: string | null): void {
    if (key === null) return
    const { keytype, subject, version } = JSON.parse(key) as { keytype: string; subject: string; version: number }
    if (keytype !== 'SCHEMA') return
    const versions = this.#subjects.get(subject) ?? new Map<number, SchemaRecord>()
    this.#subjects.set(subject, versions)
    if (value === null) {
      versions.delete(version)
      return
    }
    const record = JSON.parse(value) as SchemaRecord
    const live = versions.get(version)
    this.#hidden.delete(record.id)
    if (live && live.id !== record.id) this.#hidden.set(live.id, live)
    versions.set(version, record)
    this.#byId.set(record.id, record.schema)
    this.#ids.set(record.schema, Math.min(record.id, this.#ids.get(record.schema) ?? record.id))
    this.#maxId = Math.max(this.#maxId, record.id)
  }

  byId(id: number): string | undefined {
    return this.#byId.get(id)
  }

  subjects(): string[] {
    return [...this.#subjects.keys()].filter(subject => this.versions(subject).length > 0).sort()
  }

  /** Ascending, without deleted ones. */
  versions(subject: string): RegisteredSchema[] {
    return [...(this.#subjects.get(subject)?.values() ?? [])]
      .filter(({ deleted }) => deleted !== true)
      .sort((a, b) => a.version - b.version)
      .map(({ id, version, schema }) => ({ id, version, schema }))
  }

  /**
   * The version of a subject with this schema, or the one with the lowest id if there are several.
   */
  find(subject: string, schema: string): RegisteredSchema | undefined {
    const [found] = this.versions(subject)
      .filter(version => version.schema === schema)
      .sort((a, b) => a.id - b.id)
    return found
  }

  /** The id of the schema, if any subject has it. */
  idOf(schema: string): number | undefined {
    return this.#ids.get(schema)
  }

  /**
   * The id of a new schema, from an offset that only the caller has; higher than all ids read, also
   * those of other registries.
   */
  newId(offset: number): number {
    return Math.max(offset, this.#maxId) + 1
  }

  /** The record to write for a schema that is new to its subject. */
  nextVersion(subject: string, schema: string, id: number): SchemaRecord {
    const last = Math.max(0, ...(this.#subjects.get(subject)?.keys() ?? []))
    return { subject, version: last + 1, id, schema, deleted: false }
  }

  hidden(): SchemaRecord[] {
    return [...this.#hidden.values()]
  }
}
