// cli/demo/demo-screen: the demo's display, redrawn in place on a terminal, line by line elsewhere.

import { stripVTControlCharacters } from 'node:util'

export interface DemoView {
  readonly seconds: number
  readonly endpoints: Readonly<Record<string, string>>
  readonly changesPerSecond: number
  readonly changes: number
  readonly freshness: { readonly p50: number; readonly p99: number; readonly max: number } | undefined
  readonly today: Readonly<Record<string, string>> | undefined
  readonly best: readonly { territory: string; rank: number; customer: string; orders: number; revenue: string }[]
  readonly next: readonly string[]
}

/** The width when the terminal reports 0. */
const usualColumns = 80

const bold = (text: string) => `\x1b[1m${text}\x1b[22m`
const dim = (text: string) => `\x1b[2m${text}\x1b[22m`

/** On a terminal, replaces the previous picture; elsewhere prints one line. */
export class DemoScreen {
  readonly #out: NodeJS.WriteStream
  #height = 0

  constructor(out: NodeJS.WriteStream = process.stderr) {
    this.#out = out
  }

  draw(view: DemoView): void {
    if (!this.#out.isTTY) {
      this.#out.write(`${summaryLine(view)}\n`)
      return
    }
    const lines = pictureLines(view)
    const up = this.#height > 0 ? `\x1b[${this.#height}A` : ''
    this.#out.write(`${up}${lines.map(line => `${line}\x1b[K`).join('\n')}\x1b[J\n`)
    this.#height = terminalRows(lines, this.#out.columns || usualColumns)
  }
}

/** Rows of the lines on a terminal. Long lines wrap, so that commands can be copied whole. */
export function terminalRows(lines: readonly string[], columns: number): number {
  const rows = lines.map(line => Math.ceil(stripVTControlCharacters(line).length / columns))
  return rows.reduce((sum, count) => sum + Math.max(1, count), 0)
}

function summaryLine({ seconds, changesPerSecond, changes, freshness, today }: DemoView): string {
  const fresh = freshness === undefined ? 'no changes yet' : `fresh p50 ${freshness.p50} ms p99 ${freshness.p99} ms`
  const sales = today === undefined ? '' : `, today ${today.total_orders} orders ${today.total_revenue} revenue`
  return `${seconds.toFixed(0)} s: ${group(changesPerSecond)} changes/s, ${group(changes)} in all, ${fresh}${sales}`
}

function pictureLines(view: DemoView): string[] {
  const { freshness, today } = view
  const endpoints = Object.entries(view.endpoints).map(([name, at]) => `  ${name.padEnd(12)}${at}`)
  const fresh =
    freshness === undefined
      ? 'waiting for changes'
      : `p50 ${freshness.p50} ms   p99 ${freshness.p99} ms   max ${freshness.max} ms`
  const sales =
    today === undefined
      ? ['  no completed order yet']
      : [
          `  ${today.total_orders} completed orders, ${today.total_items_sold} items`,
          `  revenue ${today.total_revenue}   cost ${today.total_cost}   profit ${today.total_profit}   average order ${today.average_order_value}`,
        ]
  return [
    `${bold('millrace')}  Postgres → Kafka → ClickHouse  ${dim(`running ${clock(view.seconds)}`)}`,
    ...endpoints,
    '',
    bold('Stream'),
    `  ${group(view.changesPerSecond)} row changes/s   ${group(view.changes)} in all`,
    `  commit → visible in ClickHouse: ${fresh}`,
    '',
    `${bold('Today')} ${dim('analytics.daily_sales_stats')}`,
    ...sales,
    '',
    `${bold('Best customers')} ${dim('analytics.territory_top_customers')}`,
    ...view.best.map(
      row =>
        `  ${row.territory.padEnd(22)}${String(row.rank).padStart(2)}. ${row.customer.padEnd(28)}${String(row.orders).padStart(4)} orders ${row.revenue.padStart(12)}`,
    ),
    '',
    bold('Next'),
    ...view.next.map(line => `  ${line}`),
  ]
}

function clock(seconds: number): string {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`
}

function group(count: number): string {
  return Math.round(count).toLocaleString('en-US')
}
