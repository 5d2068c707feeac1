// consumer/warehouse/objects: creates each table and view of a generation's database once, and
// reports missing and changed ones.

import { createHash } from 'node:crypto'
import type { Clickhouse } from '../../clickhouse/client.ts'
import { quoteString } from '../../clickhouse/quote.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { sideBySide } from '../../runtime/side-by-side.ts'

const madeStatement = `CREATE TABLE IF NOT EXISTS made (
  name String, digest String COMMENT 'SHA-256 of the statement that has made it'
) ENGINE = MergeTree ORDER BY name
COMMENT 'Tables and views that millrace has made here: one of these that is not there was dropped by somebody else'`

export const rebuildAdvice =
  'rebuild the database from the topics: stop the consumers, run millrace reset warehouse, and start them again'

const creation = /^CREATE (TABLE|VIEW|MATERIALIZED VIEW|DICTIONARY) IF NOT EXISTS (`(?:[^`\\]|\\.)*`|[^\s(]+)/m

interface Wanted {
  readonly name: string
  readonly sql: string
  /** The object has rows, which are lost with it. Other objects can be created again. */
  readonly isPrecious: boolean
  readonly digest: string
}

export interface Advice {
  /** For the operator, when a table is gone. */
  readonly gone: string
  /**
   * For the operator, when something must be built again because its statement has changed. Without
   * it, changed statements are ignored.
   */
  readonly changed?: string
  /** Views whose statement decides what tables contain. Other views are replaced. */
  decides?(view: string): boolean
}

export class Objects {
  readonly #clickhouse: Clickhouse
  /** Name → digests of the statements that have made it. */
  readonly #made: ReadonlyMap<string, ReadonlySet<string>>
  readonly #there: ReadonlySet<string>

  private constructor(
    clickhouse: Clickhouse,
    { made, there }: { made: ReadonlyMap<string, ReadonlySet<string>>; there: Iterable<string> },
  ) {
    this.#clickhouse = clickhouse
    this.#made = made
    this.#there = new Set(there)
  }

  /** Reads the objects of the session's database. */
  static async read(clickhouse: Clickhouse): Promise<Objects> {
    await clickhouse.command(madeStatement)
    // In this order, because another consumer may create objects at the same time, and records them
    // afterwards.
    const made = await clickhouse.rows<{ name: string; digests: string[] }>(
      'SELECT name, groupUniqArray(digest) AS digests FROM made GROUP BY name',
    )
    const there = await clickhouse.rows<{ name: string }>(
      'SELECT name FROM system.tables WHERE database = currentDatabase()',
    )
    return new Objects(clickhouse, {
      made: new Map(made.map(({ name, digests }) => [name, new Set(digests)])),
      there: there.map(({ name }) => name),
    })
  }

  has(name: string): boolean {
    return this.#there.has(name)
  }

  /**
   * Runs the statements whose objects do not exist yet, and replaces views whose statement has
   * changed. The statements of one list run one after the other, the lists in parallel.
   * @throws {MillraceError} WAREHOUSE_DAMAGED when a table was created before and is gone;
   *   MODEL_CHANGED when the statement of a table, or of a view that decides, has changed
   */
  async make(lists: readonly (readonly string[])[], { gone, changed, decides = () => false }: Advice): Promise<void> {
    const wanted = lists.map(list => list.map(toWanted))
    const all = wanted.flat()
    const lost = all.filter(({ name, isPrecious }) => isPrecious && this.#made.has(name) && !this.#there.has(name))
    if (lost.length > 0) throw isGone(lost, gone)
    const other = changed === undefined ? [] : all.filter(each => this.#isOther(each))
    const decisive = other.filter(({ name, isPrecious }) => isPrecious || decides(name))
    if (changed !== undefined && decisive.length > 0) throw isChanged(decisive, changed)
    const missing = ({ name }: Wanted) => !this.#made.has(name) || !this.#there.has(name)
    await sideBySide(wanted, async list => {
      for (const each of list) {
        if (missing(each)) await this.#clickhouse.command(each.sql)
        else if (other.includes(each)) await this.#clickhouse.command(replacing(each.sql))
      }
    })
    await this.#forget(other.map(({ name }) => name))
    await this.#remember(all.filter(each => each.name !== '' && (!this.#made.has(each.name) || other.includes(each))))
  }

  #isOther({ name, digest }: Wanted): boolean {
    return this.#there.has(name) && this.#made.get(name)?.has(digest) === false
  }

  async #forget(names: readonly string[]): Promise<void> {
    if (names.length > 0) await forgetObjects(this.#clickhouse, name => !names.includes(name))
  }

  async #remember(objects: readonly Wanted[]): Promise<void> {
    if (objects.length === 0) return
    const lines = new Set(objects.map(({ name, digest }) => `${JSON.stringify({ name, digest })}\n`))
    await this.#clickhouse.insert('INSERT INTO made FORMAT JSONEachRow', [Buffer.from([...lines].join(''))], {
      async_insert: 0,
    })
  }
}

/**
 * Removes the record of all objects except the kept ones, so that a later start does not report
 * them missing.
 */
export async function forgetObjects(clickhouse: Clickhouse, isKept: (name: string) => boolean): Promise<void> {
  const rows = await clickhouse.rows<{ name: string }>('SELECT DISTINCT name FROM made')
  const names = rows.map(({ name }) => name).filter(name => !isKept(name))
  if (names.length === 0) return
  await clickhouse.command(`ALTER TABLE made DELETE WHERE name IN (${names.map(quoteString).join(', ')})`, {
    mutations_sync: '1',
  })
}

/** A statement of a model that creates nothing has no name, and runs at each start. */
function toWanted(sql: string): Wanted {
  const [, kind, name = ''] = creation.exec(sql) ?? []
  const isPrecious = kind === 'TABLE' || kind === 'MATERIALIZED VIEW'
  const digest = createHash('sha256').update(sql).digest('hex')
  return { name: name.startsWith('`') ? name.slice(1, -1).replaceAll(/\\(.)/g, '$1') : name, sql, isPrecious, digest }
}

function replacing(createView: string): string {
  return createView.replace(/^CREATE VIEW IF NOT EXISTS/m, 'CREATE OR REPLACE VIEW')
}

function isGone(gone: readonly Wanted[], next: string): MillraceError {
  return new MillraceError('WAREHOUSE_DAMAGED', {
    what: `tables or materialized views that millrace has made are gone: ${namesOf(gone)}`,
    next,
  })
}

function isChanged(changed: readonly Wanted[], next: string): MillraceError {
  return new MillraceError('MODEL_CHANGED', {
    what: `the statements that make these differ from those that have made them: ${namesOf(changed)}`,
    next: `put the former SQL and the former reportTimeZone back, or ${next}`,
  })
}

function namesOf(objects: readonly Wanted[]): string {
  const names = objects.map(({ name }) => name)
  return names.length > 5 ? `${names.slice(0, 5).join(', ')} and ${names.length - 5} more` : names.join(', ')
}
