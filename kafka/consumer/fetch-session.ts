// kafka/consumer/fetch-session: what a leader remembers of the partitions that are fetched from it, so that requests and answers hold only what changed.

import type { FetchAsk, FetchLimits, FetchPosition, FetchResponse, PartitionResponse } from './fetch-request.ts'

/** A partition as it was last asked for. */
export interface HeldPartition {
  readonly topic: string
  readonly partition: number
  offset: number
  maxBytes: number
  /** Whether the leader knows `offset` and `maxBytes`. */
  isTold: boolean
  /** Offset after the last record that may be read; −1 until the leader has said it. */
  end: number
  /** Number of the last request that it was a part of. */
  request: number
  /** Number of the last request whose answer had records of it. */
  gave: number
  /** The offset at which it was last put before all others; −1 before. */
  firstAt: number
}

/** What an answer says of each partition that it names: the leader is silent about those without news. */
export type Told = ReadonlyMap<HeldPartition, PartitionResponse>

/** In place of an epoch: the leader is to make no session, or to end the one that is named. */
const finalEpoch = -1
/** In place of an epoch: all partitions follow, and the leader is to make a session of them. */
const initialEpoch = 0
const noSession = 0
const lastEpoch = 2 ** 31 - 1

/**
 * Of one leader. Its requests must be sent one after the other.
 * @see https://cwiki.apache.org/confluence/display/KAFKA/KIP-227%3A+Introduce+Incremental+FetchRequests+to+Increase+Partition+Scalability
 */
export class FetchSession {
  readonly #held = new Map<string, Map<number, HeldPartition>>()
  readonly #whole: number
  #id = noSession
  /** Of the next request. Above 0, the leader has a session, which holds all partitions that are told. */
  #epoch: number
  #request = 0
  #count = 0
  #room = 0
  #first: HeldPartition | undefined

  /** @param lasts false: the leader is never to make a session, which pays only when most partitions are asked for again */
  constructor(lasts: boolean) {
    this.#whole = lasts ? initialEpoch : finalEpoch
    this.#epoch = this.#whole
  }

  /** Whether the next request needs no session at the leader. */
  get isNew(): boolean {
    return this.#epoch <= 0
  }

  /** What to say so that the leader answers for exactly these positions, each of another partition. */
  next(positions: readonly FetchPosition[], limits: FetchLimits): FetchAsk {
    this.#request += 1
    this.#room = limits.maxBytes
    const held = positions.map(position => this.#hold(position, limits))
    const forgotten = held.length < this.#count ? this.#forget() : []
    // A leader moves nothing to the front of its session.
    if (this.#first !== undefined) this.restart()
    const session = { id: this.#id, epoch: this.#epoch }
    if (this.isNew) {
      for (const each of held) Object.assign(each, { isTold: true, end: -1 })
      return { session, positions: inTurn(held, this.#first), forgotten: [] }
    }
    const changed = held.filter(({ isTold }) => !isTold)
    for (const each of changed) each.isTold = true
    return { session, positions: changed, forgotten }
  }

  /** @returns undefined for an answer that says nothing, also not that there is no news */
  take({ sessionId, throttleMs, partitions }: FetchResponse): Told | undefined {
    this.#id = sessionId
    this.#epoch = sessionId === noSession ? this.#whole : (this.#epoch % lastEpoch) + 1
    // A broker that wants to be asked less withholds what there is. @see KIP-219
    if (throttleMs > 0 && partitions.length === 0) return undefined
    if (this.#first !== undefined) this.#first.firstAt = this.#first.offset
    const told = new Map<HeldPartition, PartitionResponse>()
    for (const response of partitions) {
      const held = this.find(response)
      if (held === undefined) continue
      told.set(held, response)
      held.end = response.errorCode === 0 ? response.highWatermark : -1
      this.#room -= response.records.length
      if (response.records.length > 0) held.gave = this.#request
    }
    this.#first = this.#tooLarge()
    return told
  }

  /** The next request names all partitions, and ends the session that the leader has, if it has one. */
  restart(): void {
    this.#epoch = this.#whole
  }

  /** What to say so that the leader forgets the session; undefined when it has none. */
  end(): FetchAsk | undefined {
    if (this.isNew) return undefined
    return { session: { id: this.#id, epoch: finalEpoch }, positions: [], forgotten: [] }
  }

  find({ topic, partition }: Pick<HeldPartition, 'topic' | 'partition'>): HeldPartition | undefined {
    return this.#held.get(topic)?.get(partition)
  }

  #hold(position: FetchPosition, limits: FetchLimits): HeldPartition {
    const { topic, partition, offset, maxBytes = limits.maxBytes } = position
    const held = this.find(position) ?? this.#add(topic, partition)
    if (held.offset !== offset || held.maxBytes !== maxBytes) Object.assign(held, { offset, maxBytes, isTold: false })
    held.request = this.#request
    return held
  }

  #add(topic: string, partition: number): HeldPartition {
    const unknown = { offset: -1, maxBytes: -1, isTold: false, end: -1, request: 0, gave: 0, firstAt: -1 }
    const held = { topic, partition, ...unknown }
    const ofTopic = this.#held.get(topic)
    if (ofTopic === undefined) this.#held.set(topic, new Map([[partition, held]]))
    else ofTopic.set(partition, held)
    this.#count += 1
    return held
  }

  /** All that this request is not for. */
  #forget(): HeldPartition[] {
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
   * A partition of which nothing came although there was something, and room for all that it may give: its next record is larger than that.
   * Such a record comes only if its partition is the first of the request that has any. Where a partition was the first and gave nothing,
   * the records were removed by compaction.
   */
  #tooLarge(): HeldPartition | undefined {
    for (const held of this.#all()) {
      const { offset, end, gave, maxBytes, firstAt } = held
      if (end > offset && gave !== this.#request && maxBytes <= this.#room && firstAt !== offset) return held
    }
    return undefined
  }

  *#all(): Generator<HeldPartition> {
    for (const ofTopic of this.#held.values()) yield* ofTopic.values()
  }
}

/** The first partitions may fill the whole answer, so those that have given nothing for longest come first; a leader with a session does likewise. */
function inTurn(held: readonly HeldPartition[], first: HeldPartition | undefined): HeldPartition[] {
  const order = (each: HeldPartition) => (each === first ? -1 : each.gave)
  return held.toSorted((a, b) => order(a) - order(b))
}
