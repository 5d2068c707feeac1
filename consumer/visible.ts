// consumer/visible: the answer of the consumer to GET /visible: whether a commit of the source can
// be read in ClickHouse.

import type { Clickhouse } from '../clickhouse/client.ts'
import { formatLsn, parseLsn } from '../contract/position.ts'
import { Answer } from '../runtime/http.ts'
import { sleep } from '../runtime/wait.ts'
import { freshnessViewName } from './warehouse/freshness-view.ts'

const longestWaitMs = 60_000
const askEveryMs = 20

interface Question {
  readonly lsn: number
  /** Published table or report; undefined for everything. */
  readonly name: string | undefined
  readonly waitMs: number
}

/**
 * Parameters: `lsn` (`16/B374D848`, as `pg_current_wal_lsn()` gives it after a commit), `wait` (up
 * to 60,000 ms, default 0), `name` (`analytics.daily_sales_stats`; default: everything).
 * @returns `{visible, lsn}`: whether every commit before the wanted LSN is there, and up to which
 *   LSN they are. Status 400 for other parameters, 404 for an unknown name
 */
export async function answerVisible(clickhouse: Clickhouse, url: URL, signal: AbortSignal): Promise<Answer> {
  const question = readQuestion(url.searchParams)
  if (typeof question === 'string') return new Answer(400, { error: question })
  const { lsn: wanted, name, waitMs } = question
  const until = performance.now() + waitMs
  for (;;) {
    const lsn = await visibleLsn(clickhouse, name)
    if (lsn === undefined && name !== undefined) return new Answer(404, { error: `nothing is published as ${name}` })
    const visible = (lsn ?? 0) >= wanted
    if (visible || performance.now() >= until) return new Answer(200, { visible, lsn: formatLsn(lsn ?? 0) })
    await sleep(askEveryMs, signal)
  }
}

function readQuestion(parameters: URLSearchParams): Question | string {
  const text = parameters.get('lsn') ?? ''
  if (!/^[0-9A-Fa-f]{1,8}\/[0-9A-Fa-f]{1,8}$/.test(text)) return 'lsn must be a pg_lsn, such as 16/B374D848'
  const waitMs = Number(parameters.get('wait') ?? 0)
  if (!(waitMs >= 0 && waitMs <= longestWaitMs)) return `wait must be 0 to ${longestWaitMs} ms`
  return { lsn: parseLsn(text), name: parameters.get('name') ?? undefined, waitMs }
}

async function visibleLsn(clickhouse: Clickhouse, name: string | undefined): Promise<number | undefined> {
  const [row] =
    name === undefined
      ? await clickhouse.rows<{ lsn: string }>("SELECT max(lsn) AS lsn FROM watermark WHERE scope = ''")
      : await clickhouse.rows<{ lsn: string }>(`SELECT lsn FROM ${freshnessViewName} WHERE name = {name:String}`, {
          name,
        })
  return row === undefined ? undefined : Number(row.lsn)
}
