// producer/context: the connections and settings that all parts of the producer use, for the life
// of the process.

import type { KafkaConnection } from '../kafka/client/cluster.ts'
import type { Fetcher } from '../kafka/consumer/fetcher.ts'
import type { SchemaStore } from '../kafka/registry/registry.ts'
import type { Config } from '../runtime/config/config.ts'
import type { Log } from '../runtime/log.ts'
import type { ProducerProgress } from './progress.ts'

export interface ProducerContext {
  readonly config: Config
  /** Address of the source database. */
  readonly url: string
  readonly kafka: KafkaConnection
  readonly fetcher: Fetcher
  readonly schemas: SchemaStore
  readonly progress: ProducerProgress
  readonly log: Log
  readonly signal: AbortSignal
}
