// test/service/native-insert.test: records inserted as a Native block become the same rows as
// records that ClickHouse decodes from Avro.

import { AvroContainer } from '../../clickhouse/avro-file.ts'
import type { Clickhouse } from '../../clickhouse/client.ts'
import { changelogName, tableStatements } from '../../clickhouse/ddl.ts'
import { insertStatement, nativeStatement } from '../../clickhouse/insert.ts'
import { NativeBlock } from '../../clickhouse/native-block.ts'
import { quoteName } from '../../clickhouse/quote.ts'
import type { Change } from '../../contract/encode.ts'
import { wireHeaderBytes } from '../../contract/head.ts'
import { valueSchema } from '../../contract/schema.ts'
import { Random } from '../../generator/shop/random.ts'
import { RecordEncoder } from '../support/fixtures/encoded-record.ts'
import { everyEncoding, randomTexts } from '../support/fixtures/encoded-values.ts'
import { testSeed, times } from '../support/harness/seed.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { createWarehouse } from '../support/servers/clickhouse.ts'
import { uniqueName } from '../support/servers/postgres.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const test = suite('native insert')
const table = everyEncoding
const changelog = quoteName(changelogName(table))
const targets = { avro: 'from avro', native: 'from native', guarded: 'from guarded native' }

let services: Servers
let clickhouse: Clickhouse

test.before(async () => {
  services = await shareServers(['clickhouse'])
  clickhouse = await createWarehouse(services, uniqueName('native'))
  for (const sql of tableStatements(table)) await clickhouse.command(sql)
  for (const name of Object.values(targets)) {
    await clickhouse.command(`CREATE TABLE ${quoteName(name)} AS ${changelog}`)
  }
  await clickhouse.command('CREATE TABLE epochs (place UInt64, epoch String) ENGINE = Memory')
  await clickhouse.command("INSERT INTO epochs VALUES (1, 'old'), (2, 'own')")
})

test.after(async () => {
  await clickhouse?.close()
  await services?.stop()
})

const guard = (epoch: string) =>
  `throwIf((SELECT argMax(epoch, (place, epoch)) FROM epochs) != '${epoch}', 'fenced') = 0`

const ops = ['r', 'c', 'u', 'd'] as const

function randomRecord(random: Random, encoder: RecordEncoder, id: number): Buffer {
  const change: Change = {
    ...{ op: random.pick(ops), lsn: random.integer(0, 2 ** 50), ordinal: random.pick([0, 1, 127, 128, 2 ** 40]) },
    ...{ txId: random.integer(0, 2 ** 32), commitTimeUs: random.integer(0, 2 ** 53 - 1), madeAtMs: 1 },
    snapshot: random.chance(0.5),
  }
  const row = () => randomTexts(random, id)
  const hasBefore = change.op === 'u' || change.op === 'd'
  return encoder.value(change, hasBefore ? row() : undefined, change.op === 'd' ? undefined : row())
}

/** Cells that differ between the tables, as `column: count`. NaN equals NaN by its bytes. */
async function differences(left: string, right: string): Promise<string[]> {
  const columns = await clickhouse.rows<{ name: string; type: string }>(
    'SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {left:String} ORDER BY position',
    { left },
  )
  const hashes = columns.map(({ name }) => `groupArray(hex(toString(${quoteName(name)}))) AS ${quoteName(name)}`)
  const read = async (from: string) => {
    const [row] = await clickhouse.rows<Record<string, string[]>>(
      `SELECT ${hashes.join(', ')} FROM (SELECT * FROM ${quoteName(from)} ORDER BY _partition, _offset, _sign)`,
    )
    return row!
  }
  const [a, b] = [await read(left), await read(right)]
  return columns.flatMap(({ name }) => {
    const count = a[name]!.filter((text, index) => text !== b[name]![index]).length
    return count === 0 && a[name]!.length === b[name]!.length ? [] : [`${name}: ${count}`]
  })
}

test('blocks of random values of every type are the rows that ClickHouse decodes itself', async () => {
  const random = new Random(testSeed(), 'native insert')
  const encoder = new RecordEncoder(table)
  const avro = new AvroContainer(JSON.stringify(valueSchema(table)))
  const block = new NativeBlock(table)
  const sizes = [1, 33, 2, 400, 1200, 5]
  let offset = 2 ** 33
  for (const size of sizes.slice(0, times(sizes.length))) {
    for (let index = 0; index < size; index++, offset++) {
      const value = randomRecord(random, encoder, offset)
      const partition = random.integer(0, 300)
      avro.append(partition, offset, value, wireHeaderBytes, value.length)
      assert.ok(block.append(partition, offset, value, wireHeaderBytes, value.length), `record ${offset}`)
    }
    await clickhouse.insert(insertStatement(table, targets.avro, guard('own')), avro.chunks(), {})
    await clickhouse.insert(nativeStatement(table, targets.native), block.chunks(), {})
    await clickhouse.insert(nativeStatement(table, targets.guarded, guard('own')), block.chunks(), {})
    avro.reset()
    block.reset()
  }
  const [row] = await clickhouse.rows<{ rows: string }>(`SELECT count() AS rows FROM ${quoteName(targets.avro)}`)
  assert.ok(Number(row!.rows) > sizes.reduce((sum, size) => sum + size))
  assert.equal(await differences(targets.avro, targets.native), [])
  assert.equal(await differences(targets.avro, targets.guarded), [])
})

test('a guard that throws keeps both kinds of insert from writing a row', async () => {
  const value = new RecordEncoder(table).value({ op: 'c' }, undefined, randomTexts(new Random(1, 'guard'), 7))
  const avro = new AvroContainer(JSON.stringify(valueSchema(table)))
  const block = new NativeBlock(table)
  avro.append(0, 7, value, wireHeaderBytes, value.length)
  block.append(0, 7, value, wireHeaderBytes, value.length)
  for (const [statement, chunks] of [
    [insertStatement(table, changelogName(table), guard('old')), avro.chunks()],
    [nativeStatement(table, changelogName(table), guard('old')), block.chunks()],
  ] as const) {
    await assert.rejects(() => clickhouse.insert(statement, chunks, {}), /fenced/)
  }
  assert.equal(await clickhouse.rows(`SELECT 1 FROM ${changelog}`), [])
})

test.run()
