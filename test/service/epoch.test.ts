// test/service/epoch.test: only the members of the last epoch write into a generation's database.

import type { Clickhouse } from '../../clickhouse/client.ts'
import { insertSlices } from '../../consumer/insert/insert.ts'
import { guard, type Inserter, insertQueryPrefix } from '../../consumer/insert/inserter.ts'
import { restoreDerived, restoreTombstones, waitForRunningInserts } from '../../consumer/insert/recover.ts'
import { beginEpoch } from '../../consumer/warehouse/epoch.ts'
import { watermarkStatements, writeWatermark } from '../../consumer/warehouse/watermark.ts'
import { LateRequests } from '../support/faults/late-requests.ts'
import { createNotes, notesInserter, notesSlice, notesTarget } from '../support/fixtures/notes-table.ts'
import { assert, suite, until } from '../support/harness/suite.ts'
import { createWarehouse } from '../support/servers/clickhouse.ts'
import { uniqueName } from '../support/servers/postgres.ts'
import { type Services, startServices } from '../support/servers/services.ts'

const test = suite('epochs')

const changelog = '`public.notes.changelog`'

let services: Services
let database: string
let clickhouse: Clickhouse
const target = notesTarget()

test.before(async () => {
  services = await startServices(['clickhouse'])
  database = uniqueName('epochs')
  clickhouse = await createWarehouse(services, database, { queryPrefix: insertQueryPrefix(database) })
  await createNotes(clickhouse)
  for (const sql of watermarkStatements) await clickhouse.command(sql)
})
test.before.each(clear)
test.after(async () => {
  await clickhouse?.close()
  await services?.stop()
})

async function clear(): Promise<void> {
  for (const name of [changelog, '`public.notes.current`', 'watermark', 'epochs'])
    await clickhouse.command(`TRUNCATE TABLE ${name}`)
}

async function count(table: string): Promise<number> {
  const [row] = await clickhouse.rows<{ n: string }>(`SELECT count() AS n FROM ${table}`)
  return Number(row!.n)
}

/** A member of an assignment that has begun its epoch. */
async function memberOf(assignment: string, former?: string): Promise<Inserter> {
  return notesInserter(clickhouse, database, (await beginEpoch(clickhouse, assignment, former)).id)
}

const insert = async (inserter: Inserter, notes: readonly string[], first = 0) =>
  insertSlices(inserter, target, [await notesSlice(target, notes, { first, id: first })])
const points = [['', { lsn: 7, commitTimeUs: 7 }]] as const
const watermark = (inserter: Inserter) => writeWatermark(clickhouse, points, guard(inserter))

test('once a later epoch has begun, a member of the earlier one writes nothing', async () => {
  const earlier = await memberOf('group 1')
  await insert(earlier, ['a', 'b'])
  await watermark(earlier)
  const later = await memberOf('group 2')
  const range = { partition: 0, start: 0, end: 2 }
  const many = Array.from({ length: 6_000 }, () => 'many')
  const writes: Record<string, () => Promise<unknown>> = {
    'a few records': () => insert(earlier, ['c'], 2),
    'many records': () => insert(earlier, many, 2),
    'a TRUNCATE': async () => insertSlices(earlier, target, [await notesSlice(target, [''], { first: 2, op: 't' })]),
    'a watermark': () => watermark(earlier),
    'restored rows': () => restoreDerived(earlier, target, [range]),
  }
  for (const [what, write] of Object.entries(writes)) {
    const error = await assert.refuses(write, 'FENCED')
    assert.not(error.retriable, what)
  }
  assert.equal([await count(changelog), await count('watermark')], [2, 1])
  await insert(later, ['c', 'd'], 2)
  await assert.refuses(writes['a TRUNCATE']!, 'FENCED', /another consumer/)
  await insertSlices(later, target, [await notesSlice(target, ['d'], { first: 4, id: 3, op: 'd' })])
  await assert.refuses(() => restoreTombstones(earlier, target, { partition: 0, end: 0 }), 'FENCED')
  await insertSlices(later, target, [await notesSlice(target, [''], { first: 5, op: 't' })])
  await watermark(later)
  assert.equal([await count('`public.notes`'), await count('watermark FINAL')], [0, 1])
})

test('before its first takeover a member writes nothing', async () => {
  await memberOf('group 1')
  const fresh: Inserter = { ...(await notesInserter(clickhouse, database, 'x')), epoch: undefined }
  await assert.refuses(() => insert(fresh, ['a']), 'FENCED')
  await clickhouse.command('TRUNCATE TABLE epochs')
  await assert.refuses(() => insert(fresh, ['a']), 'FENCED')
})

test('an insert that began in the earlier epoch is waited for, and all its rows are seen', async () => {
  await clickhouse.command('CREATE TABLE seen (id Int32) ENGINE = MergeTree ORDER BY id')
  await clickhouse.command(
    `CREATE MATERIALIZED VIEW slow TO seen AS SELECT id + sleepEachRow(0.2) AS id FROM ${changelog}`,
  )
  const earlier = await memberOf('group 1')
  const running = insert(earlier, ['a', 'b', 'c', 'd', 'e'])
  const processes = "SELECT 1 FROM system.processes WHERE query_kind = 'Insert' AND query LIKE '%changelog%'"
  await until(async () => (await clickhouse.rows(processes)).length === 1, { what: 'the insert runs' })
  const later = await memberOf('group 2')
  assert.is(await count('seen'), 0)
  await waitForRunningInserts(later)
  assert.equal([await count('seen'), await count(changelog), await count('`public.notes`')], [5, 5, 5])
  await running
  await clickhouse.command('DROP TABLE slow')
  await assert.refuses(() => insert(earlier, ['f'], 5), 'FENCED')
})

