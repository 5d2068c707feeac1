// test/unit/producer-refusal: rows that cannot be represented stop by name or are set aside, once and whole.
// May know: test/support.

import { openPipe, partitionOfOrder, partitions, relation, tuple } from '../support/router-pipe.ts'
import { assert, suite } from '../support/suite.ts'

const test = suite('producer-refusal')

test('a refused row stops by name, and nothing of it is sent', async () => {
  const { router, records } = openPipe()
  router.begin(0x1_0000_0010, 5_000, 77)
  const error = await assert.refuses(
    () => router.insert(relation, tuple('1', '9', 'NaN', null)),
    'VALUE_REFUSED',
    /column price holds "NaN"/,
  )
  assert.match(error.where!, /table public\.items, row id=1, after image of the change at LSN 1\/10/)
  assert.match(error.next, /tables\.public\.items\.text: \[price\]/)
  assert.equal(records(), [])
})

test('diverted, a refused image becomes a dead letter and the other image is still applied', () => {
  const { router, records, letters } = openPipe({ onRefusal: 'divert' })
  router.begin(100, 5_000, 77)
  router.insert(relation, tuple('1', '9', 'NaN', 'whole'))
  router.update(relation, tuple('1', '9', 'NaN', 'whole'), false, tuple('1', '9', '1.00', null))
  router.update(relation, tuple('1', '9', '1.00', null), false, tuple('1', '9', 'NaN', null))
  router.delete(relation, tuple('1', '9', 'NaN', null), false)
  const p = partitionOfOrder('9')
  assert.equal(records(), [
    ['c', p, 100, 3, null, ['1', '9', '1.00', null]],
    ['d', p, 100, 4, ['1', '9', '1.00', null], null],
  ])
  assert.equal(
    letters().map(({ code, change }) => [code, change!.op, change!.image, change!.ordinal]),
    [
      ['VALUE_REFUSED', 'c', 'after', 0],
      ['VALUE_REFUSED', 'd', 'before', 2],
      ['VALUE_REFUSED', 'c', 'after', 5],
      ['VALUE_REFUSED', 'd', 'before', 6],
    ],
  )
  assert.equal(letters()[0]!.change!.row, { id: '1', order: '9', price: 'NaN', note: 'whole' })
})

test('a dead letter that was written before a crash is not written again, whatever the tails of the table say', () => {
  const tails = Array.from({ length: partitions }, () => ({ lsn: 300, ordinal: 0 }))
  const { router, letters } = openPipe({ onRefusal: 'divert', tails, letterTail: { lsn: 100, ordinal: 0 } })
  router.begin(100, 5_000, 77)
  router.insert(relation, tuple('1', '9', 'NaN', null))
  router.insert(relation, tuple('2', '9', 'NaN', null))
  assert.equal(
    letters().map(({ change }) => change!.ordinal),
    [2],
  )
})

test('an update too large for one record is told as a delete and a create', () => {
  const { router, records } = openPipe({ maxRecordBytes: 4096 })
  const [old, fresh] = ['x'.repeat(2000), 'y'.repeat(2000)]
  router.begin(100, 5_000, 77)
  router.update(relation, tuple('1', '9', null, old), false, tuple('1', '9', null, fresh))
  assert.equal(
    records().map(([op, , , ordinal]) => [op, ordinal]),
    [
      ['d', 0],
      ['c', 1],
    ],
  )
})

test('a row too large for a record is refused by its size, and set aside only where the letter fits', async () => {
  const row = (size: number) => tuple('1', '9', null, 'x'.repeat(size))
  const refuse = async (onRefusal: 'stop' | 'divert', size: number) => {
    const { router } = openPipe({ maxRecordBytes: 4096, onRefusal })
    router.begin(100, 5_000, 77)
    return assert.refuses(() => router.insert(relation, row(size)), 'VALUE_REFUSED', /bytes/)
  }
  const raise = 'raise kafka.maxRecordBytes and start a new generation (millrace producer --new-generation)'
  assert.is(
    (await refuse('stop', 3_070)).next,
    `${raise}, or set such rows aside (tables.public.items.onRefusal: divert)`,
  )
  for (const size of [4_000, 5_000]) {
    assert.is((await refuse('stop', size)).next, raise)
    assert.is((await refuse('divert', size)).next, raise)
  }
  const { router, letters } = openPipe({ maxRecordBytes: 4096, onRefusal: 'divert' })
  router.begin(100, 5_000, 77)
  router.insert(relation, row(3_070))
  assert.is(letters().length, 1)
})

test.run()
