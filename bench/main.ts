// bench/main: `npm run bench -- e2e|freshness|reports|wide [--rate N] [--tables N] [--json]`.
// Compare ratios within one run. No benchmark passes or fails.

import { parseArgs } from 'node:util'
import { measureEndToEnd } from './e2e.ts'
import { measureFreshness } from './freshness.ts'
import { measureReports } from './reports.ts'
import { measureWide } from './wide.ts'

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    rate: { type: 'string', default: '1000' },
    tables: { type: 'string', default: '500' },
    json: { type: 'boolean', default: false },
  },
})

const benches: Record<string, () => Promise<unknown>> = {
  e2e: measureEndToEnd,
  freshness: () => measureFreshness(Number(values.rate)),
  reports: measureReports,
  wide: () => measureWide({ rate: Number(values.rate), tables: Number(values.tables) }),
}

const bench = benches[positionals[0] ?? '']
if (bench === undefined) {
  process.stderr.write(
    `usage: npm run bench -- ${Object.keys(benches).join('|')} [--rate CHANGES_PER_SECOND] [--tables N] [--json]\n`,
  )
  process.exitCode = 2
} else {
  const result = await bench()
  process.stdout.write(`${JSON.stringify(result, null, 2)}\n`)
}
