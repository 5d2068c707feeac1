// runtime/config/redact: addresses and configurations without their secrets, for logs and
// terminals.

import type { Config } from './config.ts'
import { settings } from './settings.ts'

const hidden = '***'

/**
 * The address with `***` in place of its password and of every query value that may be a secret.
 */
export function redactUrl(address: string): string {
  if (!URL.canParse(address)) return address.replace(/:\/\/[^@/]*@/, `://${hidden}@`)
  const url = new URL(address)
  if (url.password !== '') url.password = hidden
  for (const name of url.searchParams.keys())
    if (/pass|secret|token|key/i.test(name)) url.searchParams.set(name, hidden)
  return url.toString()
}

/** The configuration with every secret replaced by `***`. */
export function redactConfig(config: Config): Config {
  const copy = structuredClone(config)
  for (const { path, secret, address } of settings) {
    const last = path.at(-1)!
    const section = path
      .slice(0, -1)
      .reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], copy)
    if (typeof section !== 'object' || section === null) continue
    const owner = section as Record<string, unknown>
    const value = owner[last]
    if (typeof value !== 'string' || value === '') continue
    if (secret) owner[last] = hidden
    if (address) owner[last] = redactUrl(value)
  }
  return copy
}
