// kafka/fetch: records from given offsets on, from whichever brokers lead the partitions.
// May know: kafka, runtime. Never moves an offset by itself: what is missing is an error.

import { orAborted } from '../runtime/abandon.ts'
import { MillraceError } from '../runtime/errors.ts'
import { pause } from '../runtime/pause.ts'
import { answeredError, errorFromCode, isRetriable } from './broker.ts'
import type { KafkaConnection } from './cluster.ts'
import { attemptLevel, backoffMs, describe, kafkaError } from './failure.ts'
import {
  type FetchLimits,
  type FetchPosition,
  fetchRequest,
  type PartitionResponse,
  parseFetchResponse,
} from './fetch-request.ts'
import type { Lane } from './lane.ts'
import { earliest, latest, listOffsets, listOffsetsOf } from './offsets.ts'
import { decodeBatches, type RecordSet } from './record-batch.ts'

export type { FetchLimits, FetchPosition } from './fetch-request.ts'

export interface FetchedPartition {
  readonly topic: string
  readonly partition: number
  /** Where it was fetched at. */
  readonly fromOffset: number
  /** Offset after the last record that may be read: all in-sync replicas have it, and no open transaction stands before it. */
  readonly end: number
  /** Offset of the first record still kept. */
  readonly logStartOffset: number
  readonly records: RecordSet
}

/** What a leader said, or why it could not be asked. */
interface Answer {
  readonly partitions: readonly PartitionResponse[]
  readonly failure?: string
}

/** A request under way to one leader; several calls of `fetch` may wait for it. */
interface Poll {
  readonly positions: readonly FetchPosition[]
  readonly answer: Promise<Answer>
  isDone: boolean
}

export function openFetcher(connection: KafkaConnection): Fetcher {
  return new Fetcher(connection)
}

export class Fetcher {
  readonly #connection: KafkaConnection
  readonly #lane: Lane
  readonly #polls = new Map<number, Poll>()
  readonly #stop = new AbortController()
  /** How often a leader could not be asked, or was no longer the leader. */
  interruptions = 0
  #turn = 0
  /** Partitions that had records when they were asked for last, of which none came. */
  readonly #passedOver = new Set<string>()
  #failures = 0

  constructor(connection: KafkaConnection) {
    this.#connection = connection
    this.#lane = connection.openLane()
  }

