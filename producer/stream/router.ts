// producer/stream/router: the stream's messages as records with positions, in the sink.
// What comes out of a gate is all that anything here sees.

import type { Change, TextRow } from '../../contract/encode.ts'
import { Refusal } from '../../contract/refusal.ts'
import { tableName } from '../../contract/table.ts'
import type { PgoutputHandler, Relation } from '../../postgres/protocol/pgoutput.ts'
import type { Tuple } from '../../postgres/protocol/tuple.ts'
import { MillraceError } from '../../runtime/errors.ts'
import type { Gate } from '../capture/column-policy.ts'
import { sameText } from '../capture/partition.ts'
import type { DeadLetters } from '../write/dead-letters.ts'
import type { Replay } from '../write/replay.ts'
import type { TableOutput } from '../write/table-writer.ts'
import { HeldRows } from './deferred-inserts.ts'
import type { Heartbeats } from './heartbeats.ts'
import { checkRelation, keyOnlyPartition, newColumns } from './relation.ts'

export interface RouterOptions {
  readonly outputs: readonly TableOutput[]
  readonly deadLetters: DeadLetters
  readonly heartbeats: Heartbeats
  readonly replay: Replay
  /** Every change committed before the LSN has been routed. The time is that of the last commit. */
  onCommit(lsn: number, commitTimeUs: number): void
  /** These columns of a personal table do not leave, because nobody has classified them. */
  onHeldBack?(table: string, columns: readonly string[]): void
  /** A change of a table that is neither captured nor a partition of a captured one is passed over. */
  onForeign?(table: string): void
}

interface Route {
  readonly output: TableOutput
  readonly gate: Gate | undefined
}

const unchangedKind = 0x75

/**
 * Gives every change of the stream its position: the commit LSN and twice its number in the transaction, so that an update
 * that has to be told as a delete and a create leaves the next position free for the second.
 */
export class Router implements PgoutputHandler {
  /** Changes routed so far, duplicates included. */
  changes = 0
  inTransaction = false
  readonly #options: RouterOptions
  readonly #outputs: ReadonlyMap<number, TableOutput>
  /** By oid of the table, as it was announced last. */
  readonly #routes = new Map<number, Route>()
  /** A partitioned table that was announced just now; the partition that a row is in comes right behind it. */
  #root: TableOutput | undefined
  /** Partitions that log keys instead of old rows, by oid. */
  readonly #keyOnly = new Map<number, { readonly root: TableOutput; readonly name: string }>()
  readonly #held: ReadonlyMap<TableOutput, HeldRows>
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
  /** Commit time of the last commit, or time of the last heartbeat, whichever came later. */
  #lastUs = 0

  constructor(options: RouterOptions) {
    this.#options = options
    this.#outputs = new Map(options.outputs.map(output => [output.captured.oid, output]))
    const deferrable = options.outputs.filter(({ captured }) => captured.deferrableKey)
    const shared = { bytes: 0 }
    this.#held = new Map(deferrable.map(output => [output, new HeldRows(output.captured.table, shared)]))
  }

  /** @throws {MillraceError} SOURCE_WENT_BACK when the topics hold another transaction at this position */
  begin(commitLsn: number, commitTimeUs: number, xid: number): void {
    this.#options.replay.begin(commitLsn, commitTimeUs, xid)
    this.inTransaction = true
    this.#number = 0
    this.#change.lsn = commitLsn
    this.#change.commitTimeUs = commitTimeUs
    this.#change.txId = xid
  }

  commit(_commitLsn: number, endLsn: number, commitTimeUs: number): void {
    for (const [output, held] of this.#held) {
      held.drain(row => {
        this.#step()
        this.#half(output, 'c', undefined, row)
      })
    }
    this.inTransaction = false
    this.#commit(endLsn, commitTimeUs)
  }

