// test/unit/producer-refusal: rows that ClickHouse cannot hold stop the producer by name or become
// dead letters, once and whole.

import { createHash } from 'node:crypto'
import { MillraceError } from '../../runtime/errors.ts'
import { openPipe, partitionOfOrder, partitions, relation, tuple } from '../support/fixtures/router-pipe.ts'
import { assert, suite } from '../support/harness/suite.ts'

const test = suite('producer-refusal')

test('a refused row stops the producer by name, and no part of it is sent', async () => {
  const { router, records } = openPipe()
  router.begin(0x1_0000_0010, 5_000, 77)
  const error = await assert.refuses(
    () => router.insert(relation, tuple('1', '9', 'NaN', null)),
    'VALUE_REFUSED',
    /column price holds a value that cannot be represented: a decimal/,
  )
  assert.is(error.where, 'table public.items, after image of a change, number 0 in transaction 77 at LSN 1/10')
  assert.match(error.next, /tables\.public\.items\.text: \[price\]/)
  assert.match(error.next, `SELECT * FROM "public"."items" WHERE xmin::text = '77' shows the row`)
  assert.equal(records(), [])
})

test('with onError: dead-letter, a refused image becomes a dead letter and the other image is still applied', () => {
  const { router, records, deadLetters } = openPipe({ onError: 'dead-letter' })
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
    deadLetters().map(({ code, change }) => [code, change!.op, change!.image, change!.ordinal]),
    [
      ['VALUE_REFUSED', 'c', 'after', 0],
      ['VALUE_REFUSED', 'd', 'before', 2],
      ['VALUE_REFUSED', 'c', 'after', 5],
      ['VALUE_REFUSED', 'd', 'before', 6],
    ],
  )
  assert.equal(deadLetters()[0]!.change!.row, { id: '1', order: '9', price: 'NaN', note: 'whole' })
})

test('an error names neither the value nor the key of a row', async () => {
  for (const onError of ['stop', 'dead-letter'] as const) {
    const { router, deadLetters } = openPipe({ onError, maxRecordBytes: 4096 })
    router.begin(100, 5_000, 77)
    for (const row of [tuple('4242', '9', 'NaN', 'private'), tuple('4242', '9', '1', 'private'.repeat(1000))]) {
      let error: unknown
      try {
        router.insert(relation, row)
      } catch (thrown) {
        error = thrown
      }
      const text = error instanceof MillraceError ? error.toText() : deadLetters().map(({ what, next }) => what + next)
      assert.is(error === undefined, onError === 'dead-letter')
      assert.not.match(String(text), /4242|NaN"|private/)
    }
  }
})

test('a dead letter above the size limit is cut, the largest value first, with size and digest of each cut value', () => {
  const { router, deadLetters } = openPipe({ onError: 'dead-letter', maxRecordBytes: 4096 })
  const texts = ['x'.repeat(4000), '\u0001'.repeat(3500), 'y'.repeat(100_000_000)]
  router.begin(100, 5_000, 77)
  for (const text of texts) router.insert(relation, tuple('1', '9', null, text))
  const cut = (text: string) => ({ bytes: text.length, sha256: createHash('sha256').update(text).digest('hex') })
  assert.equal(
    deadLetters().map(({ change }) => [change!.row, change!.cut]),
    texts.map(text => [{ id: '1', order: '9', price: null }, { note: cut(text) }]),
  )
})

test('a dead letter that was written before a crash is not written again, whatever the last positions of the table are', () => {
  const lastPositions = Array.from({ length: partitions }, () => ({ lsn: 300, ordinal: 0 }))
  const { router, deadLetters } = openPipe({
    onError: 'dead-letter',
    lastPositions,
    deadLetterTail: { lsn: 100, ordinal: 0 },
  })
  router.begin(100, 5_000, 77)
  router.insert(relation, tuple('1', '9', 'NaN', null))
  router.insert(relation, tuple('2', '9', 'NaN', null))
  assert.equal(
    deadLetters().map(({ change }) => change!.ordinal),
    [2],
  )
})

test('an update too large for one record is sent as a delete and a create', () => {
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

test('a row too large for a record is refused by its size, and onError: dead-letter is advised only if a dead letter fits', async () => {
  const refuse = async (onError: 'stop' | 'dead-letter', maxRecordBytes: number) => {
    const { router } = openPipe({ maxRecordBytes, onError })
    router.begin(100, 5_000, 77)
    const row = tuple('1', '9', null, 'x'.repeat(5_000))
    return assert.refuses(() => router.insert(relation, row), 'VALUE_REFUSED', /bytes/)
  }
  const raise = 'raise kafka.maxRecordBytes and start a new generation (millrace producer --new-generation)'
  const advice = `${raise}, or keep such rows as dead letters (tables.public.items.onError: dead-letter); SELECT`
  assert.ok((await refuse('stop', 4_096)).next.startsWith(advice))
  for (const onError of ['stop', 'dead-letter'] as const)
    assert.ok((await refuse(onError, 500)).next.startsWith(`${raise}; SELECT`))
})

test.run()
