// test/unit/table-inserts.test: the queue of inserts of each table.

import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { TableInserts } from '../../consumer/insert/table-inserts.ts'
import type { Slice } from '../../consumer/records/slice.ts'
import { Queue, sliceOf } from '../support/fixtures/insert-queue.ts'
import { assert, suite, until } from '../support/harness/suite.ts'

const test = suite('inserts of tables')

async function isPending(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol('pending')
  for (let turns = 0; turns < 3; turns++) await turn()
  return (await Promise.race([promise, Promise.resolve(pending)])) === pending
}

test('the slices of one fetch are one insert of each table, and the tables are inserted at the same time', async () => {
  const queue = new Queue()
  assert.ok(queue.inserts.isIdle)
  queue.inserts.add([sliceOf('orders', 1), sliceOf('items', 5), sliceOf('orders', 2)])
  assert.not(queue.inserts.isIdle)
  await queue.nth(2)
  assert.equal([queue.of('orders'), queue.of('items')], [[[1, 2]], [[5]]])
  await queue.close()
  assert.ok(queue.inserts.isIdle)
})

test('the inserts of a table run one after the other, and what arrives during one is the next one', async () => {
  const queue = new Queue()
  queue.inserts.add([sliceOf('orders', 1)])
  const first = await queue.nth(1)
  queue.inserts.add([sliceOf('orders', 2)])
  queue.inserts.add([sliceOf('orders', 3)])
  await turn()
  assert.equal(queue.of('orders'), [[1]])
  first.end()
  await queue.nth(2)
  assert.equal(queue.of('orders'), [[1], [2, 3]])
  await queue.close()
})

test('a TRUNCATE is an insert of its own, in its place among the others', async () => {
  const queue = new Queue()
  const truncate = { truncate: true }
  queue.inserts.add([sliceOf('orders', 1), sliceOf('orders', 2), sliceOf('orders', 3, truncate)])
  queue.inserts.add([sliceOf('orders', 4, truncate), sliceOf('orders', 5), sliceOf('orders', 6)])
  for (let count = 1; count <= 4; count++) (await queue.nth(count)).end()
  await queue.inserts.end()
  assert.equal(queue.of('orders'), [[1, 2], [3], [4], [5, 6]])
})

test('whatever arrives when, every slice of a table is inserted once and in order, and a TRUNCATE alone', async () => {
  const arrival = fc.record({
    topic: fc.constantFrom('orders', 'items'),
    truncate: fc.boolean(),
    turns: fc.nat(2),
  })
  const property = fc.asyncProperty(fc.array(arrival, { maxLength: 20 }), fc.nat(2), async (arrivals, duration) => {
    const inserted: Slice[] = []
    const running = new Set<string>()
    const work = async (slices: readonly Slice[]) => {
      const { topic } = slices[0]!
      assert.ok(!running.has(topic), 'two inserts of one table at once')
      assert.ok(slices.every(slice => slice.topic === topic && (!slice.truncate || slices.length === 1)))
      running.add(topic)
      for (let turns = 0; turns < duration; turns++) await turn()
      running.delete(topic)
      inserted.push(...slices)
    }
    const inserts = new TableInserts(work, new AbortController().signal)
    for (const [start, { topic, truncate, turns }] of arrivals.entries()) {
      inserts.add([sliceOf(topic, start, { truncate, records: 10_000 })])
      for (let left = turns; left > 0; left--) await turn()
    }
    await inserts.end()
    inserts.check()
    for (const topic of ['orders', 'items']) {
      const wanted = [...arrivals.keys()].filter(index => arrivals[index]!.topic === topic)
      assert.equal(
        inserted.filter(slice => slice.topic === topic).map(({ start }) => start),
        wanted,
      )
    }
  })
  await fc.assert(property, { numRuns: 50 })
})

test('an insert that does not end delays no other table', async () => {
  const queue = new Queue()
  queue.inserts.add([sliceOf('slow', 0)])
  await queue.nth(1)
  for (let start = 0; start < 5; start++) {
    queue.inserts.add([sliceOf('orders', start), sliceOf('slow', start + 1)])
    const next = await queue.nth(start + 2)
    assert.equal([next.topic, next.starts], ['orders', [start]])
    next.end()
  }
  assert.equal(queue.of('slow'), [[0]])
  await queue.close()
})

test('after a failure nothing more begins, running inserts are waited for, and the first error counts', async () => {
  const queue = new Queue()
  queue.inserts.add([sliceOf('orders', 1), sliceOf('items', 1), sliceOf('visits', 1)])
  const inserts = [await queue.nth(1), await queue.nth(2), await queue.nth(3)]
  queue.inserts.add([sliceOf('orders', 2), sliceOf('items', 2)])
  queue.inserts.check()
  inserts[0]!.fail(new Error('the disk is full'))
  inserts[1]!.fail(new Error('the table is gone'))
  await turn()
  assert.throws(() => queue.inserts.check(), /the disk is full/)
  const ended = queue.inserts.end()
  assert.ok(await isPending(ended), 'one insert still runs')
  inserts[2]!.end()
  queue.inserts.add([sliceOf('visits', 2), sliceOf('shops', 1)])
  await ended
  await queue.inserts.end()
  assert.is(queue.begun.length, 3)
  assert.throws(() => queue.inserts.check(), /the disk is full/)
})

