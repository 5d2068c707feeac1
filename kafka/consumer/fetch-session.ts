// kafka/consumer/fetch-session: a leader's fetch session, with which requests and responses contain
// only the partitions that changed.

import type { FetchAsk, FetchLimits, FetchPosition, FetchResponse, PartitionResponse } from './fetch-request.ts'

/** A partition as it was last requested. */
export interface SessionPartition {
  readonly topic: string
  readonly partition: number
  offset: number
  maxBytes: number
  /** Whether the leader knows `offset` and `maxBytes`. */
  isSent: boolean
  /** Offset after the last readable record; −1 until the leader has sent it. */
  end: number
  /** Number of the last request that contained the partition. */
  request: number
  /** Number of the last request whose response had records of the partition. */
  gave: number
  /** The offset at which the partition was last the first of a request; −1 before. */
  firstAt: number
}

/** The part of a response about one partition. A leader leaves out partitions without news. */
export type PartitionResponses = ReadonlyMap<SessionPartition, PartitionResponse>

/** Epoch of a request that creates no session, or ends the named one. */
const finalEpoch = -1
/** Epoch of a request that lists all partitions and creates a session with them. */
const initialEpoch = 0
const noSession = 0
const lastEpoch = 2 ** 31 - 1

/**
 * The session with one leader. Its requests must be sent one after the other.
 * @see https://cwiki.apache.org/confluence/display/KAFKA/Kafka+Improvement+Proposals (KIP-227)
 */
export class FetchSession {
  readonly #held = new Map<string, Map<number, SessionPartition>>()
  readonly #whole: number
  #id = noSession
  /**
   * Epoch of the next request. Above 0, the leader has a session that contains all partitions sent
   * so far.
   */
  #epoch: number
  #request = 0
  #count = 0
  #room = 0
  #first: SessionPartition | undefined

  /**
   * @param lasts false: no session is created. A session is worthwhile only if most partitions are
   *   requested again.
   */
  constructor(lasts: boolean) {
    this.#whole = lasts ? initialEpoch : finalEpoch
    this.#epoch = this.#whole
  }

  /** Whether the next request is possible without a session at the leader. */
  get isNew(): boolean {
    return this.#epoch <= 0
  }

  /** The request for exactly these positions, each of another partition. */
  next(positions: readonly FetchPosition[], limits: FetchLimits): FetchAsk {
    this.#request += 1
    this.#room = limits.maxBytes
    const held = positions.map(position => this.#hold(position, limits))
    const forgotten = held.length < this.#count ? this.#forget() : []
    // A leader does not move a partition to the front of its session.
    if (this.#first !== undefined) this.restart()
    const session = { id: this.#id, epoch: this.#epoch }
    if (this.isNew) {
      for (const each of held) Object.assign(each, { isSent: true, end: -1 })
      return { session, positions: inTurn(held, this.#first), forgotten: [] }
    }
    const changed = held.filter(({ isSent }) => !isSent)
    for (const each of changed) each.isSent = true
    return { session, positions: changed, forgotten }
  }

  /** @returns undefined for a response without any information */
  take({ sessionId, throttleMs, partitions }: FetchResponse): PartitionResponses | undefined {
    this.#id = sessionId
    this.#epoch = sessionId === noSession ? this.#whole : (this.#epoch % lastEpoch) + 1
    // A broker that throttles the client sends no records. @see KIP-219
    if (throttleMs > 0 && partitions.length === 0) return undefined
    if (this.#first !== undefined) this.#first.firstAt = this.#first.offset
    const responses = new Map<SessionPartition, PartitionResponse>()
    for (const response of partitions) {
      const held = this.find(response)
      if (held === undefined) continue
      responses.set(held, response)
      held.end = response.errorCode === 0 ? response.highWatermark : -1
      this.#room -= response.records.length
      if (response.records.length > 0) held.gave = this.#request
    }
    this.#first = this.#tooLarge()
    return responses
  }

  /** The next request lists all partitions and ends an existing session. */
  restart(): void {
    this.#epoch = this.#whole
  }

  /** The request that ends the leader's session; undefined when there is none. */
  end(): FetchAsk | undefined {
    if (this.isNew) return undefined
    return { session: { id: this.#id, epoch: finalEpoch }, positions: [], forgotten: [] }
  }

  find({ topic, partition }: Pick<SessionPartition, 'topic' | 'partition'>): SessionPartition | undefined {
    return this.#held.get(topic)?.get(partition)
  }

  #hold(position: FetchPosition, limits: FetchLimits): SessionPartition {
    const { topic, partition, offset, maxBytes = limits.maxBytes } = position
    const held = this.find(position) ?? this.#add(topic, partition)
    if (held.offset !== offset || held.maxBytes !== maxBytes) Object.assign(held, { offset, maxBytes, isSent: false })
    held.request = this.#request
    return held
  }

  #add(topic: string, partition: number): SessionPartition {
    const unknown = { offset: -1, maxBytes: -1, isSent: false, end: -1, request: 0, gave: 0, firstAt: -1 }
    const held = { topic, partition, ...unknown }
    const ofTopic = this.#held.get(topic)
    if (ofTopic === undefined) this.#held.set(topic, new Map([[partition, held]]))
    else ofTopic.set(partition, held)
    this.#count += 1
    return held
  }

  /** The partitions of the session that are not part of this request. */
  #forget(): SessionPartition[] {
    const forgotten = [...this.#all()].filter(({ request }) => request !== this.#request)
    for (const { topic, partition } of forgotten) {
      const ofTopic = this.#held.get(topic)!
      ofTopic.delete(partition)
      if (ofTopic.size === 0) this.#held.delete(topic)
    }
    this.#count -= forgotten.length
    return forgotten
  }

  /**
   * A partition that has records, but gave none although the response had room for the partition's
   * `maxBytes`: its next record is larger than that. The leader sends such a record only for the
   * first partition with records in the request. If a partition was the first and gave nothing,
   * compaction has removed its records.
   */
  #tooLarge(): SessionPartition | undefined {
    for (const held of this.#all()) {
      const { offset, end, gave, maxBytes, firstAt } = held
      if (end > offset && gave !== this.#request && maxBytes <= this.#room && firstAt !== offset) return held
    }
    return undefined
  }

  *#all(): Generator<SessionPartition> {
    for (const ofTopic of this.#held.values()) yield* ofTopic.values()
  }
}

/**
 * The first partitions may fill the whole response, so the order begins with the partitions that
 * have given nothing for longest. A leader with a session orders them in the same way.
 */
function inTurn(held: readonly SessionPartition[], first: SessionPartition | undefined): SessionPartition[] {
  const order = (each: SessionPartition) => (each === first ? -1 : each.gave)
  return held.toSorted((a, b) => order(a) - order(b))
}
