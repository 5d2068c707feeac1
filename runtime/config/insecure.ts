// runtime/config/insecure: connections to other machines that are not encrypted, or whose
// certificate is not verified.

import type { Environment } from './file.ts'

/**
 * `plain`: not encrypted. `unverified`: encrypted, but the server's certificate is not verified.
 */
type Exposure = 'plain' | 'unverified'

export interface Endpoint {
  readonly host: string
  readonly exposure: Exposure | undefined
}

/** `localhost` and its subdomains, 127.0.0.0/8, ::1, and the path of a Unix socket. */
export function isLoopback(host: string): boolean {
  return /^(\/|(.*\.)?localhost\.?$|127\.\d+\.\d+\.\d+$|\[?::1\]?$|\[?::ffff:127\.)/i.test(host)
}

/**
 * Where the driver connects to, and how, by its own rules: `sslmode` and similar parameters of the
 * address take precedence over `PGSSLMODE`, and a host in the address over `PGHOST`. A test
 * compares this with the driver.
 * @see https://node-postgres.com/features/ssl
 */
export function postgresEndpoint(url: string, env: Environment): Endpoint {
  const { hostname, searchParams } = new URL(url)
  const host =
    searchParams.get('host') || decodeURIComponent(hostname).replace(/^\[|\]$/g, '') || env.PGHOST || 'localhost'
  return { host, exposure: isLoopback(host) ? undefined : verified(postgresTls(searchParams, env), env) }
}

/** The host of an http or https address, and how it is protected. */
export function httpEndpoint(url: string, env: Environment): Endpoint {
  const { hostname, protocol } = new URL(url)
  const exposure = protocol === 'https:' ? undefined : 'plain'
  return { host: hostname, exposure: isLoopback(hostname) ? undefined : verified(exposure, env) }
}

/** The first broker, `host:port`, on another machine, and how its connection is protected. */
export function kafkaEndpoint(brokers: readonly string[], tls: boolean, env: Environment): Endpoint | undefined {
  const host = brokers.map(broker => broker.slice(0, broker.lastIndexOf(':'))).find(each => !isLoopback(each))
  return host === undefined ? undefined : { host, exposure: verified(tls ? undefined : 'plain', env) }
}

/** Node's own variable turns verification off for every connection of the process. */
function verified(exposure: Exposure | undefined, env: Environment): Exposure | undefined {
  return exposure ?? (env.NODE_TLS_REJECT_UNAUTHORIZED === '0' ? 'unverified' : undefined)
}

/** The driver treats every other mode of an address as verify-full. */
const urlModes: ReadonlyMap<string | null, Exposure> = new Map([
  ['disable', 'plain'],
  ['no-verify', 'unverified'],
])

/**
 * libpq's modes below verify-ca verify nothing. verify-ca does not compare host names, so it trusts
 * every server of its CA.
 */
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
