// kafka/consumer/fetcher: reads records from given offsets, from the leaders of the partitions.
// It never moves an offset by itself: missing records are an error.

import { MillraceError } from '../../runtime/errors.ts'
import { backoffMs, orAborted, sleep } from '../../runtime/wait.ts'
import { answeredError, errorFromCode, isRetriable, type RawRequest } from '../client/broker.ts'
import type { BrokerConnections } from '../client/broker-connections.ts'
import type { KafkaConnection } from '../client/cluster.ts'
import { describe, kafkaError, quietAtFirst, requestBackoff } from '../client/errors.ts'
import { earliest, latest, listOffsets, listOffsetsOf } from '../client/offsets.ts'
import { decodeBatches, type RecordSet } from '../protocol/record-batch.ts'
import { type FetchLimits, type FetchPosition, fetchRequest, parseFetchResponse } from './fetch-request.ts'
import { FetchSession, type PartitionResponses } from './fetch-session.ts'

export type { FetchLimits, FetchPosition } from './fetch-request.ts'

export interface FetchedPartition {
  readonly topic: string
  readonly partition: number
  /** The offset at which the fetch began. */
  readonly fromOffset: number
  /**
   * Offset after the last readable record: all in-sync replicas have it, and it is not behind an
   * open transaction.
   */
  readonly end: number
  readonly records: RecordSet
}

/** A leader's response, or why there is none. */
interface Answer {
  readonly responses?: PartitionResponses | undefined
  readonly failure?: string
}

/** A request to one leader without a response yet. Several calls of `fetch` may wait for it. */
interface Poll {
  readonly session: FetchSession
  readonly answer: Promise<Answer>
  isDone: boolean
}

export interface FetcherOptions {
  /**
   * Whether the caller fetches mostly the same partitions repeatedly. Each leader then keeps a
   * fetch session, with which idle partitions cost almost nothing.
   */
  readonly follows?: boolean
}

const noWait: FetchLimits = { maxWaitMs: 0, minBytes: 0, maxBytes: 0 }
const noRecords = decodeBatches(Buffer.alloc(0), { topic: '', partition: 0, fromOffset: 0 })

export function openFetcher(connection: KafkaConnection, options: FetcherOptions = {}): Fetcher {
  return new Fetcher(connection, options)
}

export class Fetcher {
  readonly #connection: KafkaConnection
  readonly #connections: BrokerConnections
  readonly #follows: boolean
  readonly #polls = new Map<number, Poll>()
  /** By leader. */
  readonly #sessions = new Map<number, FetchSession>()
  readonly #stop = new AbortController()
  /**
   * Failed requests to leaders in a row, including answers that the broker is no longer the leader.
   */
  interruptions = 0
  #failures = 0

  constructor(connection: KafkaConnection, { follows = false }: FetcherOptions) {
    this.#connection = connection
    this.#follows = follows
    this.#connections = connection.openConnections()
  }

