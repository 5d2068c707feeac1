// test/unit/producer-router: messages of the stream become records with the right operations,
// positions and images.

import type { Relation } from '../../postgres/protocol/pgoutput.ts'
import { DeferredInserts } from '../../producer/stream/deferred-inserts.ts'
import { guarded, openPipe, partitionOfOrder, relation, tuple } from '../support/fixtures/router-pipe.ts'
import { textRow } from '../support/fixtures/text-row.ts'
import { bytesInUse } from '../support/harness/memory.ts'
import { assert, suite } from '../support/harness/suite.ts'

const test = suite('producer-router')

test('insert, update and delete have positions of twice their number in the transaction', () => {
  const { router, commits, records } = openPipe()
  router.begin(100, 5_000, 77)
  router.insert(relation, tuple('1', '9', '1.50', null))
  router.update(relation, tuple('1', '9', '1.50', null), false, tuple('1', '9', '2.50', 'x'))
  router.delete(relation, tuple('1', '9', '2.50', 'x'), false)
  router.commit(100, 108, 5_000)
  router.begin(108, 6_000, 78)
  router.insert(relation, tuple('2', '9', null, null))
  router.commit(108, 116, 6_000)
  const p = partitionOfOrder('9')
  assert.equal(records(), [
    ['c', p, 100, 0, null, ['1', '9', '1.50', null]],
    ['u', p, 100, 2, ['1', '9', '1.50', null], ['1', '9', '2.50', 'x']],
    ['d', p, 100, 4, ['1', '9', '2.50', 'x'], null],
    ['c', p, 108, 0, null, ['2', '9', null, null]],
  ])
  assert.equal(commits, [
    [108, 5_000],
    [116, 6_000],
  ])
})

test('a change of the primary or the partition key is a delete and a create, in that order', () => {
  const { router, records } = openPipe()
  router.begin(100, 5_000, 77)
  router.update(relation, tuple('1', '9', null, null), false, tuple('2', '9', null, null))
  router.update(relation, tuple('2', '9', null, null), false, tuple('2', '10', null, null))
  assert.equal(records(), [
    ['d', partitionOfOrder('9'), 100, 0, ['1', '9', null, null], null],
    ['c', partitionOfOrder('9'), 100, 1, null, ['2', '9', null, null]],
    ['d', partitionOfOrder('9'), 100, 2, ['2', '9', null, null], null],
    ['c', partitionOfOrder('10'), 100, 3, null, ['2', '10', null, null]],
  ])
})

test('with a deferrable key, the new row of a swapped or shared key is sent after the old row of that key', () => {
  const { router, records } = openPipe({ deferrableKey: true })
  const row = (id: string, note: string) => tuple(id, '9', null, note)
  router.begin(100, 5_000, 77)
  router.update(relation, row('1', 'a'), false, row('2', 'a'))
  router.update(relation, row('2', 'b'), false, row('1', 'b'))
  router.update(relation, row('2', 'a'), false, row('2', 'a!'))
  router.insert(relation, row('3', 'comes'))
  router.delete(relation, row('3', 'comes'), false)
  router.update(relation, row('4', 'stays'), false, row('4', 'changes'))
  router.commit(100, 108, 5_000)
  assert.equal(
    records().map(([op, , , ordinal, before, after]) => [
      op,
      ordinal,
      before && Object.values(before),
      after && Object.values(after),
    ]),
    [
      ['d', 0, ['1', '9', null, 'a'], null],
      ['d', 2, ['2', '9', null, 'b'], null],
      ['u', 10, ['4', '9', null, 'stays'], ['4', '9', null, 'changes']],
      ['c', 12, null, ['1', '9', null, 'b']],
      ['c', 14, null, ['2', '9', null, 'a!']],
    ],
  )
})

test('a truncate also removes deferred inserts', () => {
  const { router, records } = openPipe({ deferrableKey: true })
  router.begin(100, 5_000, 77)
  router.insert(relation, tuple('1', '9', null, null))
  router.truncate([relation])
  router.insert(relation, tuple('2', '9', null, null))
  router.insert(relation, tuple('2', '9', null, null))
  router.commit(100, 108, 5_000)
  assert.equal(
    records().map(([op, , , ordinal]) => [op, ordinal]),
    [...[0, 1, 2, 3].map(() => ['t', 2]), ['c', 8], ['c', 10]],
  )
})

test('a truncate goes to every partition, without key and images', () => {
  const { router, appender, records } = openPipe()
  router.begin(100, 5_000, 77)
  router.truncate([relation])
  assert.equal(
    records(),
    [0, 1, 2, 3].map(partition => ['t', partition, 100, 0, null, null]),
  )
  assert.ok(appender.records.every(({ key }) => key === null))
})

