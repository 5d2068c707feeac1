// cli/endpoints: where Postgres, Kafka and ClickHouse are, starting those that the configuration does not name.
// May know: stack, runtime.

import type { KafkaOptions } from '../kafka/cluster.ts'
import type { Config } from '../runtime/config.ts'
import type { Log } from '../runtime/log.ts'
import type { Component } from '../stack/component.ts'
import { up } from '../stack/up.ts'

export interface Services {
  /** Postgres URL. */
  readonly postgres: string
  readonly kafka: Omit<KafkaOptions, 'clientId' | 'log'>
  readonly clickhouse: { readonly url: string; readonly user: string; readonly password: string }
}

/** External endpoints as configured; embedded components are found running or started. @throws {MillraceError} STACK_* */
export async function openServices(config: Config, log: Log, signal: AbortSignal): Promise<Services> {
  const { source, kafka, clickhouse } = config
  const embedded: Component[] = []
  if (source.url === undefined) embedded.push('postgres')
  if (kafka.brokers === undefined) embedded.push('kafka')
  if (clickhouse.url === undefined) embedded.push('clickhouse')
  const started =
    embedded.length === 0 ? {} : await up({ directory: config.directory, log, signal, components: embedded })
  return {
    postgres: source.url ?? started.postgres!,
    kafka: {
      brokers: kafka.brokers ?? [started.kafka!],
      tls: kafka.tls,
      ...(kafka.sasl === undefined ? {} : { sasl: kafka.sasl }),
    },
    clickhouse: { url: clickhouse.url ?? started.clickhouse!, user: clickhouse.user, password: clickhouse.password },
  }
}
