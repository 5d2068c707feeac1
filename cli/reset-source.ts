// cli/reset-source: the schemas that the model's source files create, dropped and created anew.
// May know: postgres, runtime.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { escapeIdentifier } from 'pg'
import { query, withClient } from '../postgres/connect.ts'
import type { Config } from '../runtime/config.ts'
import { MillraceError } from '../runtime/errors.ts'
import type { Log } from '../runtime/log.ts'

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

/** All or nothing; whoever works with the tables is waited for. @throws {MillraceError} POSTGRES_* */
export async function recreateSource(url: string, config: Config, log: Log): Promise<void> {
  const schemas = sourceSchemas(config)
  await withClient(url, async client => {
    await query(client, 'BEGIN')
    for (const schema of schemas) await query(client, `DROP SCHEMA IF EXISTS ${escapeIdentifier(schema)} CASCADE`)
    for (const text of sourceFiles(config.model)) await query(client, text)
    await query(client, 'COMMIT')
  })
  log.info('the source is empty', { schemas: schemas.join(' ') })
}

function sourceFiles(model: string | undefined): string[] {
  const directory = join(model ?? '', 'source')
  if (model === undefined || !existsSync(directory)) return []
  const files = readdirSync(directory).filter(file => file.endsWith('.sql'))
  return files.sort().map(file => readFileSync(join(directory, file), 'utf8'))
}
