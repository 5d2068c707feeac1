// cli/endpoints: where Postgres, Kafka and ClickHouse are, starting those that the configuration does not name.
// May know: stack, runtime.

import type { KafkaOptions } from '../kafka/cluster.ts'
import type { Config } from '../runtime/config.ts'
import type { Log } from '../runtime/log.ts'
import { type Component, components, type Endpoints } from '../stack/component.ts'
import { up } from '../stack/up.ts'

export interface Services {
  /** Postgres URL. */
  readonly postgres: string
  readonly kafka: Omit<KafkaOptions, 'clientId' | 'log'>
  readonly clickhouse: { readonly url: string; readonly user: string; readonly password: string }
}

/**
 * External endpoints as configured; embedded components, of those that are needed, are found running or started.
 * @throws {MillraceError} STACK_*
 */
export async function openServices<Need extends Component>(
  config: Config,
  log: Log,
  signal: AbortSignal,
  needs: readonly Need[],
): Promise<Pick<Services, Need>> {
  const embedded = needs.filter(name => !isExternal(config, name))
  const started =
    embedded.length === 0 ? {} : await up({ directory: config.directory, log, signal, components: embedded })
  return Object.fromEntries(needs.map(name => [name, describe[name](config, started)])) as Pick<Services, Need>
}

export const everything = components

function isExternal({ source, kafka, clickhouse }: Config, name: Component): boolean {
  return { postgres: source.url, kafka: kafka.brokers, clickhouse: clickhouse.url }[name] !== undefined
}

const describe: { [Name in Component]: (config: Config, started: Endpoints) => Services[Name] } = {
  postgres: ({ source }, started) => source.url ?? started.postgres!,
  kafka: ({ kafka: { brokers, tls, sasl } }, started) => ({
    brokers: brokers ?? [started.kafka!],
    tls,
    ...(sasl === undefined ? {} : { sasl }),
  }),
  clickhouse: ({ clickhouse: { url, user, password } }, started) => ({
    url: url ?? started.clickhouse!,
    user,
    password,
  }),
}
