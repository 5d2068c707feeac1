// consumer/insert/view-failure: finds the view that fails, and the record that it fails on.

import { MillraceError } from '../../runtime/errors.ts'
import type { Slice } from '../records/slice.ts'
import { findRefused, type TriedInsert, withTrial } from './trial.ts'

/** How ClickHouse names views in messages. The view that reads the table itself is the last one. */
const viewInMessage = /while pushing to view (?:`((?:\\.|[^`\\])*)`|([^\s.`]+))\.(?:`((?:\\.|[^`\\])*)`|([^\s.`]+))/g

/**
 * The error for a failing view. Rows that the table can store stay in the changelog, where later
 * attempts find them. A failing view never makes a record a dead letter: the record would then be
 * missing in the table and in all other views.
 */
export async function viewFailure(insert: TriedInsert, error: MillraceError): Promise<MillraceError> {
  const { slices, table } = insert
  const names = [...error.message.matchAll(viewInMessage)].map(([, quoted, plain, quotedName, name]) => ({
    database: quoted ?? plain!,
    name: quotedName ?? name!,
  }))
  const view = names.at(-1)
  const record = view && (await failingRecord(insert, view).catch(() => undefined))
  const [first] = names
  return new MillraceError('VIEW_FAILED', {
    what: `${first ? `the view ${first.database}.${first.name}` : 'a view of the model'} fails on ${record ? 'a record' : 'records'} that ${table.topic} holds: ${error.message}`,
    where: (record ? [record] : slices).map(slice => placeOf(table.topic, slice)).join('; '),
    next: 'correct the view in the model so that it accepts every value, then rebuild the tables of the model: millrace reset star; nothing is lost, and nothing is counted twice',
    cause: error,
  })
}

function placeOf(topic: string, { partition, records, from, to }: Slice): string {
  const first = records.offsets[from]
  const last = records.offsets[to - 1]
  return `topic ${topic}, partition ${partition}, ${first === last ? `offset ${first}` : `one of the offsets ${first} to ${last}`}`
}

/**
 * The first record that the view fails on alone; undefined when no record does, such as for a view
 * behind another view.
 */
async function failingRecord(
  insert: TriedInsert,
  view: { readonly database: string; readonly name: string },
): Promise<Slice | undefined> {
  const [row] = await insert.clickhouse.rows<{ as_select: string }>(
    'SELECT as_select FROM system.tables WHERE database = {database:String} AND name = {name:String}',
    view,
  )
  if (row === undefined) return undefined
  const [record] = await withTrial({ ...insert, view: row.as_select }, trial => findRefused(trial, insert.slices, 1))
  return record
}
