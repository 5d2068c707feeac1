// producer/catalog/compare-members: compares the files behind a table, and its partitions.
// Pure.

import { tableName } from '../../contract/table.ts'
import type { MemberFacts, TableFacts } from '../../postgres/catalog/facts.ts'
import { quoteTable } from '../../postgres/client/quote.ts'
import { ahead, type Difference, over, type UnclearChange, wrong } from './difference.ts'

export interface MemberComparison {
  readonly differences: Difference[]
  readonly unclear: UnclearChange[]
}

/**
 * @param altered columns that were altered without a change of type; the ALTER TABLE may have given
 *   them other values
 */
export function compareMembers(was: TableFacts, is: TableFacts, altered: readonly string[]): MemberComparison {
  const found: MemberComparison = { differences: [], unclear: [] }
  for (const member of was.members) {
    const now = is.members.find(({ oid }) => oid === member.oid)
    if (now === undefined) {
      found.differences.push(
        over(`its partition ${tableName(member)} was detached or dropped. Its rows stay in ClickHouse.`),
      )
    } else if (now.link !== member.link) {
      const what = `its partition ${tableName(now)} was detached and attached again. What was changed in it meanwhile is not in ClickHouse.`
      found.differences.push(over(what))
    } else if (now.kind === 'r') compareFiles(member, now, { found, altered, isPartition: is.kind === 'p' })
  }
  for (const member of is.members) {
    if (!was.members.some(({ oid }) => oid === member.oid)) lookAtNew(member, is, found)
    const isLogged = member.link === null || (is.kind === 'p' && member.kind === 'r')
    if (isLogged && member.identity !== 'f') found.differences.push(keyOnly(member, is))
  }
  return found
}

interface Files {
  readonly found: MemberComparison
  readonly altered: readonly string[]
  readonly isPartition: boolean
}

/** Where both have a TOAST table, it shows whether ALTER TABLE has rewritten the table. */
function compareFiles(was: MemberFacts, is: MemberFacts, { found, altered, isPartition }: Files): void {
  if (is.persistence === 'u' && was.persistence !== 'u') {
    found.differences.push(wrong(`${tableName(is)} is UNLOGGED now, so that its changes are not in the WAL.`))
  }
  const isExact = was.toast !== 0 && is.toast !== 0
  const hasOtherRows = isExact ? was.toast !== is.toast : was.file !== is.file
  if (hasOtherRows && altered.length > 0) {
    const otherwise = wrong(
      `its rows were rewritten while its columns ${altered.join(', ')} were altered, as by ALTER COLUMN … TYPE … USING. The stream has no row changes for that: ClickHouse keeps the earlier values, and old rows in the stream have the new ones.`,
    )
    if (isExact) found.differences.push(otherwise)
    else found.unclear.push({ kind: 'rewritten', member: is, otherwise })
  } else if (isPartition && was.file !== is.file && !(isExact && was.toast !== is.toast)) {
    const what = `its partition ${tableName(is)} was truncated alone, for which the stream has no row changes. Its rows stay in ClickHouse.`
    found.unclear.push({ kind: 'emptied', member: is, otherwise: over(what) })
  }
}

function lookAtNew(member: MemberFacts, is: TableFacts, { differences, unclear }: MemberComparison): void {
  const name = tableName(member)
  if (is.kind === 'r') {
    differences.push(over(`the table ${name} inherits from it now. Rows of that one are not captured.`))
  } else if (member.kind === 'f') {
    differences.push(over(`its new partition ${name} is a foreign table, whose rows are not captured.`))
  } else if (member.persistence !== 'p') {
    differences.push(over(`its new partition ${name} is unlogged, so that its changes are not in the WAL.`))
  } else if (member.kind === 'r') {
    const what = `the partition ${name} was attached with rows in it. ClickHouse does not have them.`
    unclear.push({ kind: 'attached', member, otherwise: over(what) })
  }
}

function keyOnly(member: MemberFacts, is: TableFacts): Difference {
  const sql = `ALTER TABLE ${quoteTable(member)} REPLICA IDENTITY FULL`
  const which = member.link === null || is.kind === 'r' ? 'it' : `its partition ${tableName(member)}`
  return ahead(
    `${which} does not have REPLICA IDENTITY FULL. The first UPDATE or DELETE there stops the producer for good; before that, run: ${sql}`,
  )
}