  /** @throws {MillraceError} SCHEMA_CHANGED when a captured table is no longer as it was captured */
  relation(relation: Relation): void {
    const root = this.#root
    const output = checkRelation(relation, this.#outputs)
    this.#root = output?.captured.kind === 'p' ? output : undefined
    if (!output) {
      if (root) this.#partition(relation, root)
      return
    }
    const gate = output.gate(relation.columns.map(({ name }) => name))
    this.#routes.set(relation.oid, { output, gate })
    const heldBack = gate ? newColumns(relation, output.captured) : []
    if (heldBack.length > 0) this.#options.onHeldBack?.(tableName(relation), heldBack)
  }

  insert(relation: Relation, after: Tuple): void {
    const route = this.#next(relation)
    if (route) this.#create(route.output, route.gate ? route.gate.after(after) : after)
  }

  update(relation: Relation, old: Tuple | undefined, oldIsKeyOnly: boolean, fresh: Tuple): void {
    const route = this.#next(relation)
    if (!route) return
    const { output, gate } = route
    if (old === undefined || oldIsKeyOnly || hasUnchanged(fresh)) throw identityMissing(relation)
    if (this.#keyOnly.size > 0) this.#requireWhole(output)
    const before = gate ? gate.before(old) : old
    const after = gate ? gate.after(fresh) : fresh
    const held = this.#held.get(output)
    if (held?.take(before)) {
      held.hold(after)
      return
    }
    if (gate?.hidesUpdate()) return
    const sameIdentity = sameText(before, after, output.captured.identityColumns)
    if (sameIdentity && this.#whole(output, before, after)) return
    this.#half(output, 'd', before, undefined)
    this.#change.ordinal++
    this.#create(output, after)
  }

  delete(relation: Relation, old: Tuple, oldIsKeyOnly: boolean): void {
    const route = this.#next(relation)
    if (!route) return
    const { output, gate } = route
    if (oldIsKeyOnly) throw identityMissing(relation)
    if (this.#keyOnly.size > 0) this.#requireWhole(output)
    const before = gate ? gate.before(old) : old
    if (!this.#held.get(output)?.take(before)) this.#half(output, 'd', before, undefined)
  }

  /** The tables of one TRUNCATE share its position; each has a topic of its own. */
  truncate(relations: readonly Relation[]): void {
    this.#root = undefined
    const outputs = relations.flatMap(relation => this.#routeOf(relation)?.output ?? [])
    if (outputs.length === 0) return
    this.#step()
    this.#change.op = 't'
    for (const output of outputs) {
      this.#held.get(output)?.clear()
      output.truncate(this.#change)
    }
  }

  /** A heartbeat says what time it was at the source when everything before it had been committed. */
  message(lsn: number, transactional: boolean, prefix: string, content: Buffer): void {
    const us = this.#options.heartbeats.timeOf({ transactional, prefix, content }, this.#lastUs)
    if (us !== undefined) this.#commit(lsn, us)
  }

  #commit(lsn: number, us: number): void {
    this.#lastUs = us
    this.#options.onCommit(lsn, us)
  }

  #create(output: TableOutput, after: TextRow): void {
    const held = this.#held.get(output)
    if (held) held.hold(after)
    else this.#half(output, 'c', undefined, after)
  }

  #next(relation: Relation): Route | undefined {
    const route = this.#routeOf(relation)
    if (route) this.#step()
    return route
  }

  #step(): void {
    this.#change.ordinal = 2 * this.#number++
    this.#change.madeAtMs = Date.now()
    this.changes++
  }

  /** Undefined for a table that is not captured: somebody has added it to the publication. */
  #routeOf(relation: Relation): Route | undefined {
    const route = this.#routes.get(relation.oid)
    if (!route) this.#options.onForeign?.(tableName(relation))
    return route
  }

  /** Its rows come under the root's name, and without their old values where it does not log them. */
  #partition(relation: Relation, root: TableOutput): void {
    if (relation.replicaIdentity === 'f') this.#keyOnly.delete(relation.oid)
    else this.#keyOnly.set(relation.oid, { root, name: tableName(relation) })
  }

  #requireWhole(output: TableOutput): void {
    for (const { root, name } of this.#keyOnly.values()) if (root === output) throw keyOnlyPartition(name)
  }

  /** One record for an update; false when it has to be told in two. */
  #whole(output: TableOutput, before: TextRow, after: TextRow): boolean {
    this.#change.op = 'u'
    try {
      return output.write(this.#change, before, after)
    } catch (error) {
      if (error instanceof Refusal) return false
      throw error
    }
  }

  /** One image in a record, or set aside when it cannot be represented. */
  #half(output: TableOutput, op: 'c' | 'd', before: TextRow | undefined, after: TextRow | undefined): void {
    this.#change.op = op
    try {
      output.write(this.#change, before, after)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      const image = before ? 'before' : 'after'
      const row = (before ?? after)!
      this.#options.deadLetters.refuse({ captured: output.captured, change: this.#change, image, row, refusal: error })
    }
  }
}

function hasUnchanged(row: Tuple): boolean {
  for (let column = 0; column < row.count; column++) if (row.kinds[column] === unchangedKind) return true
  return false
}

function identityMissing(relation: Relation): MillraceError {
  return new MillraceError('REPLICA_IDENTITY', {
    what: 'a change came without the whole old row, so that it cannot be taken out of sums',
    where: `table ${tableName(relation)}`,
    next: 'set REPLICA IDENTITY FULL on the table and on each of its partitions (millrace check --fix), then start a new generation (millrace producer --new-generation)',
  })
}
