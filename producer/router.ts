// producer/router: the stream's messages as records with positions, in the sink.
// May know: contract, postgres/pgoutput, runtime/errors, producer. What comes out of a gate is all that anything here sees.

import type { Change, TextRow } from '../contract/encode.ts'
import { Refusal } from '../contract/refusal.ts'
import { tableName } from '../contract/table.ts'
import type { PgoutputHandler, Relation } from '../postgres/pgoutput.ts'
import type { Tuple } from '../postgres/tuple.ts'
import { MillraceError } from '../runtime/errors.ts'
import type { DeadLetters } from './dead-letters.ts'
import type { Gate } from './gate.ts'
import type { Heartbeats } from './heartbeats.ts'
import { HeldRows } from './held-rows.ts'
import type { TableOutput } from './output.ts'
import { sameText } from './partition.ts'
import { checkRelation, newColumns } from './relation.ts'

export interface RouterOptions {
  readonly outputs: readonly TableOutput[]
  readonly deadLetters: DeadLetters
  readonly heartbeats: Heartbeats
  /** Every change committed before the LSN has been routed. The time is that of the last commit. */
  onCommit(lsn: number, commitTimeUs: number): void
  /** These columns of a personal table do not leave, because nobody has classified them. */
  onHeldBack?(table: string, columns: readonly string[]): void
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
  /** By oid: a table is announced again after nearly every change of the catalog, for as long as the connection lasts. */
  readonly #routes = new Map<number, Route>()
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
    const deferrable = options.outputs.filter(({ captured }) => captured.deferrableKey)
    const shared = { bytes: 0 }
    this.#held = new Map(deferrable.map(output => [output, new HeldRows(output.captured.table, shared)]))
  }

  begin(commitLsn: number, commitTimeUs: number, xid: number): void {
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
    const output = checkRelation(relation, this.#options.outputs)
    if (!output) return
    const gate = output.gate(relation.columns.map(({ name }) => name))
    this.#routes.set(relation.oid, { output, gate })
    const heldBack = gate ? newColumns(relation, output.captured) : []
    if (heldBack.length > 0) this.#options.onHeldBack?.(tableName(relation), heldBack)
  }

  insert(relation: Relation, after: Tuple): void {
    const { output, gate } = this.#next(relation)
    this.#create(output, gate ? gate.after(after) : after)
  }

  update(relation: Relation, old: Tuple | undefined, oldIsKeyOnly: boolean, fresh: Tuple): void {
    const { output, gate } = this.#next(relation)
    if (old === undefined || oldIsKeyOnly || hasUnchanged(fresh)) throw identityMissing(relation)
    const before = gate ? gate.before(old) : old
    const after = gate ? gate.after(fresh) : fresh
    const held = this.#held.get(output)
    if (held?.take(before)) {
      held.hold(after)
      return
    }
    const sameIdentity = sameText(before, after, output.captured.identityColumns)
    if (sameIdentity && this.#whole(output, before, after)) return
    this.#half(output, 'd', before, undefined)
    this.#change.ordinal++
    this.#create(output, after)
  }

  delete(relation: Relation, old: Tuple, oldIsKeyOnly: boolean): void {
    const { output, gate } = this.#next(relation)
    if (oldIsKeyOnly) throw identityMissing(relation)
    const before = gate ? gate.before(old) : old
    if (!this.#held.get(output)?.take(before)) this.#half(output, 'd', before, undefined)
  }

  /** The tables of one TRUNCATE share its position; each has a topic of its own. */
  truncate(relations: readonly Relation[]): void {
    const outputs = relations.map(relation => this.#routeOf(relation).output)
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

  #next(relation: Relation): Route {
    const route = this.#routeOf(relation)
    this.#step()
    return route
  }

  #step(): void {
    this.#change.ordinal = 2 * this.#number++
    this.#change.madeAtMs = Date.now()
    this.changes++
  }

  #routeOf(relation: Relation): Route {
    const route = this.#routes.get(relation.oid)
    if (route) return route
    throw new MillraceError('SCHEMA_CHANGED', {
      what: 'the publication sends rows of a table that is not captured',
      where: `table ${tableName(relation)}`,
      next: 'remove the table from the publication, or capture it: millrace producer --new-generation',
    })
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
