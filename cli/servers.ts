// cli/servers: the addresses of Postgres, Kafka and ClickHouse; starts the unconfigured ones.

import type { ClickhouseOptions } from '../clickhouse/client.ts'
import type { KafkaOptions } from '../kafka/client/cluster.ts'
import type { Config } from '../runtime/config/config.ts'
import { readTlsFiles } from '../runtime/config/tls-files.ts'
import { MillraceError } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'
import { type Component, components, type Endpoints } from '../stack/component.ts'
import { up } from '../stack/up.ts'
import type { CommandContext } from './command.ts'

export interface Services {
  /** Postgres URL. */
  readonly postgres: string
  readonly kafka: Omit<KafkaOptions, 'clientId' | 'log'>
  readonly clickhouse: Pick<ClickhouseOptions, 'url' | 'user' | 'password' | 'tls'>
}

/**
 * The configured addresses, or else those of embedded servers, which are started if necessary.
 * @throws {MillraceError} CONFIG_INVALID when the configuration names some of the needed servers
 *   and not the others; STACK_*
 */
export async function resolveServers<Need extends Component>(
  config: Config,
  log: Log,
  signal: AbortSignal,
  needs: readonly Need[],
): Promise<Pick<Services, Need>> {
  const embedded = needs.filter(name => !isExternal(config, name))
  refuseMixture(config, embedded)
  const started =
    embedded.length === 0 ? {} : await up({ directory: config.directory, log, signal, components: embedded })
  return Object.fromEntries(needs.map(name => [name, describe[name](config, started)])) as Pick<Services, Need>
}

export const allComponents = components

const settingOf: Readonly<Record<Component, { readonly key: string; readonly variable: string }>> = {
  postgres: { key: 'source.url', variable: 'MILLRACE_SOURCE_URL' },
  kafka: { key: 'kafka.brokers', variable: 'MILLRACE_KAFKA_BROKERS' },
  clickhouse: { key: 'clickhouse.url', variable: 'MILLRACE_CLICKHOUSE_URL' },
}

/**
 * An embedded server beside a configured one is nearly always a mistake: a variable is missing or
 * empty. The mistake does harm. With an empty Kafka beside a real source, everything is loaded
 * again. An empty ClickHouse behind a real Kafka gets the records that the real ClickHouse then
 * lacks.
 */
function refuseMixture(config: Config, embedded: readonly Component[]): void {
  const named = components.filter(name => isExternal(config, name)).map(name => settingOf[name].key)
  if (named.length === 0 || embedded.length === 0) return
  const missing = embedded.map(name => settingOf[name])
  throw new MillraceError('CONFIG_INVALID', {
    what: `${named.join(' and ')} names a server, but ${missing.map(({ key }) => key).join(' and ')} does not, so an empty one would be started beside it`,
    where: missing
      .map(({ key, variable }) => `${key}, or ${variable} in the environment, where an empty one counts as not set`)
      .join('; '),
    next: `name it too; to try millrace beside a server of your own, start one here and name the address that is printed: millrace up --only ${embedded.join(',')}`,
  })
}

function isExternal({ source, kafka, clickhouse }: Config, name: Component): boolean {
  return { postgres: source.url, kafka: kafka.brokers, clickhouse: clickhouse.url }[name] !== undefined
}

const describe: { [Name in Component]: (config: Config, started: Endpoints) => Services[Name] } = {
  postgres: ({ source }, started) => source.url ?? started.postgres!,
  kafka: ({ kafka: { brokers, tls, insecure, sasl } }, started) => ({
    brokers: brokers ?? [started.kafka!],
    tls: typeof tls === 'object' ? readTlsFiles(tls, 'kafka.tls') : tls,
    insecure,
    ...(sasl === undefined ? {} : { sasl }),
  }),
  clickhouse: ({ clickhouse: { url, user, password, tls } }, started) => ({
    url: url ?? started.clickhouse!,
    user,
    password,
    ...(tls === undefined ? {} : { tls: readTlsFiles(tls, 'clickhouse.tls') }),
  }),
}

/**
 * Address of Postgres. Starts the embedded one if necessary.
 * @throws {MillraceError} as `resolveServers`
 */
export async function sourceUrl({ config, log, lifecycle }: CommandContext): Promise<string> {
  return (await resolveServers(config, log, lifecycle.signal, ['postgres'])).postgres
}
