// postgres/catalog/published: why a publication sends a table's changes incompletely or under
// another name.
// Pure.

import { tableName } from '../../contract/table.ts'
import type { TableFacts } from './facts.ts'

export interface PublicationFault {
  readonly kind: 'absent' | 'filtered' | 'someColumns' | 'underRoot'
  /** Sentences, the first without a capital: the fault, and its effect. */
  readonly what: string
}

/** All faults of the table, at most one of each kind. */
export function publicationFaults({ published, publishedRoots }: TableFacts): PublicationFault[] {
  const faults: PublicationFault[] = []
  if (published === undefined) {
    faults.push({ kind: 'absent', what: 'it is not in the publication. Its changes are not sent.' })
  }
  if (published?.filtered) {
    const what = 'it has a row filter in the publication. Changes that the filter excludes are lost.'
    faults.push({ kind: 'filtered', what })
  }
  if (published?.someColumns) {
    const what = 'it has a column list in the publication. Values of the other columns are lost.'
    faults.push({ kind: 'someColumns', what })
  }
  if (publishedRoots.length > 0) {
    const roots = publishedRoots.map(tableName).join(' and ')
    const what = `${roots} is in the publication too. Changes of this partition are sent under that name.`
    faults.push({ kind: 'underRoot', what })
  }
  return faults
}
