// test/support/runner/run: `npm test`, or `npm test -- unit config` for layers and parts of file
// names; `npm run test:long` for the long tests.
// Exits with 0 only when a test ran and none failed; with 130 when interrupted.

import { join } from 'node:path'
import { projectRoot } from '../harness/root.ts'
import { closingLine } from '../harness/totals.ts'
import { type Layer, runTests } from './runner.ts'

const regular: readonly Layer[] = [
  { name: 'unit', limitMs: 180_000 },
  { name: 'service', limitMs: 300_000, isReal: true },
  { name: 'e2e', limitMs: 900_000, isReal: true, longest: ['crash', 'property', 'changes', 'dead-letters', 'reset'] },
]

/**
 * Long tests and repetitions. They run before a release and at night, and only when they are named.
 */
const long: readonly Layer[] = [{ name: 'long', limitMs: 3_600_000, isReal: true }]

const wanted = process.argv.slice(2)
const isLong = wanted.some(part => part.startsWith('long'))
const interrupt = new AbortController()
// npm forwards a signal that the terminal has sent already. The second signal must not interrupt
// the clean-up.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => interrupt.abort())

const totals = await runTests({
  root: join(projectRoot, 'test'),
  layers: isLong ? long : regular,
  // Crash tests wait for sessions to expire: with two files at a time, a fifth of two cores is
  // idle.
  width: isLong ? 1 : 3,
  wanted,
  signal: interrupt.signal,
  print: line => console.log(line),
  live: true,
})
console.log(closingLine(totals))
process.exitCode = totals.failed > 0 || totals.passed === 0 ? 1 : 0
if (interrupt.signal.aborted) process.exitCode = 130
