// consumer/warehouse/objects: creates each table and view of a generation's database once, and
// reports missing ones.

import type { Clickhouse } from '../../clickhouse/client.ts'
import { quoteString } from '../../clickhouse/quote.ts'
import { MillraceError } from '../../runtime/errors.ts'
import { sideBySide } from '../../runtime/side-by-side.ts'

const madeStatement = `CREATE TABLE IF NOT EXISTS made (name String) ENGINE = MergeTree ORDER BY name
COMMENT 'Tables and views that millrace has made here: one of these that is not there was dropped by somebody else'`

export const rebuildAdvice =
  'rebuild the database from the topics: stop the consumers, run millrace reset warehouse, and start them again'

const creation = /^CREATE (TABLE|VIEW|MATERIALIZED VIEW|DICTIONARY) IF NOT EXISTS (`(?:[^`\\]|\\.)*`|[^\s(]+)/m

interface Wanted {
  readonly name: string
  readonly sql: string
  /** The object has rows, which are lost with it. Other objects can be created again. */
  readonly isPrecious: boolean
}

export class Objects {
  readonly #clickhouse: Clickhouse
  readonly #made: ReadonlySet<string>
  readonly #there: ReadonlySet<string>

  private constructor(clickhouse: Clickhouse, { made, there }: { made: Iterable<string>; there: Iterable<string> }) {
    this.#clickhouse = clickhouse
    this.#made = new Set(made)
    this.#there = new Set(there)
  }

  /** Reads the objects of the session's database. */
  static async read(clickhouse: Clickhouse): Promise<Objects> {
    await clickhouse.command(madeStatement)
    // In this order, because another consumer may create objects at the same time, and records them
    // afterwards.
    const made = await clickhouse.rows<{ name: string }>('SELECT name FROM made')
    const there = await clickhouse.rows<{ name: string }>(
      'SELECT name FROM system.tables WHERE database = currentDatabase()',
    )
    return new Objects(clickhouse, { made: made.map(({ name }) => name), there: there.map(({ name }) => name) })
  }

  has(name: string): boolean {
    return this.#there.has(name)
  }

  /**
   * Runs the statements whose objects do not exist yet. The statements of one list run one after
   * the other, the lists in parallel.
   * @param advice for the operator, when a table is gone
   * @throws {MillraceError} WAREHOUSE_DAMAGED when a table was created before and is gone
   */
  async make(lists: readonly (readonly string[])[], advice: string): Promise<void> {
    const wanted = lists.map(list => list.map(toWanted))
    const all = wanted.flat()
    const gone = all.filter(({ name, isPrecious }) => isPrecious && this.#made.has(name) && !this.#there.has(name))
    if (gone.length > 0) throw isGone(gone, advice)
    const missing = ({ name }: Wanted) => !this.#made.has(name) || !this.#there.has(name)
    await sideBySide(wanted, async list => {
      for (const { sql } of list.filter(missing)) await this.#clickhouse.command(sql)
    })
    const names = new Set(all.map(({ name }) => name).filter(name => name !== '' && !this.#made.has(name)))
    if (names.size > 0) await this.#remember(names)
  }

  async #remember(names: ReadonlySet<string>): Promise<void> {
    const lines = [...names].map(name => `${JSON.stringify({ name })}\n`)
    await this.#clickhouse.insert('INSERT INTO made FORMAT JSONEachRow', [Buffer.from(lines.join(''))], {
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
  return { name: name.startsWith('`') ? name.slice(1, -1).replaceAll(/\\(.)/g, '$1') : name, sql, isPrecious }
}

function isGone(gone: readonly Wanted[], next: string): MillraceError {
  const names = gone.map(({ name }) => name)
  const shown = names.length > 5 ? `${names.slice(0, 5).join(', ')} and ${names.length - 5} more` : names.join(', ')
  return new MillraceError('WAREHOUSE_DAMAGED', {
    what: `tables or materialized views that millrace has made are gone: ${shown}`,
    next,
  })
}
