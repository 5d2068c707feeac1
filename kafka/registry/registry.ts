// kafka/registry/registry: where Avro schemas are kept: in a Confluent-compatible registry, or in a
// topic in its format.

import type { KafkaConnection } from '../client/cluster.ts'
import { HttpRegistry } from './http-registry.ts'
import type { SchemaStore } from './schema-store.ts'
import { openTopicRegistry } from './topic-registry.ts'

export type { SchemaStore } from './schema-store.ts'

/**
 * @param url of an external registry, with user and password if it wants them; without it, the
 *   topic `_schemas` is used
 */
export async function openSchemaStore(
  connection: KafkaConnection,
  url: string | undefined,
  signal?: AbortSignal,
): Promise<SchemaStore> {
  return url === undefined ? openTopicRegistry(connection, signal) : new HttpRegistry(url)
}
