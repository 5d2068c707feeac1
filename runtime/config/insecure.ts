// runtime/config/insecure: which connections would leave this machine unencrypted, or to somebody whose certificate is not verified.

import type { Environment } from './file.ts'

/** `plain`: nothing is encrypted. `unverified`: encrypted, but whoever answers is believed. */
type Exposure = 'plain' | 'unverified'

export interface Endpoint {
  readonly host: string
  readonly exposure: Exposure | undefined
}

/** `localhost` and what ends in it, 127.0.0.0/8, ::1, and the path of a Unix socket. */
export function isLoopback(host: string): boolean {
  return /^(\/|(.*\.)?localhost\.?$|127\.\d+\.\d+\.\d+$|\[?::1\]?$|\[?::ffff:127\.)/i.test(host)
}

/**
 * Where the driver connects to, and how, by its own rules: `sslmode` and its like in the address count over `PGSSLMODE`, a host in
 * the address over `PGHOST`. A test holds this against the driver.
 * @see https://node-postgres.com/features/ssl
 */
export function postgresEndpoint(url: string, env: Environment): Endpoint {
  const { hostname, searchParams } = new URL(url)
  const host =
    searchParams.get('host') || decodeURIComponent(hostname).replace(/^\[|\]$/g, '') || env.PGHOST || 'localhost'
  return { host, exposure: isLoopback(host) ? undefined : verified(postgresTls(searchParams, env), env) }
}

/** Where an http or https address leads to, and how. */
export function httpEndpoint(url: string, env: Environment): Endpoint {
  const { hostname, protocol } = new URL(url)
  const exposure = protocol === 'https:' ? undefined : 'plain'
  return { host: hostname, exposure: isLoopback(hostname) ? undefined : verified(exposure, env) }
}

/** The first broker, `host:port`, that is talked to over the network, and how. */
export function kafkaEndpoint(brokers: readonly string[], tls: boolean, env: Environment): Endpoint | undefined {
  const host = brokers.map(broker => broker.slice(0, broker.lastIndexOf(':'))).find(each => !isLoopback(each))
  return host === undefined ? undefined : { host, exposure: verified(tls ? undefined : 'plain', env) }
}

/** Node's own switch turns verification off for every connection of the process. */
function verified(exposure: Exposure | undefined, env: Environment): Exposure | undefined {
  return exposure ?? (env.NODE_TLS_REJECT_UNAUTHORIZED === '0' ? 'unverified' : undefined)
}

/** The driver takes every other mode of an address for verify-full. */
const urlModes: ReadonlyMap<string | null, Exposure> = new Map([
  ['disable', 'plain'],
  ['no-verify', 'unverified'],
])

/** libpq's modes verify nothing below verify-ca, which does not compare names and so trusts every server of its authority. */
const libpqModes: ReadonlyMap<string | null, Exposure> = new Map([
  ['disable', 'plain'],
  ['prefer', 'unverified'],
  ['require', 'unverified'],
  ['verify-ca', 'unverified'],
])

function postgresTls(parameters: URLSearchParams, env: Environment): Exposure | undefined {
  const mode = parameters.get('sslmode')
  const hasFiles = ['sslcert', 'sslkey', 'sslrootcert'].some(name => parameters.get(name))
  if (mode || hasFiles) return (parameters.get('uselibpqcompat') === 'true' ? libpqModes : urlModes).get(mode)
  const ssl = parameters.get('ssl')
  if (ssl !== null) return ssl === 'true' || ssl === '1' ? undefined : ssl === 'no-verify' ? 'unverified' : 'plain'
  if (parameters.get('sslnegotiation') === 'direct') return undefined
  if (env.PGSSLMODE === 'no-verify') return 'unverified'
  return ['prefer', 'require', 'verify-ca', 'verify-full'].includes(env.PGSSLMODE ?? '') ? undefined : 'plain'
}
