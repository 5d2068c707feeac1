// producer/stream/router: gives the stream's changes their positions and writes them as records.
// Only masked rows reach this file.

import { columnKinds } from '../../contract/bytes.ts'
import type { Change, TextRow } from '../../contract/encode.ts'
import { Refusal } from '../../contract/refusal.ts'
import { tableName } from '../../contract/table.ts'
import type { ChangeReceiver, StreamStart } from '../../postgres/change-source.ts'
import type { Relation } from '../../postgres/protocol/pgoutput.ts'
import type { Tuple } from '../../postgres/protocol/tuple.ts'
import { MillraceError } from '../../runtime/errors.ts'
import type { RowMasker } from '../capture/column-policy.ts'
import { sameText } from '../capture/partition.ts'
import type { DeadLetters } from '../write/dead-letters.ts'
import type { Replay } from '../write/replay.ts'
import type { TableWriter } from '../write/table-writer.ts'
import { DeferredInserts } from './deferred-inserts.ts'
import type { Heartbeats } from './heartbeats.ts'
import { checkRelation, keyOnlyPartition, newColumns } from './relation-check.ts'

export interface RouterOptions {
  readonly writers: readonly TableWriter[]
  readonly deadLetters: DeadLetters
  readonly heartbeats: Heartbeats
  readonly replay: Replay
  /**
   * Every change committed before the LSN has been routed.
   * @param commitTimeUs time of the last commit or heartbeat; left out when neither was before the
   *   LSN
   */
  onRouted(lsn: number, commitTimeUs?: number): void
  /** Unclassified columns of a personal table are withheld. */
  onWithheld?(table: string, columns: readonly string[]): void
  /**
   * A change is ignored, because its table is neither captured nor a partition of a captured one.
   */
  onUncaptured?(table: string): void
}

interface Route {
  readonly writer: TableWriter
  readonly masker: RowMasker | undefined
}

/**
 * Gives every change its position: the commit LSN and twice its number in the transaction. An
 * update that becomes a delete and a create uses the next position, which is free, for the create.
 */