test('the members of one assignment share an epoch, and the next assignment has another one', async () => {
  const first = await beginEpoch(clickhouse, 'group 1')
  assert.is((await beginEpoch(clickhouse, 'group 1')).id, first.id)
  const second = await beginEpoch(clickhouse, 'group 2')
  assert.is.not(second.id, first.id)
  assert.equal([...second.sinceStart].sort(), [first.id, second.id].sort())
  assert.is(await count('epochs'), 2)
})

test('an epoch never comes back: a member of it has to begin anew', async () => {
  const member = await memberOf('group 2')
  await memberOf('group 1')
  await insert(await memberOf('group 2'), ['a'])
  await assert.refuses(() => insert(member, ['a']), 'FENCED')
  const again = await beginEpoch(clickhouse, 'group 2', member.epoch)
  await insert({ ...member, epoch: again.id }, ['b'], 1)
  assert.is(await count(changelog), 2)
})

test('members that begin at the same time converge to one epoch', async () => {
  for (let round = 0; round < 5; round++) {
    let epochs = await Promise.all(
      Array.from({ length: 6 }, () => beginEpoch(clickhouse, `group ${round}`).then(({ id }) => id)),
    )
    const last = async () => {
      const [row] = await clickhouse.rows<{ id: string }>('SELECT argMax(epoch, (place, epoch)) AS id FROM epochs')
      return row!.id
    }
    // A member that is fenced begins again.
    for (let times = 0; new Set(epochs).size > 1; times++) {
      assert.ok(times < 6, 'members fence each other for ever')
      const current = await last()
      const begun = epochs.map(async id => {
        return id === current ? id : (await beginEpoch(clickhouse, `group ${round}`, id)).id
      })
      epochs = await Promise.all(begun)
    }
    assert.is(epochs[0], await last())
  }
})

test('after an insert without an answer a member ends its own epoch, so that the request does nothing when it arrives', async () => {
  const late = new LateRequests()
  const member: Inserter = { ...(await memberOf('group 1')), clickhouse: late.on(clickhouse) }
  late.holdNext = true
  await assert.refuses(() => insert(member, ['a', 'b']), 'CLICKHOUSE_UNREACHABLE')
  const other = await memberOf('group 1')
  assert.is(other.epoch, member.epoch)
  member.epoch = (await beginEpoch(clickhouse, 'group 1', member.epoch)).id
  await insert(member, ['a', 'b'])
  await late.deliver()
  assert.is(await count(changelog), 2)
  await assert.refuses(() => insert(other, ['c'], 2), 'FENCED')
  // The other one finds the new epoch, and fences nobody.
  other.epoch = (await beginEpoch(clickhouse, 'group 1', other.epoch)).id
  assert.is(other.epoch, member.epoch)
})

test('a registration that arrives late does not end a later epoch', async () => {
  const late = new LateRequests()
  late.holdNext = true
  await assert.refuses(() => beginEpoch(late.on(clickhouse), 'group 1'), 'CLICKHOUSE_UNREACHABLE')
  const later = await memberOf('group 2')
  await late.deliver()
  await insert(later, ['a'])
})

test('a restart of ClickHouse ends every epoch, also that of the member that begins again first', async () => {
  const members = [await memberOf('group 1'), await memberOf('group 1')] as const
  await insert(members[0], ['a'])
  await services.kill('clickhouse')
  await services.restart()
  for (const member of members) {
    await assert.refuses(() => insert(member, ['b'], 1), 'FENCED')
    await assert.refuses(() => watermark(member), 'FENCED')
  }
  const { id, sinceStart } = await beginEpoch(clickhouse, 'group 1', members[0].epoch)
  assert.equal([...sinceStart], [id], 'the epochs before the restart are not of this run')
  await insert({ ...members[0], epoch: id }, ['b'], 1)
  await assert.refuses(() => insert(members[1], ['c'], 2), 'FENCED')
  members[1].epoch = (await beginEpoch(clickhouse, 'group 1', members[1].epoch)).id
  assert.is(members[1].epoch, id)
  await insert(members[1], ['c'], 2)
  assert.is(await count(changelog), 3)
})

test('the epochs of a restored copy do not count as those of this server', async () => {
  const { id } = await beginEpoch(clickhouse, 'group 1')
  await clickhouse.command('CREATE TABLE copy AS epochs')
  await clickhouse.command('INSERT INTO copy SELECT * FROM epochs')
  await clickhouse.command('DROP TABLE epochs SYNC')
  await clickhouse.command('RENAME TABLE copy TO epochs')
  const { sinceStart } = await beginEpoch(clickhouse, 'group 2')
  assert.not(sinceStart.has(id))
})

test.run()
