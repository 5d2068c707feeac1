// kafka/registry: where Avro schemas are kept: in a Confluent-compatible registry, or in a topic in its format.
// May know: kafka/{cluster,registry-http,registry-topic}.

import type { KafkaConnection } from './cluster.ts'
import { HttpRegistry } from './registry-http.ts'
import { openTopicRegistry } from './registry-topic.ts'

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
  /** @throws {MillraceError} SCHEMA_UNKNOWN, REGISTRY_UNREACHABLE, REGISTRY_REFUSED */
  byId(id: number): Promise<string>
  /** Undefined for an unknown subject. @throws {MillraceError} REGISTRY_UNREACHABLE, REGISTRY_REFUSED */
  latest(subject: string): Promise<RegisteredSchema | undefined>
  close(): Promise<void>
}

/** @param url of an external registry, with user and password if it wants them; without it, the topic `_schemas` is used */
export async function openSchemaStore(connection: KafkaConnection, url: string | undefined): Promise<SchemaStore> {
  return url === undefined ? openTopicRegistry(connection) : new HttpRegistry(url)
}
