// test/support/servers/recording-handler: the events of a replication stream, as plain values to
// compare.

import type { PgoutputHandler, Relation } from '../../../postgres/protocol/pgoutput.ts'
import type { Tuple } from '../../../postgres/protocol/tuple.ts'

type Values = readonly (string | null | undefined)[]

export type Recorded =
  | { readonly kind: 'begin'; readonly commitLsn: number; readonly commitTimeUs: number; readonly xid: number }
  | { readonly kind: 'commit'; readonly commitLsn: number; readonly endLsn: number; readonly commitTimeUs: number }
  | { readonly kind: 'relation'; readonly relation: Relation }
  | { readonly kind: 'insert'; readonly table: string; readonly after: Values }
  | {
      readonly kind: 'update'
      readonly table: string
      readonly before: Values | undefined
      readonly keyOnly: boolean
      readonly after: Values
    }
  | { readonly kind: 'delete'; readonly table: string; readonly before: Values; readonly keyOnly: boolean }
  | { readonly kind: 'truncate'; readonly tables: string[]; readonly cascade: boolean; readonly restart: boolean }
  | {
      readonly kind: 'message'
      readonly lsn: number
      readonly transactional: boolean
      readonly prefix: string
      readonly content: string
    }

/** A handler that passes every event on as a value that stays valid. */
export function recordingHandler(record: (event: Recorded) => void): PgoutputHandler {
  return {
    begin: (commitLsn, commitTimeUs, xid) => record({ kind: 'begin', commitLsn, commitTimeUs, xid }),
    commit: (commitLsn, endLsn, commitTimeUs) => record({ kind: 'commit', commitLsn, endLsn, commitTimeUs }),
    relation: relation => record({ kind: 'relation', relation }),
    insert: (relation, after) => record({ kind: 'insert', table: nameOf(relation), after: valuesOf(after) }),
    update: (relation, before, keyOnly, after) =>
      record({
        kind: 'update',
        table: nameOf(relation),
        before: before && valuesOf(before),
        keyOnly,
        after: valuesOf(after),
      }),
    delete: (relation, before, keyOnly) =>
      record({ kind: 'delete', table: nameOf(relation), before: valuesOf(before), keyOnly }),
    truncate: (relations, cascade, restart) =>
      record({ kind: 'truncate', tables: relations.map(nameOf), cascade, restart }),
    message: (lsn, transactional, prefix, content) =>
      record({ kind: 'message', lsn, transactional, prefix, content: content.toString() }),
  }
}

export function valuesOf(tuple: Tuple): Values {
  return Array.from({ length: tuple.count }, (_, column) => tuple.text(column))
}

function nameOf(relation: Relation): string {
  return `${relation.schema}.${relation.name}`
}
