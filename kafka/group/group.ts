// kafka/group/group: a member of a consumer group: the partitions that it owns, and its fenced
// commits. It uses the classic group protocol with kafkajs' requests, and does not fetch records.

import { EventEmitter, once } from 'node:events'
import { MillraceError } from '../../runtime/errors.ts'
import { backoffMs, endsWithin, sleep } from '../../runtime/wait.ts'
import { answeredError, isRetriable } from '../client/broker.ts'
import type { KafkaConnection } from '../client/cluster.ts'
import { describe, kafkaError, quietAtFirst, requestBackoff } from '../client/errors.ts'
import {
  assignAll,
  decodeAssignment,
  encodeSubscription,
  type JoinedMember,
  type TopicGroup,
  type TopicPartition,
} from './assignment.ts'
import { Coordinator, fenced, type GroupGeneration, isLive, memberLost, type OffsetCommit } from './coordinator.ts'

export type { TopicGroup, TopicPartition } from './assignment.ts'
export type { OffsetCommit } from './coordinator.ts'

export interface GroupOptions {
  readonly groupId: string
  /** Topics with the number of partitions they were created with; another number is refused. */
  readonly groups: readonly TopicGroup[]
  /** A member without a heartbeat for this time loses its partitions. Default 10 s. */
  readonly sessionTimeoutMs?: number
  /** How long a member may take to give up its partitions during a rebalance. Default 30 s. */
  readonly rebalanceTimeoutMs?: number
}

const protocol = 'millrace'
const defaultSessionTimeoutMs = 10_000
const defaultRebalanceTimeoutMs = 30_000
const heartbeatsPerSession = 10
/** Share of the session timeout that must remain for a member to count on its partitions. */
const ownershipMargin = 0.2
const leaveTimeoutMs = 2_000

/** Joins in the background; `awaitAssignment` waits for the outcome. */
export function joinGroup(connection: KafkaConnection, options: GroupOptions): Membership {
  return new Membership(connection, options)
}

/**
 * The caller owns the partitions until it calls `awaitAssignment` again. It must do so when
 * `generationId` has changed, so that other members get the partitions. A caller that is late is
 * fenced.
 */
export class Membership {
  readonly #connection: KafkaConnection
  readonly #options: GroupOptions
  readonly #sessionTimeoutMs: number
  readonly #rebalanceTimeoutMs: number
  /** A separate connection: a join request blocks its connection until every member has joined. */
  readonly #members: Coordinator
  readonly #offsets: Coordinator
  readonly #stop = new AbortController()
  readonly #changes = new EventEmitter()
  readonly #running: Promise<void>
  #memberId = ''
  #current: GroupGeneration | undefined
  #held: GroupGeneration | undefined
  #lastHeartbeatAt = Number.NEGATIVE_INFINITY
  #failure: MillraceError | undefined

  constructor(connection: KafkaConnection, options: GroupOptions) {
    this.#connection = connection
    this.#options = options
    this.#sessionTimeoutMs = options.sessionTimeoutMs ?? defaultSessionTimeoutMs
    this.#rebalanceTimeoutMs = options.rebalanceTimeoutMs ?? defaultRebalanceTimeoutMs
    this.#members = new Coordinator(connection, options.groupId)
    this.#offsets = new Coordinator(connection, options.groupId)
    this.#running = this.#run()
  }

