// producer/catalog/watch: compares the captured tables with the source's catalog every few seconds.

import { type Generation, publicationOf } from '../../contract/generation.ts'
import { tableName } from '../../contract/table.ts'
import type { Named } from '../../postgres/catalog/catalog.ts'
import {
  type FactsScope,
  readDigests,
  readFacts,
  readMoment,
  type TableFacts,
  type Xid,
} from '../../postgres/catalog/facts.ts'
import { type Client, query } from '../../postgres/client/client.ts'
import type { PeriodicTask } from '../../postgres/client/periodic.ts'
import { walInsertLsn } from '../../postgres/replication/history.ts'
import { type ErrorCode, MillraceError } from '../../runtime/errors.ts'
import type { CapturedTable } from '../capture/captured-table.ts'
import { reportWithheld } from '../capture/column-classification.ts'
import type { ProducerContext } from '../context.ts'
import type { TableWriter } from '../write/table-writer.ts'
import { type Catalog, type CatalogRecord, updateCatalog } from './catalog.ts'
import { compareFacts } from './compare.ts'
import { type Difference, type Found, mismatch, over, requireSamePublication } from './difference.ts'
import { acceptFacts, isWorthRecording } from './recording.ts'
import { isHarmless, unreadable } from './unclear-changes.ts'

const lookEveryMs = 5_000
/**
 * A look takes at most a twentieth of one connection's time, for any number of tables. 1,000 tables
 * take 0.2 s.
 */
const restPerLook = 20
/** How often the watch checks whether everything before a change is durable. */
const askEveryMs = 1_000

/** What the watch needs of the running stream. */
export interface WatchedStream {
  /** In the order of the generation's tables. */
  readonly writers: readonly TableWriter[]
  /** Everything committed before it is durable. */
  durable(): number
  fail(error: unknown): void
}

export interface WatchParts {
  readonly catalog: Catalog
  /** In the order of the generation's tables. */
  readonly captured: readonly CapturedTable[]
}

interface WatchedTable {
  readonly name: string
  readonly captured: CapturedTable
  readonly topic: string
  record: CatalogRecord
  /** Digest of the facts that were compared last. */
  digest: string | undefined
  /** Differences that end the stream once everything before the LSN is durable. */
  over: { readonly lsn: number; readonly differences: readonly Difference[] } | undefined
}

interface ChangedTable {
  readonly table: WatchedTable
  /** Undefined for a dropped table. */
  readonly now: TableFacts | undefined
  readonly digest: string | undefined
  /**
   * LSN of the last TRUNCATE that was sent before the facts were read. The facts may contain a
   * later one, but they contain this one.
   */
  readonly truncatedAt: number
}

/**
 * Compares the tables of a generation with what was recorded when they were captured. A change of
 * the catalog that affects no record, sent or to be sent, is recorded. Every other change ends the
 * stream with an error that names it: at once where the stream is wrong already, otherwise when
 * everything committed before the change is durable.
 *
 * The watch does not look when the stream announces a table. The stream does so after ANALYZE and
 * GRANT too, and it would have to wait in the middle of a transaction. The catalog shows the
 * present, while the announcement may be hours old.
 */
export class CatalogWatch {
  readonly #context: ProducerContext
  readonly #generation: Generation
  readonly #publication: Catalog['publication']
  readonly #tables: readonly WatchedTable[]
  /** Accepted records that are not written yet. */
  readonly #unrecorded = new Map<string, CatalogRecord>()
  #stream: WatchedStream | undefined
  #nextLook = 0

