// modeling/roles: read-only roles of a model: who may read which databases, and how much one query may take.
// Pure: statements and files out, nothing executed.

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
  /** The longest that a query may run, the most memory it may take, the most rows it may return; above, it fails. */
  seconds: count,
  memoryMb: count,
  resultRows: count,
})

/** Names go into SQL and into XML as elements. */
const rolesSchema = z.record(z.string().regex(/^[a-z][a-z0-9_]*$/), roleSchema)

export interface Role extends z.infer<typeof roleSchema> {
  readonly name: string
}

/**
 * Reads `roles.yaml` of the model; none is no role.
 * @throws {MillraceError} CONFIG_INVALID when it is not as described, or a role reads what the model does not publish
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
      next: 'name the databases that each role reads and its limits; see model/sales/roles.yaml for one that works',
      cause: error,
    })
  }
}

/**
 * `readonly = 2` lets a tool change settings of its session, which nearly all do (time limits, formats, null handling), and nothing else;
 * `readonly = 1` refuses that as well. The limits hold whatever a tool sets.
 * @see https://clickhouse.com/docs/operations/settings/permissions-for-queries
 */
function settingsOf({ seconds, memoryMb, resultRows }: Role): Record<string, number> {
  return { max_execution_time: seconds, max_memory_usage: memoryMb * 1024 ** 2, max_result_rows: resultRows }
}

/** Makes the role or brings it to what is described; its members keep it, and never lack a right that it keeps. */
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
 * The same as a file of `users.d`, for servers that keep users in files. A role there has no settings; they are a profile of the same
 * name, which a user names besides.
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
