// kafka/registry/schema-store: what every registry of schemas can do, wherever it keeps them.

export interface RegisteredSchema {
  /** The number in every record's wire header; the same for the same text. */
  readonly id: number
  /** Within its subject, from 1. */
  readonly version: number
  /** Avro schema as JSON. */
  readonly schema: string
}

export interface SchemaStore {
  /**
   * Registers under `<topic>-key` or `<topic>-value`, unless it is there already, and gives the id.
   * @throws {MillraceError} REGISTRY_UNREACHABLE, REGISTRY_REFUSED
   */
  register(subject: string, schema: string): Promise<number>
  /** Undefined for an unknown id. @throws {MillraceError} REGISTRY_UNREACHABLE, REGISTRY_REFUSED */
  byId(id: number): Promise<string | undefined>
  /**
   * Undefined for an unknown subject.
   * @throws {MillraceError} REGISTRY_UNREACHABLE, REGISTRY_REFUSED
   */
  latest(subject: string): Promise<RegisteredSchema | undefined>
  /** The same for many, in their order. */
  latestOf(subjects: readonly string[]): Promise<(RegisteredSchema | undefined)[]>
  close(): Promise<void>
}
