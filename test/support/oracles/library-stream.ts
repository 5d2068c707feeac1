// test/support/oracles/library-stream: a slot's changes, read and decoded by the library
// pg-logical-replication.
// It shares no code with postgres/, so it is an independent oracle.

import { LogicalReplicationService, type Pgoutput, PgoutputPlugin } from 'pg-logical-replication'
import { until } from '../harness/suite.ts'
import type { TestDatabase } from '../servers/postgres.ts'
import type { Recorded } from '../servers/recording-handler.ts'
import type { Capture } from '../servers/stream.ts'

type Row = Record<string, unknown>

/**
 * The changes of the next transactions, in the shape of millrace's own decoder. Values are text or
 * null.
 */
export async function readWithLibrary(
  db: TestDatabase,
  { slot, publication }: Capture,
  transactions: number,
): Promise<Recorded[][]> {
  const service = new LogicalReplicationService(
    { connectionString: db.url },
    { acknowledge: { auto: false, timeoutSeconds: 0 } },
  )
  const read: Recorded[][] = []
  const failures: Error[] = []
  service.on('error', error => failures.push(error))
  service.on('data', (_lsn, message: Pgoutput.Message) => {
    if (message.tag === 'begin') read.push([])
    const change = changeOf(message)
    if (change !== undefined) read.at(-1)!.push(change)
    if (message.tag === 'commit') committed++
  })
  let committed = 0
  const plugin = new PgoutputPlugin({ protoVersion: 1, publicationNames: [publication] })
  service.subscribe(plugin, slot, '0/0').catch((error: Error) => failures.push(error))
  try {
    await until(
      () => {
        if (failures[0] !== undefined) throw failures[0]
        return committed >= transactions
      },
      { what: `the library has read ${transactions} transactions` },
    )
  } finally {
    await service.destroy()
  }
  return read
}

function changeOf(message: Pgoutput.Message): Recorded | undefined {
  const whole = (row: Row | null) => Object.values(row!).map(value => (value === null ? null : String(value)))
  if (message.tag === 'truncate') {
    const tables = message.relations.map(nameOf)
    return { kind: 'truncate', tables, cascade: message.cascade, restart: message.restartIdentity }
  }
  if (message.tag === 'insert') return { kind: 'insert', table: nameOf(message.relation), after: whole(message.new) }
  if (message.tag === 'delete') {
    return { kind: 'delete', table: nameOf(message.relation), before: whole(message.old), keyOnly: false }
  }
  if (message.tag !== 'update') return undefined
  const images = { before: whole(message.old), keyOnly: false, after: whole(message.new) }
  return { kind: 'update', table: nameOf(message.relation), ...images }
}

function nameOf({ schema, name }: Pgoutput.MessageRelation): string {
  return `${schema}.${name}`
}
