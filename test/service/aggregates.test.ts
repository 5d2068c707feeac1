// test/service/aggregates.test: how the consumer moves the aggregates of a model from watermark to
// watermark.

import type { Clickhouse } from '../../clickhouse/client.ts'
import { fencedText } from '../../clickhouse/error-codes.ts'
import { Aggregates } from '../../consumer/fold/aggregates.ts'
import type { Generation, Watermark } from '../../contract/generation.ts'
import { tableName } from '../../contract/table.ts'
import { Random } from '../../generator/shop/random.ts'
import type { Aggregate } from '../../modeling/aggregate.ts'
import { fold } from '../../modeling/fold.ts'
import type { MillraceError } from '../../runtime/errors.ts'
import { Failures } from '../../runtime/retry.ts'
import { testSeed } from '../support/harness/seed.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { foldModel, items, orders } from '../support/pipelines/fold-model.ts'
import { differences, FoldShop, type Moment, readCells } from '../support/pipelines/fold-shop.ts'
import { createWarehouse } from '../support/servers/clickhouse.ts'
import { uniqueName } from '../support/servers/postgres.ts'
import { quietLog, type Servers, shareServers } from '../support/servers/services.ts'

const test = suite('aggregates of the consumer')

const signal = new AbortController().signal
const tables = [orders, items].map(({ schema, name }) => ({ schema, table: name }))

let services: Servers
let clickhouse: Clickhouse
let shop: FoldShop
let all: readonly Aggregate[]
let aggregates: Aggregates
const failures = new Failures()
const logged: string[] = []
let guard = '1'

test.before(async () => {
  services = await shareServers(['clickhouse'])
  clickhouse = await createWarehouse(services, uniqueName('aggregates'))
  shop = new FoldShop(clickhouse, new Random(testSeed(), 'aggregates'))
  const log = { ...quietLog(), info: (text: string) => void logged.push(text) }
  all = await shop.create(foldModel())
  aggregates = new Aggregates({
    ...{ clickhouse, aggregates: all, log, failures },
    generation: { tables } as unknown as Generation,
    guard: () => guard,
  })
})
test.after(async () => {
  await clickhouse?.close()
  await services?.stop()
})

function watermarkOf({ cut: { lsn, commitTimeUs, offsets } }: Moment): Watermark {
  const ofTables = [orders, items].map(table => [...offsets.get(tableName(table))!])
  return { lsn, commitTimeUs, timeline: 1, letters: 0, offsets: ofTables }
}

async function nextMoment(): Promise<Moment> {
  shop.change(100)
  await shop.write()
  return shop.moment()
}

/** As the consumer does: it calls again until all aggregates are there. */
async function moveTo(moment: Moment): Promise<void> {
  const isThere = async () => aggregates.advance(watermarkOf(moment), signal)?.lsn === moment.cut.lsn
  await until(isThere, { what: 'all aggregates are at the watermark' })
}

async function assertAt({ expected }: Moment, names = ['cells', 'statuses']): Promise<void> {
  for (const name of names) {
    const found = await readCells(clickhouse, all.find(each => each.name === name)!)
    assert.equal(differences(found, expected.get(name)!), [], name)
  }
}

test('the first watermark computes the aggregates, later ones fold them, also after another member has folded', async () => {
  const first = await nextMoment()
  await moveTo(first)
  await assertAt(first)
  assert.equal(logged, ['aggregate computed from the tables', 'aggregate computed from the tables'])
  for (let turn = 0; turn < 2; turn++) {
    const next = await nextMoment()
    await moveTo(next)
    await assertAt(next)
  }
  const theirs = await nextMoment()
  for (const aggregate of all) await fold(clickhouse, aggregate, { cut: theirs.cut, signal })
  const ours = await nextMoment()
  await moveTo(ours)
  await assertAt(ours)
  assert.is(logged.length, 2, 'nothing is computed anew')
})

test('the point of all aggregates is that of the last one, and an older watermark changes nothing', async () => {
  const moment = await nextMoment()
  const point = aggregates.advance({ ...watermarkOf(moment), lsn: 7 }, signal)
  assert.is(point?.lsn, 7)
  await moveTo(moment)
  await assertAt(moment)
})

test('an aggregate that fails is named and waits, the other one continues, and it continues itself once it can', async () => {
  const before = await nextMoment()
  await moveTo(before)
  await clickhouse.command('ALTER TABLE statuses ADD CONSTRAINT broken CHECK orders = 123456789')
  const after = await nextMoment()
  const failing = async () => {
    assert.ok(aggregates.advance(watermarkOf(after), signal)!.lsn < after.cut.lsn)
    return failures.last?.code === 'FOLD_FAILED'
  }
  await until(failing, { what: 'the failure is named' })
  assert.match(failures.last!.what, /the aggregate statuses cannot take changes/)
  const cellsAreThere = async () => {
    aggregates.advance(watermarkOf(after), signal)
    return aggregates.points.some(([name, { lsn }]) => name === 'cells' && lsn === after.cut.lsn)
  }
  await until(cellsAreThere, { what: 'the other aggregate continues' })
  await assertAt(after, ['cells'])
  await assertAt(before, ['statuses'])
  await clickhouse.command('ALTER TABLE statuses DROP CONSTRAINT broken')
  await moveTo(after)
  await assertAt(after)
  assert.is(failures.last, undefined)
  assert.is(logged.length, 2, 'nothing is computed anew')
})

test('a member that is fenced folds nothing, says so once more, and continues after a takeover', async () => {
  const before = await nextMoment()
  await moveTo(before)
  guard = `throwIf(1, '${fencedText}') = 0`
  const after = await nextMoment()
  const isFenced = async () => {
    try {
      aggregates.advance(watermarkOf(after), signal)
      return false
    } catch (error) {
      return (error as MillraceError).code === 'FENCED'
    }
  }
  await until(isFenced, { what: 'the guard fails' })
  assert.ok(await isFenced())
  await assertAt(before)
  await aggregates.end()
  guard = '1'
  await moveTo(after)
  await assertAt(after)
  assert.is(logged.length, 2, 'nothing is computed anew')
})

test.run()
