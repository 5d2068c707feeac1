// modeling/check: whether the contributions of an aggregate follow the rule that makes folds exact,
// tried out on random rows.

import type { Clickhouse } from '../clickhouse/client.ts'
import { storageName } from '../clickhouse/ddl.ts'
import { quoteName } from '../clickhouse/quote.ts'
import { tableName } from '../contract/table.ts'
import { MillraceError } from '../runtime/errors.ts'
import type { Aggregate } from './aggregate.ts'
import { rowsSuffix } from './model.ts'
import { foldSettings } from './one-at-a-time.ts'
import { type RowSet, randomRows } from './random-rows.ts'

/** What must be 0: sums of contributions, each over rows with signs. */
interface Rule {
  readonly meaning: string
  readonly terms: readonly { readonly factor: 1 | -1; readonly rows: readonly Rows[] }[]
}

interface Rows {
  readonly sign: 1 | -1
  readonly state: RowSet['state']
  /** Only keys of one half. */
  readonly half?: 0 | 1
}

const plus = (...rows: readonly Rows[]) => ({ factor: 1, rows }) as const
const minus = (...rows: readonly Rows[]) => ({ factor: -1, rows }) as const
const before: Rows = { sign: 1, state: 'before' }
const after: Rows = { sign: 1, state: 'after' }

const rules: readonly Rule[] = [
  {
    meaning: 'rows that are taken back and added again must contribute nothing',
    terms: [plus({ ...before, sign: -1 }, before)],
  },
  {
    meaning: 'old rows with _sign -1 beside new rows with +1 must contribute the difference of both states',
    terms: [plus({ ...before, sign: -1 }, after), plus(before), minus(after)],
  },
  {
    meaning: 'what two groups of keys contribute must add up to what both contribute together',
    terms: [plus({ ...before, half: 0 }), plus({ ...before, half: 1 }), minus(before)],
  },
]

/** From few rows, so that a fault is shown with as few as possible, to many. */
const counts = [1, 2, 4, 30]
const tries = 2

/**
 * Tries the rule on random rows of the captured tables' types. Each set of rows is determined by
 * the seed.
 * @throws {MillraceError} CONFIG_INVALID with the rule, the rows and the cells that are not 0
 */
export async function checkAggregate(clickhouse: Clickhouse, aggregate: Aggregate, seed: number): Promise<void> {
  for (const count of counts) {
    for (let attempt = 0; attempt < tries; attempt++) {
      const set = { seed: seed + attempt, count }
      for (const rule of rules) {
        const cells = await clickhouse.rows<object>(ruleSelect(aggregate, rule, set), {}, foldSettings)
        if (cells.length > 0) throw await brokenRule(clickhouse, aggregate, { rule, set, cells })
      }
    }
  }
}

type Sizes = Omit<RowSet, 'state'>

function ruleSelect(aggregate: Aggregate, { terms }: Rule, set: Sizes): string {
  const { keys, measures, contributions } = aggregate
  const own = keys.map(quoteName)
  const parts = terms.map(({ factor, rows }) => {
    const summed = measures.map(name => (factor === 1 ? quoteName(name) : `-${quoteName(name)} AS ${quoteName(name)}`))
    const names = [...keys, ...measures].map(quoteName).join(', ')
    return `SELECT ${[...own, ...summed].join(', ')} FROM (WITH ${rowsOf(aggregate, rows, set)}
SELECT ${names} FROM (${contributions}\n))`
  })
  const sums = measures.map(name => `sum(${quoteName(name)})`)
  return `SELECT ${[...own, ...sums.map((sum, index) => `${sum} AS ${quoteName(`_${measures[index]}`)}`)].join(', ')}
FROM (${parts.join('\nUNION ALL ')})
GROUP BY ${own.length === 0 ? 'tuple()' : own.join(', ')} HAVING ${sums.map(sum => `${sum} != 0`).join(' OR ')} LIMIT 3`
}

function rowsOf(aggregate: Aggregate, rows: readonly Rows[], set: Sizes): string {
  const key = `cityHash64(${aggregate.by.map(quoteName).join(', ')}) % 2`
  const tables = aggregate.sources.map(source => {
    const selects = rows.map(({ sign, state, half }) => {
      const all = randomRows(aggregate, source, { ...set, state })
      return `SELECT *, toInt8(${sign}) AS _sign FROM (${all})${half === undefined ? '' : ` WHERE ${key} = ${half}`}`
    })
    const { schema, name } = source.table
    return `${quoteName(storageName(schema, name) + rowsSuffix)} AS (${selects.join(' UNION ALL ')})`
  })
  return tables.join(',\n')
}

async function brokenRule(
  clickhouse: Clickhouse,
  aggregate: Aggregate,
  { rule, set, cells }: { rule: Rule; set: Sizes; cells: readonly object[] },
): Promise<MillraceError> {
  const shown: string[] = []
  const states = new Set(rule.terms.flatMap(({ rows }) => rows.map(({ state }) => state)))
  for (const source of aggregate.sources) {
    for (const state of states) {
      const rows = await clickhouse.rows<object>(`${randomRows(aggregate, source, { ...set, state })} LIMIT 4`)
      shown.push(`${tableName(source.table)} ${state}: ${rows.map(row => JSON.stringify(row)).join(' ') || 'no rows'}`)
    }
  }
  return new MillraceError('CONFIG_INVALID', {
    what: `the contributions of the aggregate ${aggregate.name} break a rule: ${rule.meaning}. For ${cells.length === 3 ? 'at least 3 cells' : `${cells.length} cells`} they do not, such as ${JSON.stringify(cells[0])}`,
    where: `rows of seed ${set.seed}, of which ${shown.join('; ')}`,
    next: 'in its SELECT, make _sign a part of each join and each GROUP BY of rows, and multiply each measure by it; compute nothing across keys but sums',
  })
}
