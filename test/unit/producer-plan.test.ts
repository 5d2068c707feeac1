// test/unit/producer-plan: generations, commit times and partitions: the producer's pure functions.

import fc from 'fast-check'
import {
  type Generation,
  type GenerationState,
  generationFormat,
  numberInName,
  publicationOf,
  slotName,
} from '../../contract/generation.ts'
import { ownerMark, readOwner } from '../../contract/owner.ts'
import { isRecord, readGeneration } from '../../kafka/generations-topic.ts'
import { partitionOf, sameText } from '../../producer/capture/partition.ts'
import { planGeneration } from '../../producer/generation/plan.ts'
import { CommitTimes } from '../../producer/stream/lsn-tracker.ts'
import { textRow } from '../support/fixtures/text-row.ts'
import { assert, suite } from '../support/harness/suite.ts'

const test = suite('producer-plan')

function generation(number: number, state: GenerationState): Generation {
  return {
    format: generationFormat,
    number,
    id: `id${number}`,
    state,
    slot: `s_${number}`,
    source: 'x/y',
    timeline: 1,
    kafkaCluster: 'k',
    maxRecordBytes: 1000,
    refusalRules: 1,
    consistentPoint: 0,
    tables: [],
  }
}

test('the first generation is number 1', () => {
  assert.equal(planGeneration([], false), { plan: { kind: 'begin', number: 1 }, interrupted: [] })
})

test('the newest live generation is resumed', () => {
  const live = generation(3, 'live')
  const { plan } = planGeneration([generation(1, 'abandoned'), live, generation(2, 'live')], false)
  assert.equal(plan, { kind: 'resume', generation: live })
})

test('an interrupted load is abandoned and its number is not used again', () => {
  const loading = generation(2, 'loading')
  assert.equal(planGeneration([generation(1, 'abandoned'), loading], false), {
    plan: { kind: 'begin', number: 3 },
    interrupted: [loading],
  })
})

test('a load that was only announced is abandoned too', () => {
  const announced = generation(1, 'announced')
  assert.equal(planGeneration([announced], false), { plan: { kind: 'begin', number: 2 }, interrupted: [announced] })
})

test("a slot has the name of its generation's publication, or the generation's id in its name", () => {
  const id = '3f9c5c1e-0b7a-4d2e-8a51-000000000000'
  assert.is(slotName('shop', { number: 4, id }), 'shop_4')
  assert.is(publicationOf('shop', { number: 4 }), 'shop_4')
  assert.is(publicationOf('shop', { number: 4, publication: 'p' }), 'p')
  const named = slotName('shop', { number: 4, id, publication: 'p' })
  assert.is(named, 'shop_4_3f9c5c1e0b7a4d2e')
  const pipeline = 'x'.repeat(31)
  assert.ok(slotName(pipeline, { number: 999_999_999, id, publication: 'p' }).length < 64)
  for (const name of ['shop_4', named]) assert.is(numberInName('shop', name), 4)
  for (const name of [
    'shop',
    'shop_',
    'shop_0',
    'shop_04',
    'shop_4_',
    'shop_4_3f9c',
    'shop_4_1',
    'shopx_4',
    `shop_4_${id}`,
  ])
    assert.is(numberInName('shop', name), undefined, name)
  assert.is(numberInName('shop', slotName('shop_4', { number: 1, id, publication: 'p' })), undefined)
})

test('an owner mark is read as it was written, and any other comment is no owner mark', () => {
  const source = '7412/a, "b" id x'
  const { id, kafkaCluster } = generation(4, 'live')
  const mark = ownerMark('shop', { ...generation(4, 'live'), source })
  assert.equal(readOwner(mark), { pipeline: 'shop', number: 4, id, kafkaCluster, source })
  for (const comment of [null, '', 'made by hand', `${mark.slice(0, 40)}`]) assert.is(readOwner(comment), undefined)
})

test('a generation on demand is created beside the live one', () => {
  assert.equal(planGeneration([generation(1, 'live')], true), { plan: { kind: 'begin', number: 2 }, interrupted: [] })
})

test('a record of another version is an error, and the record of a dropped generation only reserves its number', async () => {
  const record = (format: number | undefined, state: GenerationState) =>
    JSON.stringify({ ...generation(7, state), format })
  assert.equal(readGeneration(record(generationFormat, 'live'), 'shop'), generation(7, 'live'))
  for (const state of ['live', 'loading'] as const) {
    const earlier = /generation 7 was recorded by an earlier version/
    await assert.refuses(() => readGeneration(record(undefined, state), 'shop'), 'GENERATION_CHANGED', earlier)
    await assert.refuses(
      () => readGeneration(record(generationFormat + 1, state), 'shop'),
      'GENERATION_CHANGED',
      /by a later version/,
    )
  }
  assert.is(readGeneration(record(undefined, 'dropped'), 'shop').number, 7)
})

test('foreign records in the generations topic are ignored, whatever they look like', () => {
  assert.ok(isRecord('7', JSON.stringify(generation(7, 'live'))))
  assert.not.ok(isRecord('8', JSON.stringify(generation(7, 'live'))))
  for (const text of ['', 'hello', 'null', '7', '[]', '{"number":7}', '{"number":"x","state":"live"}'])
    assert.not.ok(isRecord('7', text), text)
})

test('the commit time is that of the last durable commit, even when the clock was set back', () => {
  const times = new CommitTimes(1)
  times.add(10, 100)
  times.add(20, 90)
  times.add(30, 300)
  assert.equal([times.upTo(9), times.upTo(10), times.upTo(29), times.upTo(30), times.upTo(99)], [1, 100, 90, 300, 300])
})

test('commit times are removed once reached, and stay right over many', () => {
  const times = new CommitTimes(0)
  for (let lsn = 1; lsn <= 100_000; lsn++) {
    times.add(lsn, lsn * 2)
    if (lsn % 10 === 0) assert.is(times.upTo(lsn - 5), (lsn - 5) * 2)
  }
  assert.is(times.upTo(100_000), 200_000)
})

test('a row has the same partition as in the first version of millrace', () => {
  const known = [
    [['1'], 16, 13],
    [['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'], 16, 14],
    [['1', '23'], 16, 3],
    [['12', '3'], 16, 6],
  ] as const
  assert.equal(
    known.map(([values, partitions]) =>
      partitionOf(
        textRow([...values]),
        values.map((_, index) => index),
        partitions,
      ),
    ),
    known.map(([, , partition]) => partition),
  )
})

test('consecutive numbers spread evenly', () => {
  const counts = new Array<number>(7).fill(0)
  for (let id = 0; id < 70_000; id++) counts[partitionOf(textRow([String(id)]), [0], 7)]! += 1
  for (const count of counts) assert.ok(Math.abs(count - 10_000) < 500, `${counts}`)
})

test('texts are equal only byte by byte, at any place of a buffer', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (a, b) => {
      assert.is(sameText(textRow(['x', a]), textRow(['yy', b]), [1]), a === b)
      assert.ok(sameText(textRow(['x', a]), textRow(['yyy', a]), [1]))
    }),
  )
})

test.run()
