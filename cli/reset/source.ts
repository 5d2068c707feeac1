// cli/reset/source: drops the schemas of the model's source files and creates them again.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { query, withClient } from '../../postgres/client/client.ts'
import { quoteName } from '../../postgres/client/quote.ts'
import type { Config } from '../../runtime/config/config.ts'
import { MillraceError } from '../../runtime/errors.ts'

/**
 * Names of the schemas, in the order in which the files create them; never empty.
 * @throws {MillraceError} USAGE for a model without source files: other tables must not be dropped
 */
export function sourceSchemas({ model }: Config): string[] {
  const names = sourceFiles(model).flatMap(text =>
    [...text.matchAll(/^CREATE SCHEMA IF NOT EXISTS (\w+)/gm)].map(([, name]) => name!),
  )
  if (names.length > 0) return names
  throw new MillraceError('USAGE', {
    what: 'the model has no source files, so the source cannot be created again',
    where: model ?? 'model in the configuration',
    next: 'drop and create the tables by your own means, then run: millrace reset topics',
  })
}

/** A longer wait for a lock would delay every session behind it in the queue. */
const lockTimeout = '10s'

/**
 * Runs in one transaction.
 * @param rehearsal rolls back at the end; it shows whether anything refuses
 * @throws {MillraceError} POSTGRES_*; POSTGRES_BUSY while another session uses the tables
 */
export async function recreateSource(
  url: string,
  config: Config,
  { rehearsal }: { rehearsal: boolean },
): Promise<void> {
  const schemas = sourceSchemas(config)
  await withClient(url, async client => {
    await query(client, `BEGIN; SET LOCAL lock_timeout = '${lockTimeout}'`)
    for (const schema of schemas) await query(client, `DROP SCHEMA IF EXISTS ${quoteName(schema)} CASCADE`)
    for (const text of sourceFiles(config.model)) await query(client, text)
    await query(client, rehearsal ? 'ROLLBACK' : 'COMMIT')
  })
}

function sourceFiles(model: string | undefined): string[] {
  const directory = join(model ?? '', 'source')
  if (model === undefined || !existsSync(directory)) return []
  const files = readdirSync(directory).filter(file => file.endsWith('.sql'))
  return files.sort().map(file => readFileSync(join(directory, file), 'utf8'))
}