  /**
   * Committed records from the given offsets. Returns when the first broker has responded, with all
   * of its partitions, also those without news. Responses of slower brokers are kept for the next
   * call. When a broker fails or no longer leads a partition, the fetcher logs a warning, pauses,
   * and returns without that partition.
   * @throws {MillraceError} OFFSETS_MISSING, BATCH_UNREADABLE, TOPIC_MISSING, KAFKA_DENIED; the
   *   signal's reason
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
    const { fetched, failure } = await this.#collect(byLeader)
    const found = [...byLeader.values()].reduce((sum, ofLeader) => sum + ofLeader.length, 0)
    if (failure !== undefined) await this.#recover(positions, failure, signal)
    else if (found < positions.length) await this.#recover(positions, 'no leader is known', signal)
    else this.#failures = 0
    return fetched
  }

  /**
   * Offset after the last committed record, per partition.
   * @throws {MillraceError} TOPIC_MISSING, KAFKA_DENIED; the signal's reason
   */
  endOffsets(topic: string, signal: AbortSignal = this.#stop.signal): Promise<number[]> {
    return listOffsets(this.#connection, this.#connections, { topic, at: latest, signal })
  }

  /**
   * Offset of the first record that is still kept, per partition.
   * @throws {MillraceError} TOPIC_MISSING, KAFKA_DENIED; the signal's reason
   */
  startOffsets(topic: string, signal: AbortSignal = this.#stop.signal): Promise<number[]> {
    return listOffsets(this.#connection, this.#connections, { topic, at: earliest, signal })
  }

  /**
   * The first kept offset and the end offset of each partition of each topic.
   * @throws as `endOffsets`
   */
  async ranges(topics: readonly string[], signal: AbortSignal): Promise<{ start: number; end: number }[][]> {
    const list = (at: typeof earliest | typeof latest) =>
      listOffsetsOf(this.#connection, this.#connections, { topics, at, signal })
    // The ends are read last. Otherwise records deleted in between could give a range that ends
    // before it begins.
    const starts = await list(earliest)
    const ends = await list(latest)
    return ends.map((ofTopic, topic) => ofTopic.map((end, partition) => ({ start: starts[topic]![partition]!, end })))
  }

  close(): void {
    this.#stop.abort()
    const sessions = this.#follows ? [...this.#sessions] : []
    if (sessions.length === 0) this.#connections.close()
    const ending = sessions.map(([leader, session]) => this.#end(leader, session).catch(ignore))
    void Promise.all(ending).then(() => this.#connections.close())
  }

  /**
   * The number of sessions of a broker is limited. It keeps a session that was not ended for at
   * least two minutes.
   */
  async #end(leader: number, session: FetchSession): Promise<void> {
    await this.#polls.get(leader)?.answer
    const ask = session.end()
    if (ask !== undefined) await (await this.#connections.to(leader)).send(fetchRequest(ask, noWait))
  }

  /** Skips positions without a known leader. */
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
    const session = this.#sessions.get(leader) ?? new FetchSession(this.#follows)
    this.#sessions.set(leader, session)
    const ask = () => fetchRequest(session.next(positions, limits), limits)
    const poll: Poll = { session, answer: this.#ask(leader, session, ask), isDone: false }
    const end = () => {
      poll.isDone = true
    }
    poll.answer.then(end, end)
    return poll
  }

  async #ask(leader: number, session: FetchSession, next: () => RawRequest): Promise<Answer> {
    try {
      const link = await this.#connections.to(leader)
      for (let isNew = session.isNew; ; isNew = true) {
        const response = parseFetchResponse(await link.send(next()))
        if (response.errorCode === 0) return { responses: session.take(response) }
        // The broker has evicted the session, or was restarted. No data is lost with a session.
        session.restart()
        if (isNew) throw errorFromCode(response.errorCode)
      }
    } catch (error) {
      session.restart()
      if (!isRetriable(error)) throw kafkaError(error, 'fetch records')
      return { failure: describe(error) }
    }
  }

  /** Takes the responses whose positions are the ones wanted now. */
  async #collect(
    byLeader: ReadonlyMap<number, readonly FetchPosition[]>,
  ): Promise<{ fetched: FetchedPartition[]; failure?: string }> {
    const fetched: FetchedPartition[] = []
    let failure: string | undefined
    for (const [leader, { session, answer, isDone }] of this.#polls) {
      if (!isDone) continue
      this.#polls.delete(leader)
      const { responses, failure: whyNot } = await answer
      failure ??= whyNot
      if (responses === undefined) continue
      for (const position of byLeader.get(leader) ?? []) {
        const held = session.find(position)
        if (held?.offset !== position.offset) continue
        const response = responses.get(held)
        if (response !== undefined && response.errorCode !== 0)
          failure ??= await this.#transient(errorFromCode(response.errorCode), position)
        else if (held.end !== -1) fetched.push(fetchedAt(position, held.end, response?.records))
      }
    }
    return { fetched, ...(failure === undefined ? {} : { failure }) }
  }

  /** Describes a retriable error, and throws any other. */
  async #transient(error: Error, position: FetchPosition): Promise<string> {
    if (answeredError(error) === 'OFFSET_OUT_OF_RANGE') throw await this.#offsetsMissing(position)
    if (!isRetriable(error)) throw kafkaError(error, 'fetch records', placeOf(position))
    return describe(error)
  }

  async #recover(positions: readonly FetchPosition[], reason: string, signal: AbortSignal): Promise<void> {
    this.#failures += 1
    this.interruptions += 1
    this.#connection.log[quietAtFirst(this.#failures)]('records cannot be fetched yet, trying again', {
      reason,
      attempt: this.#failures,
    })
    await sleep(backoffMs(this.#failures, requestBackoff), signal)
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
      next: 'the records were deleted or the topic was created again; start a new generation: millrace producer --new-generation',
    })
  }
}

function fetchedAt(position: FetchPosition, end: number, batches?: Buffer): FetchedPartition {
  const { topic, partition, offset: fromOffset } = position
  const records = batches?.length
    ? decodeBatches(batches, { topic, partition, fromOffset })
    : { ...noRecords, nextOffset: fromOffset }
  return { topic, partition, end, records, fromOffset }
}

/** Waits until one of the polls has succeeded or failed. @throws the signal's reason */
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