  constructor(context: ProducerContext, generation: Generation, { catalog, captured }: WatchParts) {
    this.#context = context
    this.#generation = generation
    this.#publication = catalog.publication
    this.#tables = captured.map((table, index) => ({
      name: tableName(table.table),
      captured: table,
      topic: generation.tables[index]!.topic,
      record: catalog.tables[index]!,
      ...{ digest: undefined, over: undefined },
    }))
  }

  /** Looks every few seconds, and ends the stream with the error that it finds. */
  task(stream: WatchedStream): PeriodicTask {
    this.#stream = stream
    const reached = () => this.#over(stream.durable())
    return {
      complaint: "the source's catalog could not be looked at",
      everyMs: askEveryMs,
      run: async client => {
        if (performance.now() < this.#nextLook && reached().length === 0) return
        try {
          await this.look(client)
          if (reached().length > 0) throw mismatch(reached())
        } catch (error) {
          if (!isMismatch(error)) throw error
          stream.fail(error)
        }
      },
    }
  }

  /**
   * Compares all tables once.
   * @throws {MillraceError} SCHEMA_CHANGED, GENERATION_CHANGED, PUBLICATION_MISSING for a change
   *   that makes the stream wrong; POSTGRES_*
   */
  async look(client: Client): Promise<void> {
    const started = performance.now()
    const name = publicationOf(this.#context.config.name, this.#generation)
    const { version, seen, publication } = await readMoment(client, name)
    requireSamePublication(name, this.#publication, publication)
    const wrong: Found[] = []
    const found = await this.#changed(client, { version, publication: this.#publication.oid }, seen)
    // One LSN for all tables, so that the changes that one transaction made to several tables are
    // reported together.
    const end = found.length > 0 ? await walInsertLsn(client) : 0
    for (const changed of found) {
      const differences = await this.#compare(client, changed, version)
      if (differences === undefined) continue
      const { table, now } = changed
      const harm = differences.filter(({ effect }) => effect !== 'ahead')
      table.over =
        harm.length === 0 ? undefined : await this.#whenOver(client, changed, { lsn: end, differences: harm })
      if (harm.some(({ effect }) => effect === 'wrong')) wrong.push({ table: table.name, differences: harm })
      if (harm.length === 0 && now) this.#accept(changed, now, seen)
    }
    if (wrong.length > 0) throw mismatch(wrong)
    await updateCatalog(this.#context, this.#generation, this.#unrecorded)
    this.#unrecorded.clear()
    this.#nextLook = performance.now() + Math.max(lookEveryMs, restPerLook * (performance.now() - started))
  }

  /**
   * Checks that a load has copied the tables as they were recorded before it.
   * @throws {MillraceError} SNAPSHOT_LOST, POSTGRES_*
   */
  async requireUnchanged(client: Client): Promise<void> {
    try {
      await this.look(client)
      const found = this.#over(Number.POSITIVE_INFINITY)
      if (found.length > 0) throw mismatch(found)
    } catch (error) {
      throw isMismatch(error) ? snapshotLost(error) : error
    }
  }

  /** Tables whose facts differ from those compared last, or were not accepted since. */
  async #changed(client: Client, scope: FactsScope, seen: Xid): Promise<ChangedTable[]> {
    const oids = this.#tables.map(({ captured }) => captured.oid)
    const truncatedAt = new Map(this.#tables.map(table => [table, this.#truncatedAt(table)]))
    const digests = await readDigests(client, oids, scope)
    const isSame = ({ digest, over, captured }: WatchedTable) =>
      digest !== undefined && over === undefined && digest === digests.get(captured.oid)
    for (const table of this.#tables) if (isSame(table)) table.record = { ...table.record, seen }
    const tables = this.#tables.filter(table => !isSame(table))
    const facts = await readFacts(
      client,
      tables.map(({ captured }) => captured.oid),
      scope,
    )
    return tables.map(table => {
      const { oid } = table.captured
      return { table, now: facts.get(oid), digest: digests.get(oid), truncatedAt: truncatedAt.get(table)! }
    })
  }

  /** Undefined while the result is unknown, because another session locks the table. */
  async #compare(client: Client, changed: ChangedTable, version: number): Promise<Difference[] | undefined> {
    const { table, now, digest } = changed
    const { guard } = table.captured
    const dropped = new Set([...(guard?.dropped ?? []), ...(guard?.unclassified ?? [])])
    const outlook = { dropped, personal: guard?.personal ?? false, version }
    const { differences, unclear, added } = compareFacts(table.record.facts, now, outlook)
    const found = [...differences]
    for (const change of unclear) {
      if (change.kind === 'emptied' && this.#truncatedAt(table) > table.record.truncatedAt) continue
      const answer = await isHarmless(client, change, table.record.seen)
      if (answer === undefined) return undefined
      if (answer === 'unreadable') found.push(await unreadable(client, change))
      else if (!answer) found.push(change.otherwise)
    }
    table.digest = digest
    if (outlook.personal) reportWithheld(this.#context, table.name, added)
    const warnings = found.filter(({ effect }) => effect === 'ahead').map(({ what }) => what)
    for (const what of this.#context.progress.warned(table.name, warnings)) {
      this.#context.log.warn(`a captured table was altered: ${what}`, { table: table.name })
    }
    return found
  }

  async #whenOver(
    client: Client,
    { table, now }: ChangedTable,
    { lsn, differences }: NonNullable<WatchedTable['over']>,
  ): Promise<WatchedTable['over']> {
    const hasOtherName = now === undefined || tableName(now) !== table.name
    const taken = hasOtherName && (await isThere(client, table.captured.table))
    const more = taken ? [over('Another table has its name now, and is not captured.')] : []
    return { lsn: table.over?.lsn ?? lsn, differences: [...differences, ...more] }
  }

  #accept({ table, truncatedAt }: ChangedTable, now: TableFacts, seen: Xid): void {
    const facts = acceptFacts(table.record.facts, now)
    const record = { source: table.record.source, facts, seen, truncatedAt }
    if (isWorthRecording(table.record.facts, facts)) this.#unrecorded.set(table.topic, record)
    table.record = record
  }

  /**
   * Includes TRUNCATEs of an earlier stream: the last one may have become durable, and so is not
   * sent again, before the watch looked.
   */
  #truncatedAt(table: WatchedTable): number {
    const sent = this.#stream?.writers[this.#tables.indexOf(table)]?.truncatedAt ?? 0
    return Math.max(sent, table.record.truncatedAt)
  }

  /** The differences that end a stream that is durable up to this LSN. */
  #over(durable: number): Found[] {
    return this.#tables.flatMap(({ name, over: found }) =>
      found !== undefined && found.lsn <= durable ? [{ table: name, differences: found.differences }] : [],
    )
  }
}

function isMismatch(error: unknown): error is MillraceError {
  return error instanceof MillraceError && mismatchCodes.has(error.code)
}

const mismatchCodes: ReadonlySet<ErrorCode> = new Set(['SCHEMA_CHANGED', 'GENERATION_CHANGED', 'PUBLICATION_MISSING'])

function snapshotLost(cause: MillraceError): MillraceError {
  return new MillraceError('SNAPSHOT_LOST', {
    what: `the source was changed during the load: ${cause.message}`,
    where: cause.where ?? 'the source database',
    next: 'nothing was lost; the initial load begins again with a new snapshot',
    cause,
  })
}

async function isThere(client: Client, { schema, name }: Named): Promise<boolean> {
  const rows = await query(
    client,
    'SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2',
    [schema, name],
  )
  return rows.length > 0
}
