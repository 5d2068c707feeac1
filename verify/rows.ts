// verify/rows: compares the rows of one table on two sides, by sums over ranges of keys, and then
// by keys.

import type { Side, Sum } from './sides.ts'

interface DifferingKey {
  readonly key: string
  /** `repeated`: more than one row of either side has the key. */
  readonly state: 'missing' | 'unexpected' | 'different' | 'repeated'
  /** Rows of this key, if it is repeated. */
  readonly rows?: { readonly postgres: number; readonly clickhouse: number }
}

export interface RowComparison {
  /** Rows of each side. */
  readonly postgres: number
  readonly clickhouse: number
  /** Keys whose rows differ. If `exact` is false, there are more. */
  readonly differing: number
  readonly exact: boolean
  /** Some of these keys, up to `shownKeys`. */
  readonly keys: readonly DifferingKey[]
}

const shownKeys = 20
/** Differing ranges that are divided further. The others are not counted. */
const rangesAtMost = 256
/** Rows of both sides that are compared one by one. */
const rowsAtMost = 20_000
/**
 * Hex digits of the key's digest that each step adds. After the last step, a range has few rows, or
 * many rows of one key.
 */
const digitsPerStep = 2
const mostDigits = 8

/** All rows of one side. */
export interface Total {
  readonly rows: number
  readonly sum: bigint
}

export interface ComparedRows {
  readonly comparison: RowComparison
  /** Total of the right side. */
  readonly clickhouse: Total
}

/** Memory per side is bounded: at most 65,536 sums of ranges, or the keys of about 20,000 rows. */
export async function compareRows(left: Side, right: Side): Promise<ComparedRows> {
  let totals: { postgres: Total; clickhouse: Total } | undefined
  let within: string[] | undefined
  let exact = true
  for (let digits = digitsPerStep; ; digits += digitsPerStep) {
    const [ours, theirs] = await Promise.all([left.ranges(digits, within), right.ranges(digits, within)])
    totals ??= { postgres: total(ours), clickhouse: total(theirs) }
    const { clickhouse } = totals
    const counts = { postgres: totals.postgres.rows, clickhouse: clickhouse.rows }
    const found = differing(ours, theirs)
    if (found.length === 0) return { comparison: { ...counts, differing: 0, exact: true, keys: [] }, clickhouse }
    const isLast = digits === mostDigits
    const chosen = upTo(found, isLast ? rowsAtMost : Number.POSITIVE_INFINITY)
    exact &&= chosen.length === found.length
    within = chosen.map(({ of }) => of)
    if (!isLast && chosen.reduce((rows, pair) => rows + rowsOf(pair), 0) > rowsAtMost) continue
    const keys = differing(...(await Promise.all([left.keys(within), right.keys(within)]))).map(describe)
    const comparison = { ...counts, differing: keys.length, exact, keys: keys.slice(0, shownKeys) }
    return { comparison, clickhouse }
  }
}

interface Pair {
  readonly of: string
  readonly left: Sum | undefined
  readonly right: Sum | undefined
}

function differing(left: readonly Sum[], right: readonly Sum[]): Pair[] {
  const theirs = new Map(right.map(each => [each.of, each]))
  const pairs = left.map((each): Pair => ({ of: each.of, left: each, right: theirs.get(each.of) }))
  for (const { of } of left) theirs.delete(of)
  return [
    ...pairs,
    ...[...theirs.values()].map((each): Pair => ({ of: each.of, left: undefined, right: each })),
  ].filter(pair => pair.left?.rows !== pair.right?.rows || pair.left?.sum !== pair.right?.sum)
}

function rowsOf({ left, right }: Pair): number {
  return (left?.rows ?? 0) + (right?.rows ?? 0)
}

/** The first pairs: at least one, at most `rangesAtMost`, and at most `rows` rows together. */
function upTo(pairs: readonly Pair[], rows: number): Pair[] {
  const chosen: Pair[] = []
  let sum = 0
  for (const pair of pairs) {
    sum += rowsOf(pair)
    if (chosen.length === rangesAtMost || (chosen.length > 0 && sum > rows)) break
    chosen.push(pair)
  }
  return chosen
}

function describe({ of: key, left, right }: Pair): DifferingKey {
  const rows = { postgres: left?.rows ?? 0, clickhouse: right?.rows ?? 0 }
  if (rows.postgres > 1 || rows.clickhouse > 1) return { key, state: 'repeated', rows }
  if (rows.clickhouse === 0) return { key, state: 'missing' }
  return { key, state: rows.postgres === 0 ? 'unexpected' : 'different' }
}

export function total(sums: readonly Sum[]): Total {
  return {
    rows: sums.reduce((rows, each) => rows + each.rows, 0),
    sum: sums.reduce((sum, each) => sum + BigInt(each.sum), 0n),
  }
}
