// modeling/roles: read-only roles of a model: the databases that a role reads, and the limits of
// its queries.
// Pure: returns statements and files, and runs nothing.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { z } from 'zod'
import { quoteName } from '../clickhouse/quote.ts'
import { MillraceError } from '../runtime/errors.ts'
import type { Model } from './model.ts'

const count = z.int().min(1)

const roleSchema = z.strictObject({
  /** Published databases. */
  reads: z.array(z.string()).min(1),
  /**
   * Limits of one query: its time, its memory, and the rows of its result. Above a limit the query
   * fails.
   */
  seconds: count,
  memoryMb: count,
  resultRows: count,
})

/** Names of roles are identifiers in SQL and elements in XML. */
const rolesSchema = z.record(z.string().regex(/^[a-z][a-z0-9_]*$/), roleSchema)

export interface Role extends z.infer<typeof roleSchema> {
  readonly name: string
}

/**
 * Reads `roles.yaml` of the model. Without the file, there are no roles.
 * @throws {MillraceError} CONFIG_INVALID for an invalid file, or a role that reads a database that
 *   the model does not publish
 */
export function loadRoles({ directory, publish }: Pick<Model, 'directory' | 'publish'>): Role[] {
  const file = join(directory, 'roles.yaml')
  if (!existsSync(file)) return []
  const published = new Set(publish.map(({ database }) => database))
  try {
    const roles = Object.entries(rolesSchema.parse(parse(readFileSync(file, 'utf8'))))
    const unknown = roles.flatMap(([, { reads }]) => reads).find(database => !published.has(database))
    if (unknown !== undefined) throw new Error(`the model publishes nothing in ${unknown}`)
    return roles.map(([name, role]) => ({ name, ...role }))
  } catch (error) {
    throw new MillraceError('CONFIG_INVALID', {
      what: `the roles cannot be read: ${error instanceof Error ? error.message : String(error)}`,
      where: file,
      next: 'name the databases that each role reads and its limits; see model/sales/roles.yaml for an example',
      cause: error,
    })
  }
}

/**
 * `readonly = 2` lets a tool change only settings of its session, which nearly all tools do (time
 * limits, formats, null handling). `readonly = 1` refuses that as well. A tool cannot raise the
 * limits.
 * @see https://clickhouse.com/docs/operations/settings/permissions-for-queries
 */
function settingsOf({ seconds, memoryMb, resultRows }: Role): Record<string, number> {
  return { max_execution_time: seconds, max_memory_usage: memoryMb * 1024 ** 2, max_result_rows: resultRows }
}

/** Creates or updates the role. Its members keep the role, and lose no right during an update. */
export function roleStatements(role: Role): string[] {
  const name = quoteName(role.name)
  const limits = Object.entries(settingsOf(role)).map(([setting, limit]) => `${setting} = ${limit} MAX ${limit}`)
  const grants = role.reads.map(database => `SELECT ON ${quoteName(database)}.*`)
  return [
    `CREATE ROLE IF NOT EXISTS ${name}`,
    `ALTER ROLE ${name} SETTINGS readonly = 2 CONST, ${limits.join(', ')}`,
    `GRANT ${grants.join(', ')} TO ${name} WITH REPLACE OPTION`,
  ]
}

/**
 * The same roles as a file of `users.d`, for servers that define users in files. A role in a file
 * has no settings, so the settings are a profile of the same name. A user names both.
 * @see https://clickhouse.com/docs/operations/settings/settings-users
 */
export function rolesFile(roles: readonly Role[]): string {
  return `<clickhouse>
  <profiles>
${roles.map(profileElement).join('\n')}
  </profiles>
  <roles>
${roles.map(roleElement).join('\n')}
  </roles>
</clickhouse>
`
}

function profileElement(role: Role): string {
  const limits = Object.entries(settingsOf(role))
  const values = limits.map(([setting, limit]) => `      <${setting}>${limit}</${setting}>`)
  const bounds = limits.map(([setting, limit]) => `        <${setting}><max>${limit}</max></${setting}>`)
  return `    <${role.name}>
      <readonly>2</readonly>
${values.join('\n')}
      <constraints>
        <readonly><const/></readonly>
${bounds.join('\n')}
      </constraints>
    </${role.name}>`
}

function roleElement({ name, reads }: Role): string {
  const grants = reads.map(database => `<query>GRANT SELECT ON ${quoteName(database)}.*</query>`)
  return `    <${name}><grants>${grants.join('')}</grants></${name}>`
}
