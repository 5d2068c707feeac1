// test/support/runner/run: `npm test`, or `npm test -- unit config` for layers and parts of file
// names; `npm run test:long` for the long ones. Exits with 0 only when something ran and nothing
// failed; 130 when interrupted.

import { join } from 'node:path'
import { projectRoot } from '../harness/root.ts'
import { closingLine } from '../harness/totals.ts'
import { type Layer, runTests } from './runner.ts'

const regular: readonly Layer[] = [
  { name: 'unit', limitMs: 180_000 },
  { name: 'service', limitMs: 300_000, isReal: true },
  { name: 'e2e', limitMs: 900_000, isReal: true, longest: ['crash', 'property', 'changes', 'set-aside', 'reset'] },
]

/** Soaks and repetitions: run before a release and at night, and only when asked for by name. */
const long: readonly Layer[] = [{ name: 'long', limitMs: 3_600_000, isReal: true }]

const wanted = process.argv.slice(2)
const isLong = wanted.some(part => part.startsWith('long'))
const interrupt = new AbortController()
// npm passes on a signal that the terminal has sent already; the second one must not cut the
// clean-up short.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => interrupt.abort())

const totals = await runTests({
  root: join(projectRoot, 'test'),
  layers: isLong ? long : regular,
  // Tests of crashes wait for sessions to expire: two lanes leave a fifth of two cores idle.
  width: isLong ? 1 : 3,
  wanted,
  signal: interrupt.signal,
  print: line => console.log(line),
  live: true,
})
console.log(closingLine(totals))
process.exitCode = totals.failed > 0 || totals.passed === 0 ? 1 : 0
if (interrupt.signal.aborted) process.exitCode = 130
