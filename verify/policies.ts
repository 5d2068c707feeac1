// verify/policies: applies the policy of a personal column inside Postgres.
// Shares no code with the producer's masking.

import { createHash } from 'node:crypto'
import type { Client } from 'pg'
import { type Column, type Table, tableName } from '../contract/table.ts'
import type { HashKey } from '../runtime/config/hash-key.ts'
import { MillraceError } from '../runtime/errors.ts'

/** Settings of the session. They keep the key out of the text of statements. */
const settings = { id: 'millrace.hash_id', inner: 'millrace.hash_inner', outer: 'millrace.hash_outer' }
const blockBytes = 64

/** SQL of a column's text after its policy: unchanged, masked or hashed. */
export function applyPolicy(text: string, { policy }: Pick<Column, 'policy'>): string {
  if (policy === 'mask') return masked(text)
  return policy === 'hash' ? hashed(text) : text
}

/**
 * SQL of the text with each word cut to its first character and `***`. ASCII white space is kept.
 */
function masked(text: string): string {
  const space = String.raw`\t\n\v\f\r `
  return `regexp_replace(${text}, '([^${space}])[^${space}]*', '\\1***', 'g')`
}

/**
 * SQL of the text's HMAC-SHA-256. Needs `setHashKey` in the session.
 * @see https://www.rfc-editor.org/rfc/rfc2104
 */
function hashed(text: string): string {
  const pad = (name: string) => `current_setting('${name}')::bytea`
  const inner = `sha256(${pad(settings.inner)} || convert_to(${text}, 'UTF8'))`
  return `current_setting('${settings.id}') || ':' || encode(sha256(${pad(settings.outer)} || ${inner}), 'hex')`
}

/**
 * Sets the hash key in the session, if the table has hashed columns.
 * @throws {MillraceError} HASH_KEY when the table was loaded with another key
 */
export async function setHashKey(client: Client, table: Table, key: () => HashKey): Promise<void> {
  if (table.hashKey === undefined) return
  const { id, name, secret } = key()
  if (name !== table.hashKey) throw otherKey(table, name)
  const bytes: Uint8Array = secret.export()
  const block = Buffer.alloc(blockBytes)
  block.set(bytes.length > blockBytes ? createHash('sha256').update(bytes).digest() : bytes)
  const pad = (byte: number) => `\\x${Buffer.from(block.map(each => each ^ byte)).toString('hex')}`
  const values = { id, inner: pad(0x36), outer: pad(0x5c) }
  for (const part of ['id', 'inner', 'outer'] as const)
    await client.query('SELECT FROM set_config($1, $2, false)', [settings[part], values[part]])
}

function otherKey(table: Table, name: string): MillraceError {
  return new MillraceError('HASH_KEY', {
    what: `the table was hashed with the key ${table.hashKey}, and this configuration has the key ${name}`,
    where: `table ${tableName(table)}`,
    next: 'verify with the configuration and the data directory of the producer',
  })
}
