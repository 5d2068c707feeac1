// test/support/bi-queries: the SQL of guides and dashboards as the tools would send it.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { projectRoot } from './root.ts'

export interface GuideQuery {
  /** Guide and number of the block. */
  readonly where: string
  /** The word after `sql` on the fence: `analyst`, `admin` or `dbt`; without it `dashboard`. */
  readonly as: string
  readonly sql: string
}

const day = 86_400_000

/** Every ```sql block of docs/how-to/bi, in each form that its variables allow. */
export function guideQueries(country: string): GuideQuery[] {
  const folder = join(projectRoot, 'docs/how-to/bi')
  return readdirSync(folder).flatMap(page => {
    const blocks = readFileSync(join(folder, page), 'utf8').matchAll(/^```sql ?(\w*)\n(.*?)^```$/gms)
    return [...blocks].flatMap(([, as, sql], index) =>
      metabaseForms(sql!, country).map(form => ({
        where: `${page}, block ${index + 1}`,
        as: as || 'dashboard',
        sql: expandGrafana(form, { from: new Date(Date.now() - 365 * day), to: new Date(), intervalSeconds: 86_400 }),
      })),
    )
  })
}

/**
 * `{{name}}` is a value; what stands in `[[ ]]` is left out when it has none.
 * @see https://www.metabase.com/docs/latest/questions/native-editor/optional-variables
 */
function metabaseForms(sql: string, value: string): string[] {
  if (!sql.includes('{{')) return [sql]
  const empty = sql.replace(/\[\[.*?\]\]/gs, '')
  const filled = sql.replace(/\[\[(.*?)\]\]/gs, '$1').replace(/\{\{\w+\}\}/g, `'${value}'`)
  return [empty, filled]
}

export interface GrafanaRange {
  readonly from: Date
  readonly to: Date
  readonly intervalSeconds: number
}

/**
 * The macros that our dashboards use, as the plug-in replaces them.
 * @see https://github.com/grafana/clickhouse-datasource/blob/main/pkg/macros/macros.go
 * @throws {Error} for a macro that is not among them
 */
export function expandGrafana(sql: string, { from, to, intervalSeconds }: GrafanaRange): string {
  const seconds = (at: Date) => `toDateTime(${Math.floor(at.getTime() / 1000)})`
  const date = (at: Date) => `toDate('${at.toISOString().slice(0, 10)}')`
  const macros: Readonly<Record<string, (column: string) => string>> = {
    timeFilter: column => `${column} >= ${seconds(from)} AND ${column} <= ${seconds(to)}`,
    dateFilter: column => `${column} >= ${date(from)} AND ${column} <= ${date(to)}`,
    timeInterval: column => `toStartOfInterval(toDateTime(${column}), INTERVAL ${intervalSeconds} second)`,
    fromTime: () => seconds(from),
    toTime: () => seconds(to),
    interval_s: () => String(intervalSeconds),
  }
  // An argument may hold one call, such as toDateTime(period).
  return sql.replace(/\$__(\w+)(?:\(((?:[^()]|\([^()]*\))*)\))?/g, (whole, name: string, column = '') => {
    const macro = macros[name]
    if (macro === undefined) throw new Error(`${whole} is no macro that is known here`)
    return macro(column)
  })
}

interface Target {
  readonly rawSql: string
  readonly queryType: 'table' | 'timeseries'
}

export interface Panel {
  readonly title: string
  readonly description: string
  readonly datasource: { readonly type: string; readonly uid: string }
  readonly targets: readonly Target[]
}

export interface Dashboard {
  readonly panels: readonly Panel[]
  readonly templating: { readonly list: readonly { readonly name: string; readonly query: string }[] }
}

export function readDashboard(): Dashboard {
  return JSON.parse(readFileSync(join(projectRoot, 'grafana/dashboards/sales.json'), 'utf8')) as Dashboard
}

/** `${name:singlequote}` as Grafana writes a variable of several values. */
export function fillVariable(sql: string, name: string, values: readonly string[]): string {
  return sql.replaceAll(`\${${name}:singlequote}`, values.map(value => `'${value.replaceAll("'", "\\'")}'`).join(','))
}
