// test/service/epoch-random.test: random steps of two consumers, whose requests arrive late or
// never, store each record once.
// `TEST_SEED` repeats a run.

import fc from 'fast-check'
import type { Clickhouse } from '../../clickhouse/client.ts'
import { readLast } from '../../consumer/insert/changelog.ts'
import { insertSlices } from '../../consumer/insert/insert.ts'
import { type Inserter, insertQueryPrefix } from '../../consumer/insert/inserter.ts'
import { waitForRunningInserts } from '../../consumer/insert/recover.ts'
import { beginEpoch } from '../../consumer/warehouse/epoch.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { LateRequests } from '../support/faults/late-requests.ts'
import { createNotes, notesInserter, notesSlice, notesTable, notesTarget } from '../support/fixtures/notes-table.ts'
import { testSeed, times } from '../support/harness/seed.ts'
import { assert, suite } from '../support/harness/suite.ts'
import { createWarehouse } from '../support/servers/clickhouse.ts'
import { uniqueName } from '../support/servers/postgres.ts'
import { type Servers, shareServers } from '../support/servers/services.ts'

const test = suite('random epochs', { timeoutMs: times(60_000) })

const changelog = '`public.notes.changelog`'
const seed = testSeed()

let services: Servers
let database: string
let clickhouse: Clickhouse

test.before(async () => {
  services = await shareServers(['clickhouse'])
  database = uniqueName('epochs')
  clickhouse = await createWarehouse(services, database, { queryPrefix: insertQueryPrefix(database) })
  await createNotes(clickhouse)
})
test.after(async () => {
  await clickhouse?.close()
  await services?.stop()
})

/** The topic of the random runs: every seventh record is a TRUNCATE, and each other one a note. */
const isTruncate = (offset: number) => offset % 7 === 6

/** A consumer that takes over and inserts, as the loop of the consumer does. */
class Member {
  readonly late = new LateRequests()
  readonly #inserter: Inserter
  readonly #target = notesTarget()
  assignment: string
  /** Next offset; undefined when it must take over first. */
  #position: number | undefined

  constructor(inserter: Inserter, assignment: string) {
    this.#inserter = { ...inserter, clickhouse: this.late.on(clickhouse), epoch: undefined }
    this.assignment = assignment
  }

  /** @param owns whether the group still accepts its commits */
  async step(records: number, owns: boolean): Promise<void> {
    try {
      if (this.#position === undefined) await this.#takeOver(owns)
      else await this.#insert(this.#position, records)
    } catch (error) {
      if (!(error instanceof MillraceError) || !['FENCED', 'CLICKHOUSE_UNREACHABLE'].includes(error.code)) throw error
      this.#position = undefined
    }
  }

  async #takeOver(owns: boolean): Promise<void> {
    const epoch = await beginEpoch(this.#inserter.clickhouse, this.assignment, this.#inserter.epoch)
    this.#inserter.epoch = epoch.id
    await waitForRunningInserts(this.#inserter)
    const last = await readLast(clickhouse, notesTable, { partition: 0 })
    const position = last === undefined ? 0 : last.isTruncate ? last.offset : last.offset + 1
    if (owns) this.#position = position
  }

  async #insert(first: number, records: number): Promise<void> {
    const op = isTruncate(first) ? 't' : 'c'
    const length = isTruncate(first) ? 1 : Math.min(records, 6 - (first % 7))
    const notes = Array.from({ length }, () => 'x')
    await insertSlices(this.#inserter, this.#target, [await notesSlice(this.#target, notes, { first, id: first, op })])
    this.#position = first + length
  }
}

const quiet = Array.from({ length: 8 }, () => '')
const step = fc.record({
  members: fc.constantFrom<readonly number[]>([0], [1], [0], [1], [0, 1]),
  records: fc.integer({ min: 1, max: 4 }),
  event: fc.constantFrom(
    ...[...quiet, 'hold', 'hold', 'hold', 'deliver', 'deliver', 'rebalance', 'rebalance', 'restart'],
  ),
})

test('whatever two members do and whenever their requests arrive, each record is inserted once', async () => {
  const inserter = await notesInserter(clickhouse, database, 'none')
  let inserted = 0
  const run = async (steps: readonly { members: readonly number[]; records: number; event: string }[]) => {
    for (const name of [changelog, '`public.notes.current`', 'epochs'])
      await clickhouse.command(`TRUNCATE TABLE ${name}`)
    let owner = 0
    let assignments = 1
    const members = [new Member(inserter, 'group 1'), new Member(inserter, 'group 0')]
    for (const { members: active, records, event } of steps) {
      const [first] = active.map(index => members[index]!)
      if (event === 'hold') first!.late.holdNext = true
      if (event === 'deliver') await members[(active[0]! + records) % 2]!.late.deliver(records - 1)
      if (event === 'restart') await clickhouse.command('TRUNCATE TABLE epochs')
      if (event === 'rebalance') {
        owner = 1 - owner
        members[owner]!.assignment = `group ${++assignments}`
      }
      await Promise.all(active.map(index => members[index]!.step(records, index === owner)))
    }
    for (const { late } of members) while (late.count > 0) await late.deliver()
    const [row] = await clickhouse.rows<Record<string, string>>(
      `SELECT count() AS rows, uniqExact(_offset, id, _sign) AS images, uniqExact(_offset) AS offsets, sum(_sign) AS sum,
  (SELECT count() FROM \`public.notes\`) AS live, countIf(_sign > 0) AS notes, maxIf(_offset + 1, _sign > 0) AS end FROM ${changelog}`,
    )
    const [rows, images, , sum, live, notes, end] = Object.values(row!).map(Number)
    assert.is(images, rows, 'an image is in the changelog twice')
    assert.is(sum, live, 'the sum of the images is not the number of live rows')
    assert.is(notes, end! - Math.floor(end! / 7), 'a record is missing')
    inserted += notes!
  }
  await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 30 }), run), {
    ...{ numRuns: times(4), seed, endOnFailure: true },
  })
  assert.ok(inserted > 5, `${inserted} records were inserted in all runs`)
})

test.run()