test('once aborted, queued slices do not begin any more, and running inserts are waited for', async () => {
  const queue = new Queue()
  queue.inserts.add([sliceOf('orders', 1), sliceOf('items', 1)])
  const [orders] = [await queue.nth(1), await queue.nth(2)]
  queue.inserts.add([sliceOf('orders', 2)])
  queue.stop.abort()
  const ended = queue.inserts.end()
  orders!.end()
  assert.ok(await isPending(ended), 'the insert of items still runs')
  queue.begun[1]!.end()
  await ended
  assert.is(queue.begun.length, 2)
  queue.inserts.check()
})

test('a table is full with more than 100,000 queued records, of which the running insert has none', async () => {
  const queue = new Queue()
  queue.inserts.add([sliceOf('orders', 0, { records: 300_000 })])
  const first = await queue.nth(1)
  assert.not(queue.inserts.isFull('orders'))
  queue.inserts.add([sliceOf('orders', 1, { records: 100_000 }), sliceOf('items', 0)])
  assert.not(queue.inserts.isFull('orders'))
  queue.inserts.add([sliceOf('orders', 2)])
  assert.ok(queue.inserts.isFull('orders'))
  assert.not(queue.inserts.isFull('items'))
  assert.not(queue.inserts.isFull('visits'))
  first.end()
  await until(() => queue.of('orders').length === 2, { what: 'the queued records are the next insert' })
  assert.not(queue.inserts.isFull('orders'))
  await queue.close()
})

const fetchOf = (megabytes: number) => Buffer.alloc(megabytes * 1024 * 1024)

test('nothing is fetched while slices keep more than 48 MB of fetched bytes, which count once', async () => {
  const queue = new Queue()
  const [shared, more] = [fetchOf(40), fetchOf(9)]
  queue.inserts.add(['orders', 'items', 'visits'].map(topic => sliceOf(topic, 1, { buffer: shared })))
  await queue.nth(3)
  await queue.inserts.room()
  queue.inserts.add([sliceOf('shops', 1, { buffer: more })])
  const last = await queue.nth(4)
  const room = queue.inserts.room()
  assert.ok(await isPending(room))
  last.end()
  await room
  await queue.close()
})

test('the wait for room ends with the next insert that ends, also when others of its table follow', async () => {
  const queue = new Queue()
  queue.inserts.add([sliceOf('orders', 1, { buffer: fetchOf(30) }), sliceOf('slow', 1)])
  await queue.nth(2)
  queue.inserts.add([sliceOf('orders', 2, { buffer: fetchOf(30) })])
  const room = queue.inserts.room()
  assert.ok(await isPending(room))
  queue.begun[0]!.end()
  await room
  await queue.close()
})

test('a table that fails is full, and its slices leave room for the others', async () => {
  const queue = new Queue()
  queue.inserts.add([sliceOf('failing', 1, { buffer: fetchOf(49) }), sliceOf('orders', 1)])
  const [failing] = [await queue.nth(1), await queue.nth(2)]
  assert.not(queue.inserts.isFull('failing'))
  const room = queue.inserts.room()
  assert.ok(await isPending(room))
  failing!.retry()
  await room
  assert.ok(queue.inserts.isFull('failing'))
  assert.not(queue.inserts.isFull('orders'))
  queue.inserts.add([sliceOf('failing', 2)])
  failing!.end()
  await queue.nth(3)
  assert.equal(queue.of('failing'), [[1], [2]])
  assert.not(queue.inserts.isFull('failing'))
  await queue.close()
})

test('the wait for room ends when an insert fails for good, and when the assignment is over', async () => {
  const ends: ((queue: Queue) => void)[] = [
    ({ begun }) => begun[1]!.fail(new Error('the table is gone')),
    ({ stop }) => stop.abort(),
  ]
  for (const end of ends) {
    const queue = new Queue()
    queue.inserts.add([sliceOf('orders', 1, { buffer: fetchOf(49) }), sliceOf('items', 1)])
    await queue.nth(2)
    const room = queue.inserts.room()
    assert.ok(await isPending(room))
    end(queue)
    await room
    await queue.close()
  }
})

test('the loop waits a moment while a table has queued records, unless the table fails', async () => {
  const queue = new Queue()
  await queue.inserts.settle()
  queue.inserts.add([sliceOf('orders', 1), sliceOf('items', 1)])
  await queue.inserts.settle()
  await queue.nth(2)
  queue.inserts.add([sliceOf('orders', 2)])
  const settled = queue.inserts.settle()
  assert.ok(await isPending(settled))
  queue.begun[0]!.end()
  await settled
  assert.is(queue.begun.length, 3, 'the queued records are being inserted')

  queue.inserts.add([sliceOf('items', 2)])
  const started = performance.now()
  await queue.inserts.settle()
  assert.ok(performance.now() - started >= 99, 'the insert of items does not end')
  const failing = queue.inserts.settle()
  queue.begun[1]!.retry()
  assert.not(await isPending(failing))
  await queue.close()
})

test('a table rests after an insert for half of its time, unless the table has a backlog', async () => {
  const queue = new Queue()
  queue.inserts.add([sliceOf('orders', 1)])
  const first = await queue.nth(1)
  const begunAt = performance.now()
  await until(() => performance.now() - begunAt > 60, { what: 'the insert takes 60 ms' })
  queue.inserts.add([sliceOf('orders', 2)])
  const endedAt = performance.now()
  first.end()
  const second = await queue.nth(2)
  assert.ok(performance.now() - endedAt >= 29, 'small inserts of a busy table become fewer and larger')
  queue.inserts.add([sliceOf('orders', 3, { records: 5_001 })])
  second.end()
  for (let turns = 0; turns < 3; turns++) await turn()
  assert.is(queue.begun.length, 3, 'a backlog is inserted at once')
  await queue.close()
})

test.run()
