// runtime/config/checks: faults that concern more than one value: named files, names of
// publications, insecure connections.

import type { z } from 'zod'
import type { Environment } from './file.ts'
import { type Endpoint, httpEndpoint, kafkaEndpoint, postgresEndpoint } from './insecure.ts'
import type { Fault } from './issue.ts'
import type { configSchema } from './schema.ts'
import { settings } from './settings.ts'
import { inspectTlsFiles } from './tls-files.ts'

type Config = z.output<typeof configSchema>

/** Every fault of a configuration whose single values are valid and whose paths are absolute. */
export function checkTogether(config: Config, env: Environment): Fault[] {
  return [...publicationFaults(config), ...tlsFaults(config), ...exposures(config, env)]
}

/**
 * A publication that has the name of a generation's own one, but not its owner mark, counts as
 * another pipeline's.
 */
function publicationFaults({ name, source: { publication } }: Config): Fault[] {
  if (publication === undefined || !new RegExp(`^${name}_\\d+$`).test(publication)) return []
  const text = `has the form of the names that this pipeline gives to publications of its own, such as ${name}_1; give it another one`
  return [{ path: ['source', 'publication'], atKey: false, text }]
}

function tlsFaults({ source, kafka, clickhouse }: Config): Fault[] {
  const inSection = (path: readonly string[], files: Parameters<typeof inspectTlsFiles>[0]) =>
    inspectTlsFiles(files).faults.map(({ file, text }) => ({ path: [...path, file], atKey: false, text }))
  const parameters = source.url === undefined ? undefined : new URL(source.url).searchParams
  const ofPostgres = {
    ca: parameters?.get('sslrootcert') || undefined,
    cert: parameters?.get('sslcert') || undefined,
    key: parameters?.get('sslkey') || undefined,
  }
  return [
    ...inspectTlsFiles(ofPostgres).faults.map(({ text }) => ({ path: ['source', 'url'], atKey: false, text })),
    ...(typeof kafka.tls === 'object' ? inSection(['kafka', 'tls'], kafka.tls) : []),
    ...(clickhouse.tls === undefined ? [] : inSection(['clickhouse', 'tls'], clickhouse.tls)),
    ...(clickhouse.tls === undefined || clickhouse.url?.startsWith('https:')
      ? []
      : [{ path: ['clickhouse', 'tls'], atKey: true, text: 'is for an https address under clickhouse.url only' }]),
  ]
}

function exposures({ source, kafka, clickhouse }: Config, env: Environment): Fault[] {
  const faults: Fault[] = []
  const judge = (path: readonly [string, string], endpoint: Endpoint | undefined, encrypt: string) => {
    if (endpoint?.exposure === undefined) return
    const isPlain = endpoint.exposure === 'plain'
    const what = isPlain ? 'everything would go unencrypted to' : 'nobody would verify who answers as'
    const remedy = isPlain || !env.NODE_TLS_REJECT_UNAUTHORIZED ? encrypt : 'unset NODE_TLS_REJECT_UNAUTHORIZED'
    const consent = settings.find(({ key }) => key === `${path[0]}.insecure`)!
    const allow = `allow it where the network is trusted: ${consent.key}: true (${consent.variable}=true)`
    faults.push({ path, atKey: false, text: `${what} ${endpoint.host}; ${remedy}, or ${allow}` })
  }
  if (source.url !== undefined && !source.insecure)
    judge(['source', 'url'], postgresEndpoint(source.url, env), 'add sslmode=verify-full to the address')
  if (kafka.brokers !== undefined && !kafka.insecure)
    judge(['kafka', 'brokers'], kafkaEndpoint(kafka.brokers, kafka.tls !== false, env), 'set kafka.tls: true')
  if (kafka.registry !== undefined && !kafka.insecure)
    judge(['kafka', 'registry'], httpEndpoint(kafka.registry, env), 'write https://')
  if (clickhouse.url !== undefined && !clickhouse.insecure)
    judge(['clickhouse', 'url'], httpEndpoint(clickhouse.url, env), 'write https://')
  return faults
}