test('records that a partition already has are skipped, each partition by its own last position', () => {
  const orders = Array.from({ length: 40 }, (_, order) => String(order))
  const lastPositions = [{ lsn: 100, ordinal: 20 }, undefined, { lsn: 99, ordinal: 70 }, { lsn: 200, ordinal: 0 }]
  const { router, records } = openPipe({ lastPositions })
  router.begin(100, 5_000, 77)
  for (const order of orders) router.insert(relation, tuple('1', order, null, null))
  const expected = orders
    .map((order, index) => [partitionOfOrder(order), 2 * index] as const)
    .filter(([partition, ordinal]) => partition === 1 || partition === 2 || (partition === 0 && ordinal > 20))
  assert.equal(
    records().map(([, partition, , ordinal]) => [partition, ordinal]),
    expected,
  )
})

test('a change without its whole old row is an error, never a guess', async () => {
  const { router } = openPipe()
  router.begin(100, 5_000, 77)
  const row = tuple('1', '9', null, null)
  await assert.refuses(() => router.update(relation, undefined, false, row), 'REPLICA_IDENTITY')
  await assert.refuses(() => router.update(relation, row, true, row), 'REPLICA_IDENTITY')
  await assert.refuses(() => router.delete(relation, row, true), 'REPLICA_IDENTITY')
  const unsent = tuple('1', '9', null, undefined)
  await assert.refuses(() => router.update(relation, row, false, unsent), 'REPLICA_IDENTITY')
})

test('a heartbeat counts only if this process wrote it, outside a transaction and with a possible time', () => {
  const { router, heartbeats, commits } = openPipe()
  const second = 1_000_000
  const now = 1_700_000_000 * second
  heartbeats.written(now)
  const send = (text: string, prefix = heartbeats.prefix, transactional = false) =>
    router.message(1_000 + commits.length, transactional, prefix, Buffer.from(text))
  send(String(now))
  assert.equal(commits, [[1_000, now]])
  for (const forged of ['millrace.heartbeat', 'millrace.heartbeat.t_1', `${heartbeats.prefix}0`])
    send(String(now + second), forged)
  send(String(now + second), heartbeats.prefix, true)
  for (const text of ['x', '', '-5', '1e3', ' 1', '99999999999999999', '99999999999999999999']) send(text)
  for (const away of [61, 3_600, -61, -3_600]) send(String(now + away * second))
  assert.equal(commits, [[1_000, now]])
  send(String(now + 59 * second))
  assert.equal(commits, [
    [1_000, now],
    [1_001, now + 59 * second],
  ])
})

test('heartbeats follow the clock of the source when it is set back, and the commits while it catches up', () => {
  const { router, heartbeats, commits } = openPipe()
  const hour = 3_600_000_000
  const now = 1_700_000_000_000_000
  const beat = (us: number) => router.message(2_000, false, heartbeats.prefix, Buffer.from(String(us)))
  const times = () => commits.map(([, us]) => us)
  heartbeats.written(now)
  // Ahead by an hour, and then set right.
  router.begin(100, now + hour, 77)
  router.commit(100, 108, now + hour)
  beat(now)
  assert.equal(times(), [now + hour, now])
  // Hours behind: the time is between the last commit and the clock.
  router.begin(108, now - 5 * hour, 78)
  router.commit(108, 116, now - 5 * hour)
  beat(now - 4 * hour)
  assert.equal(times().slice(2), [now - 5 * hour, now - 4 * hour])
  beat(now - 6 * hour)
  assert.is(commits.length, 4)
})

test('a table that changed since it was captured stops the stream', async () => {
  const { router } = openPipe()
  const [id, order, price, note] = relation.columns
  const announce = (change: Partial<Relation>) => () => router.relation({ ...relation, ...change })
  const other = { ...note!, typeOid: 99 }
  const added = { ...note!, name: 'added' }
  await assert.refuses(announce({ name: 'renamed' }), 'SCHEMA_CHANGED', /now called public\.renamed/)
  await assert.refuses(announce({ oid: 8 }), 'SCHEMA_CHANGED', /replaced/)
  await assert.refuses(announce({ columns: [id!, order!, price!] }), 'SCHEMA_CHANGED', /note is gone/)
  await assert.refuses(announce({ columns: [...relation.columns, added] }), 'SCHEMA_CHANGED', /added is new/)
  await assert.refuses(announce({ columns: [id!, order!, price!, other] }), 'SCHEMA_CHANGED', /note has another type/)
  await assert.refuses(announce({ columns: [order!, id!, price!, note!] }), 'SCHEMA_CHANGED', /another type or place/)
})

