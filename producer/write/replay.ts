// producer/write/replay: compares the changes that the source repeats after a start with the
// topics' last records.

import type { Head } from '../../contract/head.ts'
import { formatLsn } from '../../contract/position.ts'
import { otherHistoryRemedy } from '../../postgres/replication/history.ts'
import { MillraceError } from '../../runtime/errors.ts'

/** The last record of a partition. */
export interface LastRecordHead extends Head {
  readonly topic: string
  readonly partition: number
}

/**
 * Positions are byte offsets into the WAL of one history. A source that was restored from an older
 * copy, or a standby that was promoted too early, writes other transactions at the same positions.
 * The producer would drop them as duplicates. So the transaction of every last record has to come
 * again, with its id and its commit time, unless the slot is already beyond it.
 */
export class Replay {
  /** Last records whose transactions are still to come, in the order of their positions. */
  #expected: LastRecordHead[]

  constructor(lastRecords: readonly LastRecordHead[]) {
    this.#expected = lastRecords.toSorted((a, b) => a.lsn - b.lsn)
  }

  /** The topics have no record at this LSN or later. */
  get end(): number {
    return (this.#expected.at(-1)?.lsn ?? -1) + 1
  }

  /** Transactions that commit before the slot's position do not come again. */
  startAt(confirmedLsn: number): void {
    this.#expected = this.#expected.filter(({ lsn }) => lsn >= confirmedLsn)
  }

  /**
   * @throws {MillraceError} SOURCE_WENT_BACK when the topics contain another transaction at this
   *   position
   */
  begin(commitLsn: number, commitTimeUs: number, xid: number): void {
    this.reach(commitLsn)
    while (this.#expected[0]?.lsn === commitLsn) {
      const last = this.#expected.shift()!
      if (last.transaction === xid && last.commitTimeUs === commitTimeUs) continue
      throw otherHistory(last, `the source has transaction ${xid} of ${time(commitTimeUs)} there`)
    }
  }

  /** The source has sent everything before the LSN. @throws {MillraceError} SOURCE_WENT_BACK */
  reach(lsn: number): void {
    const [next] = this.#expected
    if (next !== undefined && next.lsn < lsn) throw otherHistory(next, 'the source has no such transaction there')
  }
}

function otherHistory(
  { topic, partition, lsn, transaction, commitTimeUs }: LastRecordHead,
  found: string,
): MillraceError {
  return new MillraceError('SOURCE_WENT_BACK', {
    what: `the last record is of transaction ${transaction} of ${time(commitTimeUs)} at LSN ${formatLsn(lsn)}, and ${found}`,
    where: `topic ${topic}, partition ${partition}`,
    next: otherHistoryRemedy,
  })
}

function time(us: number): string {
  return new Date(us / 1000).toISOString()
}
