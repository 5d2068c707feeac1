// test/service/batches.test: a batch that is tried on a copy of its table, and a batch that is
// recovered.

import type { Clickhouse } from '../../clickhouse/client.ts'
import { tableStatements, tokenSettings } from '../../clickhouse/ddl.ts'
import { type Inserter, insertSlices } from '../../consumer/insert/insert.ts'
import { isolate } from '../../consumer/insert/isolate.ts'
import { recoverSlices } from '../../consumer/insert/recover.ts'
import { firstSlice, type Slice } from '../../consumer/records/slice.ts'
import { TargetTable } from '../../consumer/records/tables.ts'
import { AvroWriter } from '../../contract/avro-writer.ts'
import { Encoder } from '../../contract/encode.ts'
import { valueSchema } from '../../contract/schema.ts'
import type { Table } from '../../contract/table.ts'
import { textRow } from '../support/fixtures/text-row.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { createWarehouse } from '../support/servers/clickhouse.ts'
import { uniqueName } from '../support/servers/postgres.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const test = suite('batches')

const table: Table = {
  schema: 'public',
  name: 'notes',
  columns: [
    { name: 'id', pgType: 'integer', encoding: 'int', nullable: false },
    { name: 'note', pgType: 'text', encoding: 'string', nullable: false },
  ],
  key: ['id'],
  partitionKey: ['id'],
}

let services: Servers
let clickhouse: Clickhouse
let target: TargetTable

test.before(async () => {
  services = await shareServers(['clickhouse'])
  clickhouse = await createWarehouse(services, uniqueName('batches'))
  for (const sql of tableStatements(table)) await clickhouse.command(sql)
  await clickhouse.command('ALTER TABLE `public.notes.changelog` ADD CONSTRAINT short CHECK length(note) < 5')
  const about = { schema: 'public', table: 'notes', topic: 'notes', partitions: 1, group: 'notes', place: 0 }
  const schemas = { byId: async () => JSON.stringify(valueSchema(table)) } as never
  target = new TargetTable(about, { table, schemas, options: { onError: 'dead-letter', history: false } })
})

test.after(async () => {
  await clickhouse?.close()
  await services?.stop()
})

/** Inserts, or deletes, of these notes, as records of the topic. */
async function batchOf(notes: readonly string[], first = 0, op: 'c' | 'd' = 'c'): Promise<Slice> {
  const encoder = new Encoder({ table, keySchemaId: 1, valueSchemaId: 2, maxImageBytes: 1000 }, new AvroWriter())
  const parts = notes.flatMap((note, index) => {
    const change = {
      op,
      lsn: first + 1,
      ordinal: index,
      txId: 1,
      commitTimeUs: 1,
      snapshot: false,
      madeAtMs: 1,
    } as const
    const row = textRow([String(index), note])
    if (op === 'c') encoder.encode(change, undefined, row)
    else encoder.encode(change, row, undefined)
    const { writer, keyEnd, valueEnd } = encoder
    return [Buffer.from(writer.buffer.subarray(0, keyEnd)), Buffer.from(writer.buffer.subarray(keyEnd, valueEnd))]
  })
  const ends: number[] = []
  for (const part of parts) ends.push((ends.at(-1) ?? 0) + part.length)
  const records = {
    count: notes.length,
    buffer: Buffer.concat(parts),
    offsets: Float64Array.from(notes, (_, index) => first + index),
    timestamps: new Float64Array(notes.length),
    keyStarts: Int32Array.from(notes, (_, index) => ends[2 * index - 1] ?? 0),
    keyEnds: Int32Array.from(notes, (_, index) => ends[2 * index]!),
    valueStarts: Int32Array.from(notes, (_, index) => ends[2 * index]!),
    valueEnds: Int32Array.from(notes, (_, index) => ends[2 * index + 1]!),
    nextOffset: first + notes.length,
  }
  await target.learn(records)
  const fetched = {
    topic: 'notes',
    partition: 0,
    fromOffset: first,
    end: first + notes.length,
    records,
  }
  return firstSlice(fetched, target)!
}

const inserter = (): Inserter => ({
  ...{ clickhouse, database: 'batches', server: 'this', requireOwnership: () => {} },
  onRefused: async () => {},
})

async function tryOut(notes: readonly string[]) {
  const slices = [await batchOf(notes)]
  return isolate({ clickhouse, table: target, format: target.format(2), slices })
}

test('aggregates are certain only while ClickHouse remembers the tokens of the batch; each part of an insert takes one', async () => {
  await clickhouse.command(
    `CREATE TABLE sums (part UInt16, n Int64) ENGINE = SummingMergeTree PARTITION BY part ORDER BY part SETTINGS ${tokenSettings}`,
  )
  await clickhouse.command(
    'CREATE MATERIALIZED VIEW to_sums TO sums AS SELECT 0 AS part, sum(_sign) AS n FROM `public.notes.changelog`',
  )
  const recovered = async (slice: Slice) => {
    const certain = await recoverSlices(inserter(), target, [slice], {
      server: 'this',
      sameServer: true,
      isPast: false,
    })
    const [row] = await clickhouse.rows<{ n: string }>('SELECT sum(n) AS n FROM sums WHERE part = 0')
    return [certain, Number(row!.n)]
  }
  const slice = await batchOf(['a', 'b'])
  await insertSlices(inserter(), target, [slice])
  for (let first = 2; first <= 4; first++) await insertSlices(inserter(), target, [await batchOf(['c'], first)])
  assert.equal(await recovered(slice), [true, 5])
  await clickhouse.command('INSERT INTO sums SELECT 1 + number, 1 FROM numbers(2000)', {
    max_partitions_per_insert_block: '0',
  })
  assert.equal(await recovered(slice), [false, 5])
})

test('older records that are inserted again restore no key that was deleted later, even without its tombstone', async () => {
  const tables = ['`public.notes.changelog`', '`public.notes.current`']
  for (const name of tables) await clickhouse.command(`TRUNCATE TABLE ${name}`)
  const created = await batchOf(['a', 'b'], 100)
  for (const slice of [created, await batchOf(['a'], 102, 'd')]) await insertSlices(inserter(), target, [slice])
  const live = async () => {
    const rows = await clickhouse.rows<{ note: string }>('SELECT note FROM `public.notes` ORDER BY id')
    return rows.map(({ note }) => note)
  }
  for (const lost of ['0', '_offset = 100', '_offset < 102']) {
    await clickhouse.command(`ALTER TABLE ${tables[0]} DELETE WHERE ${lost}`, { mutations_sync: '1' })
    await clickhouse.command(`OPTIMIZE TABLE ${tables[1]} FINAL`)
    await clickhouse.command(`ALTER TABLE ${tables[1]} DELETE WHERE _deleted = 1`, { mutations_sync: '1' })
    await recoverSlices(inserter(), target, [created], { server: lost, sameServer: false, isPast: true })
    assert.equal(await live(), ['b'], lost)
  }
})

test('up to twenty records that a table cannot store become dead letters; more of them stop the consumer', async () => {
  const notes = (bad: number) =>
    Array.from({ length: 60 }, (_, index) => (index % 3 === 0 && bad-- > 0 ? 'too long' : 'ok'))
  assert.is(await tryOut(notes(0)), undefined)
  const isolated = await tryOut(notes(20))
  assert.equal(
    isolated!.refused.map(({ record: { records, from } }) => records.offsets[from]),
    Array.from({ length: 20 }, (_, index) => 3 * index),
  )
  await assert.refuses(() => tryOut([...notes(20), 'too long']), 'CLICKHOUSE_FAILED', /the records are not the cause/)
})

test.run()
