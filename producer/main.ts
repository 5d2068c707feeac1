// producer/main: starts the producer: connections, the status and registry servers, and the loop.

import { connectKafka, type KafkaConnection, type KafkaOptions } from '../kafka/client/cluster.ts'
import { openFetcher } from '../kafka/consumer/fetcher.ts'
import { openSchemaStore, type SchemaStore } from '../kafka/registry/registry.ts'
import { registryRoutes } from '../kafka/registry/registry-server.ts'
import { TopicRegistry } from '../kafka/registry/topic-registry.ts'
import type { Config } from '../runtime/config/config.ts'
import { flowLimitMs, healthRoutes } from '../runtime/health.ts'
import { serve } from '../runtime/http.ts'
import type { Lifecycle } from '../runtime/lifecycle.ts'
import type { Log } from '../runtime/log.ts'
import { retry } from '../runtime/retry.ts'
import { announce, withdraw } from '../runtime/service-discovery.ts'
import { ProducerProgress } from './progress.ts'
import { runCapture } from './run.ts'

export interface ProducerOptions {
  readonly config: Config
  /** Address of the source database. */
  readonly postgres: string
  readonly kafka: Omit<KafkaOptions, 'clientId' | 'log'>
  readonly log: Log
  readonly lifecycle: Lifecycle
  /** Begin a new generation beside the live one. */
  readonly newGeneration?: boolean
}

/** Captures until asked to stop. @throws {MillraceError} any error that needs an operator */
export async function runProducer(options: ProducerOptions): Promise<void> {
  const { config, postgres, log, lifecycle } = options
  const { signal } = lifecycle
  const progress = new ProducerProgress()
  const limitMs = flowLimitMs(config.source.heartbeatSeconds)
  const http = await serve({
    host: config.http.host,
    port: config.http.producerPort,
    routes: { ...healthRoutes(progress.pulse, () => progress.stopsFlow(limitMs)), '/status': () => progress.status() },
    log,
  })
  lifecycle.opened('status server', () => http.close())
  announce(config.directory, config.name, 'producer', http.url)
  lifecycle.opened('service address', () => withdraw(config.directory, config.name, 'producer'))
  const connect = () => connectKafka({ ...options.kafka, clientId: `${config.name}-producer`, log }, signal)
  const kafka = await progress.pulse.during(retry(connect, { what: 'connect to Kafka', signal, log }))
  lifecycle.opened('kafka', () => kafka.close())
  const schemas = await progress.pulse.during(openSchemas(options, kafka))
  const fetcher = openFetcher(kafka)
  lifecycle.opened('fetcher', () => fetcher.close())
  const context = { config, url: postgres, kafka, fetcher, schemas, progress, log, signal }
  await runCapture(context, options.newGeneration ?? false)
}

/** The schema store. The producer serves the schemas itself when no registry is configured. */
async function openSchemas({ config, log, lifecycle }: ProducerOptions, kafka: KafkaConnection): Promise<SchemaStore> {
  const open = () => openSchemaStore(kafka, config.kafka.registry, lifecycle.signal)
  const schemas = await retry(open, { what: 'open the schemas', signal: lifecycle.signal, log })
  lifecycle.opened('schemas', () => schemas.close())
  if (schemas instanceof TopicRegistry) {
    const { host, registryPort: port } = config.http
    const server = await serve({ host, port, routes: registryRoutes(schemas), log })
    lifecycle.opened('registry server', () => server.close())
    log.info('schemas are served', { url: server.url })
  }
  return schemas
}
