// postgres/preflight/publication-checks: whether the publication can be created, or the existing
// one is enough.

import { tableName } from '../../contract/table.ts'
import type { SourceTable } from '../catalog/catalog.ts'
import { type PublicationFacts, type PublishedRoot, readFacts, readMoment } from '../catalog/facts.ts'
import { type PublicationFault, publicationFaults } from '../catalog/published.ts'
import { query } from '../client/client.ts'
import { quoteName } from '../client/quote.ts'
import { createStatement, publicationOptions, publishedNames } from '../replication/publication.ts'
import type { CheckDefinition } from './check.ts'
import { currentRole } from './rights.ts'
import { among, capturable } from './table-checks.ts'

export const rightToPublish: CheckDefinition = {
  name: 'right to publish',
  why: 'only a role that owns the tables and may create in the database can create a publication',
  async run({ tables, client }) {
    const foreign = await among(client, capturable(tables), `NOT pg_has_role(relowner, 'USAGE')`)
    const [database] = await query<{ name: string; allowed: boolean }>(
      client,
      `SELECT current_database() AS name, has_database_privilege(current_database(), 'CREATE') AS allowed`,
    )
    const { name, allowed } = database!
    const faults = [...foreign.map(tableName), ...(allowed ? [] : [`database ${name}`])]
    if (faults.length === 0) return { state: 'pass', found: `${tables.length} tables` }
    const role = await currentRole(client)
    const grant = `have a superuser run GRANT CREATE ON DATABASE ${quoteName(name)} TO ${role}, and make ${role} a member of the tables' owners`
    const fix = `${grant}; or have a publication created, and name it as source.publication`
    return { state: 'fail', found: faults.join(', '), fix }
  },
}

/**
 * millrace does not repair this publication itself: it may serve other subscribers, and it has
 * another owner.
 */
export function existingPublication(name: string): CheckDefinition {
  return {
    name: 'publication',
    why: 'source.publication names it, and only its tables and operations are sent',
    async run({ tables, client }) {
      const wanted = capturable(tables)
      const { version, publication } = await readMoment(client, name)
      if (publication === undefined) {
        const statement = wanted.length === 0 ? [] : [createStatement(name, wanted, version)]
        return { state: 'fail', found: `there is no publication ${name}`, fix: ask(statement) }
      }
      const oids = wanted.map(({ oid }) => oid)
      const facts = await readFacts(client, oids, { version, publication: publication.oid })
      const faulty = wanted.flatMap((table): FaultyTable[] => {
        const found = facts.get(table.oid)
        const faults = found ? publicationFaults(found) : []
        return faults.length === 0 ? [] : [{ table, faults, roots: found!.publishedRoots }]
      })
      const { lacking } = publication
      if (lacking.length + faulty.length === 0) return { state: 'pass', found: `${name}, ${wanted.length} tables` }
      const found = [
        ...(lacking.length === 0 ? [] : [`it lacks ${lacking.join(', ')}.`]),
        ...faulty.flatMap(({ table, faults }) => faults.map(({ what }) => `${tableName(table)}: ${what}`)),
      ]
      const fix = ask(repairs({ name, version, publication, wanted, faulty }))
      return { state: 'fail', found: `${name}: ${found.join(' ')}`, fix }
    },
  }
}

interface FaultyTable {
  readonly table: SourceTable
  readonly faults: readonly PublicationFault[]
  readonly roots: readonly PublishedRoot[]
}

interface Faulty {
  readonly name: string
  readonly version: number
  readonly publication: PublicationFacts
  readonly wanted: readonly SourceTable[]
  readonly faulty: readonly FaultyTable[]
}

/**
 * SQL that repairs the publication, in this order. A table that is published by its schema or by
 * FOR ALL TABLES can only be excluded from a new publication.
 */
function repairs({ name, version, publication, wanted, faulty }: Faulty): string[] {
  const quoted = quoteName(name)
  const having = (...kinds: readonly PublicationFault['kind'][]) =>
    faulty.filter(({ faults }) => faults.some(({ kind }) => kinds.includes(kind))).map(({ table }) => table)
  const roots = faulty.flatMap(each => each.roots)
  if (roots.some(({ listed }) => !listed)) {
    return [`DROP PUBLICATION ${quoted}`, createStatement(name, wanted, version)]
  }
  const leaving = [
    ...new Set(roots.map(root => publishedNames([{ ...root, kind: 'p' }]))),
    ...having('filtered', 'someColumns').map(table => publishedNames([table])),
  ]
  const coming = having('absent', 'filtered', 'someColumns')
  return [
    ...(publication.lacking.length > 0 ? [`ALTER PUBLICATION ${quoted} SET (${publicationOptions(version)})`] : []),
    ...(leaving.length > 0 ? [`ALTER PUBLICATION ${quoted} DROP TABLE ${leaving.join(', ')}`] : []),
    ...(coming.length > 0 ? [`ALTER PUBLICATION ${quoted} ADD TABLE ${publishedNames(coming)}`] : []),
  ]
}

function ask(statements: readonly string[]): string {
  if (statements.length === 0) return 'name at least one table that exists under `tables`'
  return `have a superuser, or the owner of the publication and its tables, run ${statements.join('; ')}`
}
