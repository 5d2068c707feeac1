// kafka/schema-catalog: the schemas told by the records of a `_schemas` topic, in its registry's own format.
// May know: kafka/registry (types). Pure; every reader of the same records comes to the same catalog.

import type { RegisteredSchema } from './registry.ts'

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

/**
 * Two writers that race take the same next id. The first record in the topic has it; a later one with another schema is void,
 * which its writer finds by reading back. When both also took the same version of one subject, compaction would keep the void
 * record and drop the valid one, so the valid one is listed in `overwritten` for whoever writes next to repeat it.
 */
export class SchemaCatalog {
  readonly #byId = new Map<number, string>()
  readonly #ids = new Map<string, number>()
  readonly #subjects = new Map<string, Map<number, SchemaRecord>>()
  readonly #overwritten = new Map<string, SchemaRecord>()
  #maxId = 0

  /** Takes the topic's next record; kinds other than schemas, such as NOOP and CONFIG, are passed over. */
  apply(key: string | null, value: string | null): void {
    if (key === null) return
    const { keytype, subject, version } = JSON.parse(key) as { keytype: string; subject: string; version: number }
    if (keytype !== 'SCHEMA') return
    const live = this.#subjects.get(subject)?.get(version)
    if (value === null) {
      this.#subjects.get(subject)?.delete(version)
      this.#overwritten.delete(key)
      return
    }
    const record = JSON.parse(value) as SchemaRecord
    this.#maxId = Math.max(this.#maxId, record.id)
    const isVoid = (this.#byId.get(record.id) ?? record.schema) !== record.schema
    if (isVoid) {
      if (live) this.#overwritten.set(key, live)
      return
    }
    this.#overwritten.delete(key)
    this.#byId.set(record.id, record.schema)
    if (!this.#ids.has(record.schema)) this.#ids.set(record.schema, record.id)
    const versions = this.#subjects.get(subject) ?? new Map<number, SchemaRecord>()
    this.#subjects.set(subject, versions.set(version, record))
  }

  byId(id: number): string | undefined {
    return this.#byId.get(id)
  }

  subjects(): string[] {
    return [...this.#subjects.keys()].filter(subject => this.versions(subject).length > 0).sort()
  }

  /** Ascending, deleted ones left out. */
  versions(subject: string): RegisteredSchema[] {
    return [...(this.#subjects.get(subject)?.values() ?? [])]
      .filter(({ deleted }) => deleted !== true)
      .sort((a, b) => a.version - b.version)
      .map(({ id, version, schema }) => ({ id, version, schema }))
  }

  /** The version of a subject that has this schema. */
  find(subject: string, schema: string): RegisteredSchema | undefined {
    return this.versions(subject).find(version => version.schema === schema)
  }

  /** The record to write for a schema that is new to its subject. */
  next(subject: string, schema: string): SchemaRecord {
    const last = Math.max(0, ...(this.#subjects.get(subject)?.keys() ?? []))
    const id = this.#ids.get(schema) ?? this.#maxId + 1
    return { subject, version: last + 1, id, schema, deleted: false }
  }

  overwritten(): SchemaRecord[] {
    return [...this.#overwritten.values()]
  }
}