  /**
   * Gives up partitions that it no longer owns, and waits for an assignment, which may be empty.
   * @returns the id of the group generation, which `generationId` returns until it is over
   * @throws {MillraceError} KAFKA_DENIED, KAFKA_REFUSED, TOPIC_MISSING, TOPIC_PARTITIONS_CHANGED;
   *   the signal's reason
   */
  async awaitAssignment(signal: AbortSignal): Promise<number> {
    if (!isLive(this.#held)) {
      this.#held = undefined
      this.#changes.emit('change')
    }
    while (!isLive(this.#current)) {
      if (this.#failure) throw this.#failure
      this.#stop.signal.throwIfAborted()
      signal.throwIfAborted()
      await this.#change(signal)
    }
    this.#held = this.#current!
    return this.#held.generation
  }

  /** Id of the group generation of the owned partitions; −1 once they must be given up. */
  get generationId(): number {
    return isLive(this.#held) ? this.#held.generation : -1
  }

  /** The same text for all members of one group generation, and for no other one. */
  get assignmentId(): string {
    return `${this.#options.groupId} ${this.#held?.generation} ${this.#held?.leaderId}`
  }

  get partitions(): readonly TopicPartition[] {
    return this.#held?.partitions ?? []
  }

  /** Whether the leader saw no other member in the group. */
  get soleMember(): boolean {
    return this.#held?.members === 1
  }

  /**
   * Whether the member may begin a batch: by the monotonic clock, the last answered heartbeat was
   * sent so recently that no other member can have the partitions yet. A process that was suspended
   * for a while detects it here.
   */
  ownsPartitions(): boolean {
    return isLive(this.#held) && this.#sinceHeartbeat() < this.#sessionTimeoutMs * (1 - ownershipMargin)
  }

  /**
   * Commits all of these offsets or none. This is allowed after a revocation too, until the member
   * has joined again.
   * @throws {MillraceError} FENCED when the assignment is over; KAFKA_REFUSED for metadata that is
   *   too long; the signal's reason
   */
  async commit(offsets: readonly OffsetCommit[], signal?: AbortSignal): Promise<void> {
    const generation = this.#held
    if (generation === undefined) throw fenced(this.#options.groupId, { generation: -1 })
    const over = signal === undefined ? generation.over.signal : AbortSignal.any([generation.over.signal, signal])
    try {
      await this.#offsets.commit(offsets, generation, over)
    } catch (error) {
      if (error instanceof MillraceError && error.code === 'FENCED') this.#lose(generation)
      throw error
    }
  }

  /**
   * Committed offsets of any partitions, owned or not; offset −1 where there is none.
   * @throws {MillraceError}
   */
  committed(partitions: readonly TopicPartition[]): Promise<OffsetCommit[]> {
    return this.#offsets.committed(partitions, this.#stop.signal)
  }

  /**
   * Leaves the group, so that others get the partitions at once. The caller must have finished its
   * batches.
   */
  async leave(): Promise<void> {
    if (this.#current) this.#lose(this.#current)
    this.#stop.abort(new MillraceError('FENCED', { what: 'the member has left its group', next: 'join again' }))
    this.#changes.emit('change')
    this.#members.close()
    await this.#running
    if (this.#memberId !== '') await this.#leaveGroup()
    this.#offsets.close()
  }

  async #run(): Promise<void> {
    let failures = 0
    while (!this.#stop.signal.aborted) {
      try {
        const generation = await this.#join()
        failures = 0
        this.#current = generation
        this.#changes.emit('change')
        await this.#keep(generation)
      } catch (error) {
        if (this.#stop.signal.aborted) return
        if (answeredError(error) === 'UNKNOWN_MEMBER_ID') this.#memberId = ''
        else if (!memberLost.has(answeredError(error)) && answeredError(error) !== 'REBALANCE_IN_PROGRESS') {
          if (!isRetriable(error)) return this.#fail(error)
          failures += 1
          this.#connection.log[quietAtFirst(failures)]('cannot join the consumer group yet', {
            attempt: failures,
            reason: describe(error),
          })
          await sleep(backoffMs(failures, requestBackoff), this.#stop.signal).catch(() => undefined)
        }
      }
    }
  }

  /** Joins the group and receives the assignment, which the group's leader computes. */
  async #join(): Promise<GroupGeneration> {
    const { groupId, groups } = this.#options
    const owned = this.#current === undefined || this.#current.over.signal.aborted ? [] : this.#current.partitions
    const joining = {
      groupId,
      sessionTimeout: this.#sessionTimeoutMs,
      rebalanceTimeout: this.#rebalanceTimeoutMs,
      memberId: this.#memberId,
      groupProtocols: [
        {
          name: protocol,
          metadata: encodeSubscription(
            groups.flatMap(({ topics }) => topics),
            owned,
          ),
        },
      ],
    }
    const joined = await this.#members.ask(broker => broker.joinGroup(joining))
    if (this.#current) this.#lose(this.#current)
    const { memberId, generationId: generation, leaderId } = joined
    this.#memberId = memberId
    const groupAssignment = leaderId === memberId ? await this.#share(joined.members) : []
    const sentAt = performance.now()
    const syncing = { groupId, generationId: generation, memberId, groupAssignment }
    const { memberAssignment } = await this.#members.ask(broker => broker.syncGroup(syncing))
    this.#lastHeartbeatAt = sentAt
    const { partitions, members } = decodeAssignment(memberAssignment)
    this.#connection.log.info('partitions assigned', { groupId, generation, partitions: partitions.length, members })
    return { generation, memberId, leaderId, partitions, members, over: new AbortController(), isRevoked: false }
  }

  async #share(joined: readonly JoinedMember[]) {
    const { groups } = this.#options
    await this.#connection.refresh(groups.flatMap(({ topics }) => topics))
    for (const { topics, partitions } of groups)
      for (const topic of topics)
        await this.#connection.requirePartitions(topic, partitions, { signal: this.#stop.signal })
    return assignAll(joined, groups)
  }

  /** Sends heartbeats until the group generation is over, or is revoked and given up. */
  async #keep(generation: GroupGeneration): Promise<void> {
    let revokedAt = Number.POSITIVE_INFINITY
    const isLate = () => performance.now() - revokedAt > this.#rebalanceTimeoutMs / 2
    while (!generation.over.signal.aborted && !(generation.isRevoked && (this.#held !== generation || isLate()))) {
      const interval = AbortSignal.timeout(this.#sessionTimeoutMs / heartbeatsPerSession)
      await this.#change(interval)
      if (generation.over.signal.aborted) return
      await this.#beat(generation)
      if (generation.isRevoked) revokedAt = Math.min(revokedAt, performance.now())
    }
  }

  async #beat(generation: GroupGeneration): Promise<void> {
    const { groupId } = this.#options
    const sentAt = performance.now()
    try {
      const beat = { groupId, groupGenerationId: generation.generation, memberId: generation.memberId }
      await this.#members.ask(broker => broker.heartbeat(beat))
      this.#lastHeartbeatAt = sentAt
    } catch (error) {
      this.#stop.signal.throwIfAborted()
      const answer = answeredError(error)
      if (answer === 'REBALANCE_IN_PROGRESS') {
        this.#lastHeartbeatAt = sentAt
        this.#revoke(generation)
        return
      }
      if (memberLost.has(answer) || this.#sinceHeartbeat() > this.#sessionTimeoutMs) this.#lose(generation)
      if (!isRetriable(error)) throw error
      this.#connection.log.warn('no heartbeat of the consumer group', { groupId, reason: describe(error) })
    }
  }

  #revoke(generation: GroupGeneration): void {
    if (generation.isRevoked) return
    generation.isRevoked = true
    this.#changes.emit('change')
  }

  #lose(generation: GroupGeneration): void {
    if (generation.over.signal.aborted) return
    generation.over.abort(fenced(this.#options.groupId, generation))
    this.#changes.emit('change')
  }

  #fail(error: unknown): void {
    this.#failure = kafkaError(error, `take part in consumer group ${this.#options.groupId}`)
    if (this.#current) this.#lose(this.#current)
    this.#changes.emit('change')
  }

  #sinceHeartbeat(): number {
    return performance.now() - this.#lastHeartbeatAt
  }

  /** Waits for the next change of state, or for the signal. */
  async #change(signal: AbortSignal): Promise<void> {
    await once(this.#changes, 'change', { signal }).catch(() => undefined)
  }

  async #leaveGroup(): Promise<void> {
    const leaving = { groupId: this.#options.groupId, memberId: this.#memberId }
    const left = this.#offsets.ask(broker => broker.leaveGroup(leaving)).catch(() => undefined)
    await endsWithin(left, leaveTimeoutMs)
  }
}