export class Router implements ChangeReceiver {
  /** Changes routed so far, including duplicates. */
  changes = 0
  /** Everything before this LSN was received; at first, the slot's position. */
  received = 0
  #inTransaction = false
  readonly #options: RouterOptions
  readonly #writers: ReadonlyMap<number, TableWriter>
  /** Writer and masker by oid of the table, from its last announcement. */
  readonly #routes = new Map<number, Route>()
  /**
   * A partitioned table that was announced just now. The announcement of the row's partition
   * follows.
   */
  #root: TableWriter | undefined
  /** Partitions that log keys instead of old rows, by oid. */
  readonly #keyOnly = new Map<number, { readonly root: TableWriter; readonly name: string }>()
  readonly #deferred: ReadonlyMap<TableWriter, DeferredInserts>
  readonly #change = {
    op: 'c' as Change['op'],
    lsn: 0,
    ordinal: 0,
    txId: 0,
    commitTimeUs: 0,
    snapshot: false,
    madeAtMs: 0,
  }
  #number = 0
  /** Time of the last commit or heartbeat, whichever came later. */
  #lastUs = 0

  constructor(options: RouterOptions) {
    this.#options = options
    this.#writers = new Map(options.writers.map(writer => [writer.captured.oid, writer]))
    const deferrable = options.writers.filter(({ captured }) => captured.deferrableKey)
    const shared = { bytes: 0 }
    this.#deferred = new Map(deferrable.map(writer => [writer, new DeferredInserts(writer.captured.table, shared)]))
  }

  started({ confirmedLsn }: StreamStart): void {
    this.received = confirmedLsn
    this.#options.replay.startAt(confirmedLsn)
  }

  keepalive(walEnd: number): void {
    this.#receive(walEnd)
    // Inside a transaction, this LSN is not yet safe: the rest of the transaction is still to come.
    if (!this.#inTransaction) this.#options.onRouted(walEnd)
  }

  /**
   * @throws {MillraceError} SOURCE_WENT_BACK when the topics contain another transaction at this
   *   position
   */
  begin(commitLsn: number, commitTimeUs: number, xid: number): void {
    this.#options.replay.begin(commitLsn, commitTimeUs, xid)
    this.#inTransaction = true
    this.#number = 0
    this.#change.lsn = commitLsn
    this.#change.commitTimeUs = commitTimeUs
    this.#change.txId = xid
  }

  commit(_commitLsn: number, endLsn: number, commitTimeUs: number): void {
    for (const [writer, deferred] of this.#deferred) {
      deferred.drain(row => {
        this.#nextOrdinal()
        this.#writeImage(writer, 'c', undefined, row)
      })
    }
    this.#inTransaction = false
    this.#commit(endLsn, commitTimeUs)
  }

  /** @throws {MillraceError} SCHEMA_CHANGED when a captured table differs from what was captured */
  relation(relation: Relation): void {
    const root = this.#root
    const writer = checkRelation(relation, this.#writers)
    this.#root = writer?.captured.kind === 'p' ? writer : undefined
    if (!writer) {
      if (root) this.#partition(relation, root)
      return
    }
    const masker = writer.masker(relation.columns.map(({ name }) => name))
    this.#routes.set(relation.oid, { writer, masker })
    const withheld = masker ? newColumns(relation, writer.captured) : []
    if (withheld.length > 0) this.#options.onWithheld?.(tableName(relation), withheld)
  }

  insert(relation: Relation, after: Tuple): void {
    const route = this.#next(relation)
    if (route) this.#create(route.writer, route.masker ? route.masker.after(after) : after)
  }

  update(relation: Relation, old: Tuple | undefined, oldIsKeyOnly: boolean, fresh: Tuple): void {
    const route = this.#next(relation)
    if (!route) return
    const { writer, masker } = route
    if (old === undefined || oldIsKeyOnly || hasUnchanged(fresh)) throw identityMissing(relation)
    if (this.#keyOnly.size > 0) this.#requireOldRows(writer)
    const before = masker ? masker.before(old) : old
    const after = masker ? masker.after(fresh) : fresh
    const deferred = this.#deferred.get(writer)
    if (deferred?.remove(before)) {
      deferred.defer(after)
      return
    }
    if (masker?.hidesUpdate()) return
    const sameIdentity = sameText(before, after, writer.captured.identityColumns)
    if (sameIdentity && this.#writeUpdate(writer, before, after)) return
    this.#writeImage(writer, 'd', before, undefined)
    this.#change.ordinal++
    this.#create(writer, after)
  }

  delete(relation: Relation, old: Tuple, oldIsKeyOnly: boolean): void {
    const route = this.#next(relation)
    if (!route) return
    const { writer, masker } = route
    if (oldIsKeyOnly) throw identityMissing(relation)
    if (this.#keyOnly.size > 0) this.#requireOldRows(writer)
    const before = masker ? masker.before(old) : old
    if (!this.#deferred.get(writer)?.remove(before)) this.#writeImage(writer, 'd', before, undefined)
  }

  /** The tables of one TRUNCATE share its position. Each has its own topic. */
  truncate(relations: readonly Relation[]): void {
    this.#root = undefined
    const writers = relations.flatMap(relation => this.#routeOf(relation)?.writer ?? [])
    if (writers.length === 0) return
    this.#nextOrdinal()
    this.#change.op = 't'
    for (const writer of writers) {
      this.#deferred.get(writer)?.clear()
      writer.truncate(this.#change)
    }
  }

  /** A heartbeat contains the source's time when everything before it was committed. */
  message(lsn: number, transactional: boolean, prefix: string, content: Buffer): void {
    const us = this.#options.heartbeats.timeOf({ transactional, prefix, content }, this.#lastUs)
    if (us !== undefined) this.#commit(lsn, us)
    else if (!transactional) this.#receive(lsn)
  }

  #commit(lsn: number, us: number): void {
    this.#receive(lsn)
    this.#lastUs = us
    this.#options.onRouted(lsn, us)
  }

  #receive(lsn: number): void {
    this.received = Math.max(this.received, lsn)
  }

  #create(writer: TableWriter, after: TextRow): void {
    const deferred = this.#deferred.get(writer)
    if (deferred) deferred.defer(after)
    else this.#writeImage(writer, 'c', undefined, after)
  }

  #next(relation: Relation): Route | undefined {
    const route = this.#routeOf(relation)
    if (route) this.#nextOrdinal()
    return route
  }

  #nextOrdinal(): void {
    this.#change.ordinal = 2 * this.#number++
    this.#change.madeAtMs = Date.now()
    this.changes++
  }

  /** Undefined for a table that is not captured, but is in the publication. */
  #routeOf(relation: Relation): Route | undefined {
    const route = this.#routes.get(relation.oid)
    if (!route) this.#options.onUncaptured?.(tableName(relation))
    return route
  }

  /**
   * A partition's rows have the root's name. Without REPLICA IDENTITY FULL, they lack their old
   * values.
   */
  #partition(relation: Relation, root: TableWriter): void {
    if (relation.replicaIdentity === 'f') this.#keyOnly.delete(relation.oid)
    else this.#keyOnly.set(relation.oid, { root, name: tableName(relation) })
  }

  #requireOldRows(writer: TableWriter): void {
    for (const { root, name } of this.#keyOnly.values()) if (root === writer) throw keyOnlyPartition(name)
  }

  /** Writes an update as one record. @returns false when it needs two */
  #writeUpdate(writer: TableWriter, before: TextRow, after: TextRow): boolean {
    this.#change.op = 'u'
    try {
      return writer.write(this.#change, before, after)
    } catch (error) {
      if (error instanceof Refusal) return false
      throw error
    }
  }

  /** Writes one image as a record. An image that cannot be represented becomes a dead letter. */
  #writeImage(writer: TableWriter, op: 'c' | 'd', before: TextRow | undefined, after: TextRow | undefined): void {
    this.#change.op = op
    try {
      writer.write(this.#change, before, after)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      const image = before ? 'before' : 'after'
      const row = (before ?? after)!
      this.#options.deadLetters.refuse({ captured: writer.captured, change: this.#change, image, row, refusal: error })
    }
  }
}

function hasUnchanged(row: Tuple): boolean {
  for (let column = 0; column < row.count; column++) if (row.kinds[column] === columnKinds.unchanged) return true
  return false
}

function identityMissing(relation: Relation): MillraceError {
  return new MillraceError('REPLICA_IDENTITY', {
    what: 'a change has no complete old row, so it cannot be subtracted from sums',
    where: `table ${tableName(relation)}`,
    next: 'set REPLICA IDENTITY FULL on the table and on each of its partitions (millrace check --fix), then start a new generation (millrace producer --new-generation)',
  })
}
