// test/unit/kafka-fetch-session: a fetch session and responses that a local broker does not give on
// demand.

import type { FetchResponse, PartitionResponse } from '../../kafka/consumer/fetch-request.ts'
import { FetchSession } from '../../kafka/consumer/fetch-session.ts'
import { assert, suite } from '../support/harness/suite.ts'

const test = suite('kafka fetch session')
const limits = { maxWaitMs: 0, minBytes: 1, maxBytes: 1_000 }
const positions = [0, 1, 2].map(partition => ({ topic: 't', partition, offset: 5, maxBytes: 100 }))
const nothing = Buffer.alloc(0)

function answer(partitions: readonly Partial<PartitionResponse>[], rest: Partial<FetchResponse> = {}): FetchResponse {
  const idle = { topic: 't', partition: 0, errorCode: 0, highWatermark: 5, records: nothing }
  return {
    errorCode: 0,
    throttleMs: 0,
    sessionId: 7,
    partitions: partitions.map(each => ({ ...idle, ...each })),
    ...rest,
  }
}

const all = [{ partition: 0 }, { partition: 1 }, { partition: 2 }]

test('a response throttled by a quota has no news of any partition, and counts as a response', () => {
  const session = new FetchSession(true)
  assert.equal(session.next(positions, limits).session, { id: 0, epoch: 0 })
  assert.is(session.take(answer([], { throttleMs: 100, sessionId: 0 })), undefined)
  assert.equal(session.next(positions, limits).session, { id: 0, epoch: 0 })
  assert.is(session.take(answer(all))?.size, 3)
  const asked = session.next([{ ...positions[0]!, offset: 4 }, ...positions.slice(1)], limits)
  assert.equal(asked.session, { id: 7, epoch: 1 })
  assert.equal(
    asked.positions.map(({ partition, offset }) => [partition, offset]),
    [[0, 4]],
  )
  assert.is(session.take(answer([], { throttleMs: 100 })), undefined)
  assert.equal(session.next(positions, limits).session, { id: 7, epoch: 2 })
  assert.is(session.take(answer([]))?.size, 0)
})

test('a partition that returns none of its records comes first once, since compaction may have removed them', () => {
  const session = new FetchSession(true)
  session.next(positions, limits)
  session.take(
    answer([{ partition: 0, records: Buffer.alloc(50) }, { partition: 1 }, { partition: 2, highWatermark: 9 }]),
  )
  const asked = session.next(positions, limits)
  // The client ends the session, since it cannot change the order of its partitions.
  assert.equal(asked.session, { id: 7, epoch: 0 })
  assert.equal(
    asked.positions.map(({ partition }) => partition),
    [2, 1, 0],
  )
  session.take(answer([{ partition: 0 }, { partition: 1 }, { partition: 2, highWatermark: 9 }]))
  assert.equal(session.next(positions, limits), { session: { id: 7, epoch: 1 }, positions: [], forgotten: [] })
})

test('a partition waits its turn when others have filled the response', () => {
  const session = new FetchSession(true)
  session.next(positions, limits)
  const filled = { partition: 0, records: Buffer.alloc(950), highWatermark: 9 }
  session.take(answer([filled, { partition: 1 }, { partition: 2, highWatermark: 9 }]))
  assert.equal(session.next(positions, limits).session, { id: 7, epoch: 1 })
})

test('a partition with an error has no known end until its next response', () => {
  const session = new FetchSession(true)
  session.next(positions, limits)
  session.take(answer(all))
  assert.is(session.find(positions[1]!)?.end, 5)
  session.next(positions, limits)
  session.take(answer([{ partition: 1, errorCode: 3, highWatermark: -1 }]))
  assert.is(session.find(positions[1]!)?.end, -1)
  session.next(positions, limits)
  session.take(answer([{ partition: 1, highWatermark: 6 }]))
  assert.is(session.find(positions[1]!)?.end, 6)
})

test.run()