test('a column type with a larger limit is accepted, any other type is not', async () => {
  const [varchar, text] = [1043, 25]
  const announced = (typeOid: number, typeModifier: number) => ({
    ...relation,
    columns: relation.columns.map((column, index) => (index === 3 ? { ...column, typeOid, typeModifier } : column)),
  })
  const widen = (...types: [number, number][]) => {
    const [was, is] = types.map(type => announced(...type))
    const { router } = openPipe({ columns: was!.columns })
    router.relation(is!)
  }
  widen([varchar, 24], [varchar, 44])
  widen([varchar, 24], [varchar, -1])
  widen([varchar, 24], [text, -1])
  widen([text, -1], [varchar, -1])
  widen([1184, 3], [1184, 6])
  for (const is of [
    [varchar, 14],
    [25 + 1, -1],
    [1042, 24],
  ] as [number, number][]) {
    await assert.refuses(() => widen([varchar, 24], is), 'SCHEMA_CHANGED', /another type/)
  }
  await assert.refuses(() => widen([varchar, -1], [varchar, 24]), 'SCHEMA_CHANGED')
  await assert.refuses(() => widen([1700, 589_830], [1700, 786_438]), 'SCHEMA_CHANGED')
})

test('changes of a table that is not captured are skipped and take no position', () => {
  const foreign: string[] = []
  const { router, records } = openPipe({ onUncaptured: table => void foreign.push(table) })
  const other = { ...relation, oid: 9, name: 'other', replicaIdentity: 'd' as const }
  router.begin(100, 5_000, 77)
  router.relation(other)
  router.insert(other, tuple('1', '9', null, null))
  router.update(other, undefined, false, tuple('1', '9', null, null))
  router.delete(other, tuple('1', '9', null, null), true)
  router.truncate([other])
  router.insert(relation, tuple('1', '9', null, null))
  router.truncate([other, relation])
  assert.equal(
    records().map(([op, , , ordinal]) => [op, ordinal]),
    [['c', 0], ...[0, 1, 2, 3].map(() => ['t', 2])],
  )
  assert.equal(foreign, Array(5).fill('public.other'))
})

test('a partition without whole old rows takes inserts, and stops at the first update or delete of its root', async () => {
  const { router, records } = openPipe({ kind: 'p' })
  const leaf = (identity: 'd' | 'f') => ({ ...relation, oid: 9, name: 'items_1', replicaIdentity: identity })
  const row = tuple('1', '9', null, null)
  const announce = (identity: 'd' | 'f') => {
    router.relation(relation)
    router.relation(leaf(identity))
  }
  router.begin(100, 5_000, 77)
  announce('d')
  router.insert(relation, row)
  await assert.refuses(() => router.update(relation, row, false, row), 'REPLICA_IDENTITY', /partition/)
  await assert.refuses(() => router.delete(relation, row, false), 'REPLICA_IDENTITY', /partition/)
  announce('f')
  router.delete(relation, row, false)
  assert.equal(
    records().map(([op]) => op),
    ['c', 'd'],
  )
})

test('repeated relation messages of a table take no more memory', async () => {
  const { router } = openPipe({ guard: guarded })
  const announce = (times: number) => {
    for (let left = times; left > 0; left--) router.relation({ ...relation, columns: [...relation.columns] })
  }
  announce(1_000)
  const before = await bytesInUse()
  announce(10_000)
  const grown = (await bytesInUse()) - before
  assert.ok(grown < 5_000_000, `${grown} bytes more`)
})

test('deferred inserts count by their memory, over all tables together', async () => {
  const shared = { bytes: 0 }
  const table = { schema: 'public', name: 't', columns: [], key: [], partitionKey: [] }
  const [a, b] = [new DeferredInserts(table, shared), new DeferredInserts(table, shared)]
  a.defer(textRow(['gone']))
  assert.ok(a.remove(textRow(['gone'])))
  assert.is(shared.bytes, 0)
  let held = 0
  const fill = () => {
    for (;;) {
      ;(held % 2 === 0 ? a : b).defer(textRow([String(held)]))
      held++
    }
  }
  await assert.refuses(fill, 'TRANSACTION_TOO_LARGE')
  assert.ok(held > 1_000_000 && held < (128 * 1024 * 1024) / 100, `${held} rows`)
  a.clear()
  b.drain(() => {})
  assert.is(shared.bytes, 0)
})

test.run()
