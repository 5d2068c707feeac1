// producer/catalog/difference: differences between a captured table and its record, and their
// errors.

import type { MemberFacts, PublicationFacts } from '../../postgres/catalog/facts.ts'
import { MillraceError } from '../../runtime/errors.ts'

export interface Difference {
  /**
   * `wrong`: from the change on, the stream is wrong or incomplete, and it is not known where.
   * `over`: everything committed before the change is still right, and can be sent first. `ahead`:
   * nothing is wrong yet, and the stream itself stops before something is.
   */
  readonly effect: 'wrong' | 'over' | 'ahead'
  /**
   * Sentences, the first without a capital: the earlier and the present state, and the effect
   * downstream.
   */
  readonly what: string
  /** The table is unchanged. The publication sends it differently. */
  readonly isOfPublication?: true
}

/**
 * A difference that depends on the rows of a member, which the catalog does not show. `rewritten`:
 * either ALTER TABLE gave the rows other values, or VACUUM FULL only moved them. `emptied`: perhaps
 * this partition alone was truncated. `attached`: perhaps the new partition already had rows.
 */
export interface UnclearChange {
  readonly kind: 'rewritten' | 'emptied' | 'attached'
  readonly member: MemberFacts
  /** The difference, unless the rows disprove it. */
  readonly otherwise: Difference
}

export const wrong = (what: string): Difference => ({ effect: 'wrong', what })
export const over = (what: string): Difference => ({ effect: 'over', what })
export const ahead = (what: string): Difference => ({ effect: 'ahead', what })

export interface Found {
  /** `schema.name` when the table was captured. */
  readonly table: string
  readonly differences: readonly Difference[]
}

const shownTables = 20

/** Changes that were not sent are lost, even if the table is changed back. */
const loadAnew =
  'changing it back does not recover the changes that were not sent; load the present state beside this generation: millrace producer --new-generation'

/**
 * @throws {MillraceError} SCHEMA_CHANGED, or GENERATION_CHANGED where only the publication differs
 */
export function mismatch(found: readonly Found[]): MillraceError {
  const lines = found.map(({ table, differences }) => `${table}: ${sentences(differences)}`)
  const more = lines.length - shownTables
  if (more > 0) lines.splice(shownTables, more, `and ${more} more tables`)
  const isOfPublication = found.every(({ differences }) => differences.every(each => each.isOfPublication === true))
  const [first] = found
  return new MillraceError(isOfPublication ? 'GENERATION_CHANGED' : 'SCHEMA_CHANGED', {
    what: lines.join('\n  '),
    where: found.length === 1 ? `table ${first!.table}` : `${found.length} tables`,
    next: loadAnew,
  })
}

/** Several partitions may have the same sentence. */
function sentences(differences: readonly Difference[]): string {
  return [...new Set(differences.map(({ what }) => what))].join(' ')
}

/**
 * @throws {MillraceError} PUBLICATION_MISSING; GENERATION_CHANGED when the publication sends less
 *   than when the generation began
 */
export function requireSamePublication(name: string, was: PublicationFacts, is: PublicationFacts | undefined): void {
  const where = `publication ${name}`
  if (is?.oid !== was.oid) {
    const what = is
      ? 'the publication was dropped and made again. Changes in between are lost.'
      : 'the publication was dropped or renamed. Changes since then are not sent.'
    throw new MillraceError('PUBLICATION_MISSING', { what, where, next: loadAnew })
  }
  if (is.lacking.length > 0) {
    const what = `the publication was altered: it no longer sends inserts, updates, deletes and truncates, all of them through the root. It lacks: ${is.lacking.join(', ')}.`
    throw new MillraceError('GENERATION_CHANGED', { what, where, next: loadAnew })
  }
  if (is.written !== was.written && is.owner === was.owner) {
    const what = 'the publication was altered, and altered back. Changes in between may be lost.'
    throw new MillraceError('GENERATION_CHANGED', { what, where, next: loadAnew })
  }
}
