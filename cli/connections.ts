// cli/connections: connections to all three servers, for commands that manage generations.

import { type Clickhouse, connectClickhouse } from '../clickhouse/client.ts'
import type { Generation } from '../contract/generation.ts'
import { connectKafka } from '../kafka/client/cluster.ts'
import { openFetcher } from '../kafka/consumer/fetcher.ts'
import { hasGenerations, readGenerations } from '../kafka/generations-topic.ts'
import { openSchemaStore } from '../kafka/registry/registry.ts'
import type { ProducerContext } from '../producer/context.ts'
import { ProducerProgress } from '../producer/progress.ts'
import type { CommandContext } from './command.ts'
import { allComponents, resolveServers, type Services } from './servers.ts'

export interface PipelineConnections extends ProducerContext {
  readonly services: Services
  readonly clickhouse: Clickhouse
}

/** Closed when the command ends. */
export async function openConnections({ config, log, lifecycle }: CommandContext): Promise<PipelineConnections> {
  const services = await resolveServers(config, log, lifecycle.signal, allComponents)
  const kafka = await connectKafka({ ...services.kafka, clientId: `${config.name}-command`, log })
  lifecycle.opened('kafka', () => kafka.close())
  const schemas = await openSchemaStore(kafka, config.kafka.registry)
  lifecycle.opened('schemas', () => schemas.close())
  const fetcher = openFetcher(kafka)
  lifecycle.opened('fetcher', () => fetcher.close())
  const clickhouse = connectClickhouse(services.clickhouse)
  lifecycle.opened('clickhouse', () => clickhouse.close())
  const parts = { config, url: services.postgres, kafka, fetcher, schemas, log, signal: lifecycle.signal }
  return { ...parts, progress: new ProducerProgress(), services, clickhouse }
}

/** Generations by number; empty before the first start of a producer. */
export async function knownGenerations({
  kafka,
  fetcher,
  config,
  signal,
}: Pick<ProducerContext, 'kafka' | 'fetcher' | 'config' | 'signal'>): Promise<Generation[]> {
  if (!(await hasGenerations(kafka, config.name))) return []
  return (await readGenerations(fetcher, config.name, signal)).sort((a, b) => a.number - b.number)
}
