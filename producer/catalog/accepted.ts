// producer/catalog/accepted: what is recorded of a table anew, once its catalog has changed and nothing that is sent of it has.
// Pure.

import type { TableFacts } from '../../postgres/catalog/facts.ts'

/** What the stream itself will stop at stays as it was captured: the columns' names, types and NOT NULL. */
export function acceptFacts(was: TableFacts, is: TableFacts): TableFacts {
  const columns = was.columns.map(column => {
    const now = is.columns.find(({ number }) => number === column.number)
    return now ? { ...column, written: now.written } : column
  })
  return { ...is, schema: was.schema, name: was.name, columns }
}

/** TRUNCATE gives an ordinary table another file every time, which the stream tells; that alone is not worth a record. */
export function isWorthRecording(was: TableFacts, is: TableFacts): boolean {
  return spell(was) !== spell(is)
}

function spell(facts: TableFacts): string {
  if (facts.kind === 'p') return JSON.stringify(facts)
  return JSON.stringify({ ...facts, members: facts.members.map(member => ({ ...member, file: 0 })) })
}
