// test/unit/commit.test: the progress that is committed with the offsets of partitions.

import fc from 'fast-check'
import type { OwnedPartition } from '../../consumer/assignment/assignment.ts'
import { commitProgress, mostPartitions } from '../../consumer/assignment/commit.ts'
import { readMetadata, writeMetadata } from '../../consumer/records/progress.ts'
import type { OffsetCommit } from '../../kafka/group/coordinator.ts'
import { assert, suite } from '../support/harness/suite.ts'

const test = suite('commit')

const epoch = '0123456789abcdef01234567.12-89abcdef'

test('the metadata of a commit says again what was written, in less than 120 bytes', () => {
  const largest = Number.MAX_SAFE_INTEGER
  const position = fc.tuple(fc.nat(largest), fc.nat(2 ** 31)).map(([lsn, ordinal]) => ({ lsn, ordinal }))
  const state = fc
    .tuple(fc.option(position, { nil: undefined }), fc.integer({ min: -1, max: largest }), fc.nat(largest))
    .map(([lastPosition, lastOffset, floor]) => ({ lastPosition, lastOffset, floor }))
  fc.assert(
    fc.property(state, written => {
      const text = writeMetadata(written, epoch)
      assert.ok(Buffer.byteLength(text) < 120, text)
      assert.equal(readMetadata(text, 'here'), { ...written, epoch })
    }),
  )
})

test('without metadata nothing is known, and metadata of another program is an error', async () => {
  const nothing = { lastPosition: undefined, lastOffset: -1, floor: 0, epoch: undefined }
  assert.equal(readMetadata('', 'here'), nothing)
  const written = writeMetadata(nothing, epoch)
  for (const other of ['somebody else', `${written} more`, written.slice(0, -13), written.replace('v5', 'v4')])
    await assert.refuses(
      () => readMetadata(other, 'here'),
      'COMMIT_UNREADABLE',
      /metadata that this version cannot read/,
    )
})

/** Partitions whose progress is not committed, with the offset 7. */
function uncommitted(count: number): ReadonlyMap<string, OwnedPartition> {
  const progress = { offset: 7, lastPosition: undefined, lastOffset: -1, floor: 0 }
  const state = { progress, lastRow: undefined, fetchFrom: 7, lastPosition: undefined, nextFloor: 7 }
  return new Map(
    Array.from({ length: count }, (_, partition) => {
      return [`t/${partition}`, { topic: 't', partition, ...state, isUncommitted: true }]
    }),
  )
}

/** @param failsAt number of the commit that fails; 0 for none */
function group(failsAt = 0) {
  const commits: (readonly OffsetCommit[])[] = []
  const commit = async (offsets: readonly OffsetCommit[]) => {
    commits.push(offsets)
    if (commits.length === failsAt) throw new Error('no coordinator')
  }
  return { commits, context: { membership: { commit } as never } }
}

const about = { assignment: 1, watermarkOffset: 0, epoch }

test('each partition is committed once, in commits that a broker takes', async () => {
  const owned = uncommitted(2 * mostPartitions + 1)
  const { commits, context } = group()
  await commitProgress(context, { ...about, owned })
  assert.equal(
    commits.map(({ length }) => length),
    [mostPartitions, mostPartitions, 1],
  )
  assert.is(new Set(commits.flat().map(({ partition }) => partition)).size, owned.size)
  assert.ok(commits.flat().every(({ offset }) => offset === 7))
  const [{ metadata }] = commits[0] as [OffsetCommit]
  assert.equal(readMetadata(metadata, 'here'), { lastPosition: undefined, lastOffset: -1, floor: 0, epoch })
  owned.get('t/3')!.isUncommitted = true
  await commitProgress(context, { ...about, owned })
  assert.equal(
    commits[3]!.map(({ partition }) => partition),
    [3],
  )
  await commitProgress(context, { ...about, owned })
  assert.is(commits.length, 4, 'nothing is left to commit')
})

test('a commit that fails is made again, and so is a change during a commit', async () => {
  const owned = uncommitted(mostPartitions + 2)
  const { commits, context } = group(2)
  await assert.rejects(() => commitProgress(context, { ...about, owned }), /no coordinator/)
  const left = [...owned.values()].filter(({ isUncommitted }) => isUncommitted)
  assert.equal(
    left.map(({ partition }) => partition),
    [mostPartitions, mostPartitions + 1],
  )
  const committing = commitProgress(context, { ...about, owned })
  const [changed] = left as [OwnedPartition]
  changed.progress = { ...changed.progress, offset: 8 }
  changed.isUncommitted = true
  await committing
  await commitProgress(context, { ...about, owned })
  assert.equal(
    commits.slice(2).map(commit => commit.map(({ offset }) => offset)),
    [[7, 7], [8]],
  )
})

test.run()
