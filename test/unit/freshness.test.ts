// test/unit/freshness.test: the age of changes when they became visible, over the last minute.

import { Freshness } from '../../consumer/insert/freshness.ts'
import type { Slice } from '../../consumer/records/slice.ts'
import { AvroWriter } from '../../contract/avro-writer.ts'
import { recordSetOf } from '../support/fixtures/record-set.ts'
import { assert, suite } from '../support/harness/suite.ts'

const test = suite('freshness')

/** Records committed at these moments (ms since 1970), or loaded by a snapshot. */
function sliceOf(commits: readonly number[], snapshot = false): Slice {
  const writer = new AvroWriter()
  const values = commits.map(commit => {
    writer.position = 0
    for (let byte = 0; byte < 5; byte++) writer.byte(0)
    for (const number of [1, 0, 1, Math.round(commit * 1000)]) writer.long(number)
    writer.byte(snapshot ? 1 : 0)
    return Buffer.from(writer.buffer.subarray(0, writer.position))
  })
  const count = commits.length
  const about = { topic: 't', partition: 0, start: 0, end: count, truncate: false, foreign: new Map() }
  return { ...about, records: recordSetOf(values), from: 0, to: count, lastPosition: undefined }
}

const now = 1_800_000_000_000

test('percentiles are within 1.6 % of the exact ones, for any ages', () => {
  const freshness = new Freshness()
  const ages = Array.from({ length: 20_000 }, (_, index) => (index * 7919) % 20_000).map(place => 1.0008 ** place)
  for (let at = 0; at < ages.length; at += 100)
    freshness.observe([sliceOf(ages.slice(at, at + 100).map(age => now - age))], now)
  const sorted = ages.toSorted((a, b) => a - b)
  const { p50, p99, max, changes } = freshness.summary(now)!
  assert.is(changes, ages.length)
  for (const [found, expected] of [
    [p50, sorted[10_000]!],
    [p99, sorted[19_800]!],
    [max, sorted.at(-1)!],
  ] as const)
    assert.ok(Math.abs(found - expected) <= expected * 0.016 + 1, `${found} for ${expected}`)
})

test('observations older than a minute, and rows of a snapshot, do not count', () => {
  const freshness = new Freshness()
  assert.is(freshness.summary(now), undefined)
  freshness.observe([sliceOf([now - 5], true)], now)
  assert.is(freshness.summary(now), undefined)
  freshness.observe([sliceOf([now - 40, now - 40])], now)
  freshness.observe([sliceOf([now - 60_000])], now + 30_000)
  const { p50, max, changes } = freshness.summary(now + 30_000)!
  assert.equal([p50, max, changes], [40, 90_000, 3])
  assert.is(freshness.summary(now + 61_000)?.changes, 1)
  assert.is(freshness.summary(now + 91_000), undefined)
})

test('some records of a large batch are sampled, and count for the others', () => {
  const freshness = new Freshness()
  freshness.observe([sliceOf(Array.from({ length: 5120 }, () => now - 12))], now)
  assert.equal(freshness.summary(now), { p50: 12, p99: 12, max: 12, changes: 5120 })
})

test('a source clock that is ahead counts as no delay', () => {
  const freshness = new Freshness()
  freshness.observe([sliceOf([now + 5000])], now)
  assert.equal(freshness.summary(now), { p50: 0, p99: 0, max: 0, changes: 1 })
})

test('a million changes per second take no more memory and no more time to summarize', () => {
  const freshness = new Freshness()
  const slice = sliceOf(Array.from({ length: 256 }, (_, index) => now - index))
  for (let turn = 0; turn < 4000; turn++) freshness.observe([slice], now)
  assert.is(freshness.summary(now)!.changes, 4000 * 256)
  const started = performance.now()
  for (let time = 0; time < 20; time++) freshness.summary(now)
  const each = (performance.now() - started) / 20
  assert.ok(each < 50, `${each} ms`)
})

test.run()
