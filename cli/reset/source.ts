// cli/reset/source: the schemas that the model's source files create, dropped and created anew.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { query, withClient } from '../../postgres/client/client.ts'
import { quoteName } from '../../postgres/client/quote.ts'
import type { Config } from '../../runtime/config/config.ts'
import { MillraceError } from '../../runtime/errors.ts'

/**
 * Names of the schemas, in the order in which the files create them; never empty.
 * @throws {MillraceError} USAGE for a model that has no source files: what others have made is not ours to drop
 */
export function sourceSchemas({ model }: Config): string[] {
  const names = sourceFiles(model).flatMap(text =>
    [...text.matchAll(/^CREATE SCHEMA IF NOT EXISTS (\w+)/gm)].map(([, name]) => name!),
  )
  if (names.length > 0) return names
  throw new MillraceError('USAGE', {
    what: 'the source was not made by a model, so it cannot be made anew',
    where: model ?? 'model in the configuration',
    next: 'drop and create its tables by the means that made them, then run: millrace reset topics',
  })
}

/** Longer waits for a lock would hold up everyone who comes after in the queue. */
const lockTimeout = '10s'

/**
 * All or nothing.
 * @param rehearsal undoes it at the end: whatever could refuse has been asked then
 * @throws {MillraceError} POSTGRES_*; POSTGRES_BUSY while somebody works with the tables
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