  /**
   * Committed records from the given offsets on. Returns when the first broker has answered, with its partitions only, those
   * without news included; answers of slower brokers are kept for the next call. A broker that fails or no longer leads a
   * partition is met with a warning, a pause and a result without that partition.
   * @throws {MillraceError} OFFSETS_MISSING, BATCH_UNREADABLE, TOPIC_MISSING, KAFKA_DENIED; the signal's reason
   */
  async fetch(
    positions: readonly FetchPosition[],
    limits: FetchLimits,
    signal: AbortSignal,
  ): Promise<FetchedPartition[]> {
    signal.throwIfAborted()
    const byLeader = this.#byLeader(positions)
    for (const [leader, itsPositions] of byLeader)
      if (!this.#polls.has(leader)) this.#polls.set(leader, this.#poll(leader, itsPositions, limits))
    await untilFirst([...this.#polls.values()], signal)
    const { fetched, failure } = await this.#collect(positions)
    const found = [...byLeader.values()].reduce((sum, ofLeader) => sum + ofLeader.length, 0)
    if (failure !== undefined) await this.#recover(positions, failure, signal)
    else if (found < positions.length) await this.#recover(positions, 'no leader is known', signal)
    else this.#failures = 0
    return fetched
  }

  /** Offset after the last committed record, per partition. @throws {MillraceError} TOPIC_MISSING, KAFKA_DENIED; the signal's reason */
  endOffsets(topic: string, signal: AbortSignal = this.#stop.signal): Promise<number[]> {
    return listOffsets(this.#connection, this.#lane, { topic, at: latest, signal })
  }

  /** Offset of the first record still kept, per partition. @throws {MillraceError} TOPIC_MISSING, KAFKA_DENIED; the signal's reason */
  startOffsets(topic: string, signal: AbortSignal = this.#stop.signal): Promise<number[]> {
    return listOffsets(this.#connection, this.#lane, { topic, at: earliest, signal })
  }

  /** From the first record that is still kept to behind the last committed one, of each partition of each topic. @throws as `endOffsets` */
  async ranges(topics: readonly string[], signal: AbortSignal): Promise<{ start: number; end: number }[][]> {
    const list = (at: typeof earliest | typeof latest) =>
      listOffsetsOf(this.#connection, this.#lane, { topics, at, signal })
    // The ends last: what is deleted in between must not make a range that ends before it starts.
    const starts = await list(earliest)
    const ends = await list(latest)
    return ends.map((ofTopic, topic) => ofTopic.map((end, partition) => ({ start: starts[topic]![partition]!, end })))
  }

  close(): void {
    this.#stop.abort()
    this.#lane.close()
  }

  /** Positions without a known leader are left out. */
  #byLeader(positions: readonly FetchPosition[]): Map<number, FetchPosition[]> {
    const byLeader = new Map<number, FetchPosition[]>()
    for (const position of positions) {
      const leader = this.#connection.leader(position.topic, position.partition)
      if (leader === undefined) continue
      const ofLeader = byLeader.get(leader)
      if (ofLeader) ofLeader.push(position)
      else byLeader.set(leader, [position])
    }
    return byLeader
  }

  #poll(leader: number, positions: readonly FetchPosition[], limits: FetchLimits): Poll {
    const poll: Poll = { positions, answer: this.#ask(leader, this.#inTurn(positions), limits), isDone: false }
    const end = () => {
      poll.isDone = true
    }
    poll.answer.then(end, end)
    return poll
  }

  /**
   * The first position may fill the whole response, so each takes its turn to be the first. A record that is larger than what may come of
   * its partition comes only if its partition is the first that has any, so partitions of which nothing came go before all others.
   */
  #inTurn(positions: readonly FetchPosition[]): readonly FetchPosition[] {
    const first = this.#turn++ % positions.length
    const inTurn = [...positions.slice(first), ...positions.slice(0, first)]
    if (this.#passedOver.size === 0) return inTurn
    const isFirst = (position: FetchPosition) => this.#passedOver.has(keyOf(position))
    return [...inTurn.filter(isFirst), ...inTurn.filter(position => !isFirst(position))]
  }

  async #ask(leader: number, positions: readonly FetchPosition[], limits: FetchLimits): Promise<Answer> {
    try {
      const link = await this.#lane.to(leader)
      const { errorCode, partitions } = parseFetchResponse(await link.send(fetchRequest(positions, limits)))
      if (errorCode !== 0) throw errorFromCode(errorCode)
      return { partitions }
    } catch (error) {
      if (!isRetriable(error)) throw kafkaError(error, 'fetch records')
      return { partitions: [], failure: describe(error) }
    }
  }

  /** Takes what has been answered, as far as it was fetched at the positions that are wanted now. */
  async #collect(wanted: readonly FetchPosition[]): Promise<{ fetched: FetchedPartition[]; failure?: string }> {
    const fetched: FetchedPartition[] = []
    let failure: string | undefined
    let offsets: Map<string, FetchPosition> | undefined
    for (const [leader, poll] of this.#polls) {
      if (!poll.isDone) continue
      this.#polls.delete(leader)
      const answer = await poll.answer
      failure ??= answer.failure
      if (answer.partitions.length > 0) offsets ??= byPartition(wanted)
      const positions = byPartition(poll.positions)
      for (const response of answer.partitions) {
        const key = keyOf(response)
        const asked = positions.get(key)!
        if (offsets?.get(key)?.offset !== asked.offset) continue
        if (response.errorCode === 0) fetched.push(this.#note(key, decode(response, asked)))
        else failure ??= await this.#transient(errorFromCode(response.errorCode), asked)
      }
    }
    return { fetched, ...(failure === undefined ? {} : { failure }) }
  }

  /** Whether there was something to give, and nothing was given. */
  #note(key: string, fetched: FetchedPartition): FetchedPartition {
    const { records, fromOffset, end } = fetched
    if (records.nextOffset === fromOffset && end > fromOffset) this.#passedOver.add(key)
    else this.#passedOver.delete(key)
    return fetched
  }

  /** Describes an error that passes; throws any other. */
  async #transient(error: Error, position: FetchPosition): Promise<string> {
    if (answeredError(error) === 'OFFSET_OUT_OF_RANGE') throw await this.#offsetsMissing(position)
    if (!isRetriable(error)) throw kafkaError(error, 'fetch records', placeOf(position))
    return describe(error)
  }

  async #recover(positions: readonly FetchPosition[], reason: string, signal: AbortSignal): Promise<void> {
    this.#failures += 1
    this.interruptions += 1
    this.#connection.log[attemptLevel(this.#failures)]('records cannot be fetched yet, trying again', {
      reason,
      attempt: this.#failures,
    })
    await pause(backoffMs(this.#failures), signal)
    const topics = new Set(positions.map(({ topic }) => topic))
    await orAborted(this.#connection.refresh([...topics]), signal).catch(error => {
      signal.throwIfAborted()
      this.#connection.log.warn('the cluster cannot be asked for leaders', { reason: describe(error) })
    })
  }

  async #offsetsMissing(position: FetchPosition): Promise<MillraceError> {
    const { topic, partition, offset } = position
    const [starts, ends] = await Promise.all([this.startOffsets(topic), this.endOffsets(topic)])
    return new MillraceError('OFFSETS_MISSING', {
      what: `offset ${offset} is needed next, but the topic holds ${starts[partition]} to ${ends[partition]} (exclusive)`,
      where: placeOf(position),
      next: 'the records were deleted or the topic was made anew; start a new generation: millrace producer --new-generation',
    })
  }
}

function decode(response: PartitionResponse, { offset }: FetchPosition): FetchedPartition {
  const { topic, partition, highWatermark: end, logStartOffset } = response
  const records = decodeBatches(response.records, { topic, partition, fromOffset: offset })
  return { topic, partition, end, logStartOffset, records, fromOffset: offset }
}

function byPartition(positions: readonly FetchPosition[]): Map<string, FetchPosition> {
  return new Map(positions.map(position => [keyOf(position), position]))
}

function keyOf({ topic, partition }: Pick<FetchPosition, 'topic' | 'partition'>): string {
  return `${topic}/${partition}`
}

/** Until one of the polls has ended, however it ended. @throws the signal's reason */
async function untilFirst(polls: readonly Poll[], signal: AbortSignal): Promise<void> {
  if (polls.length === 0) return
  const listening = new AbortController()
  const aborted = new Promise<void>(resolve => {
    signal.addEventListener('abort', () => resolve(), { once: true, signal: listening.signal })
  })
  await Promise.race([aborted, ...polls.map(({ answer }) => answer.then(ignore, ignore))])
  listening.abort()
  signal.throwIfAborted()
}

function ignore(): void {}

function placeOf({ topic, partition, offset }: FetchPosition): string {
  return `topic ${topic}, partition ${partition}, offset ${offset}`
}
