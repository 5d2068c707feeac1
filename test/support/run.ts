// test/support/run: the runner behind `npm test`; every file in a process of its own, layer after layer.
// May know: child and totals. Arguments are layers (`unit`) or parts of file names (`config`); none means everything.

import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type FileResult, runFile } from './child.ts'
import { addTotals, closingLine, noTests, type Totals } from './totals.ts'

interface Layer {
  readonly name: string
  /** Files that run at a time. */
  readonly width: number
  /** Hard limit of one file. */
  readonly limitMs: number
}

const layers: readonly Layer[] = [
  { name: 'unit', width: 2, limitMs: 180_000 },
  { name: 'service', width: 1, limitMs: 300_000 },
  { name: 'e2e', width: 1, limitMs: 900_000 },
]

const root = join(import.meta.dirname, '..')
const interrupt = new AbortController()

function filesOf(layer: Layer, wanted: readonly string[]): string[] {
  const files = readdirSync(join(root, layer.name), { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.test.ts'))
    .map(file => join(layer.name, file))
    .sort()
  if (wanted.length === 0 || wanted.includes(layer.name)) return files
  return files.filter(file => wanted.some(part => file.includes(part)))
}

function report(file: string, { totals, output, problems, seconds }: FileResult, live: boolean): void {
  const mark = totals.failed > 0 ? 'FAIL' : 'ok  '
  if (totals.failed > 0 && !live) console.log(`\n${output.trim()}\n`)
  console.log(`${mark} ${file}  ${closingLine(totals)}  ${seconds.toFixed(1)} s`)
  for (const problem of problems) console.log(`     ${file} ${problem}`)
  if (totals.failed === 0 && !live) for (const [line] of output.matchAll(/^skipped: .*$/gm)) console.log(`     ${line}`)
}

async function runLayer(layer: Layer, files: string[], directory: string, live: boolean): Promise<Totals> {
  let totals = noTests
  const queue = [...files]
  const worker = async () => {
    for (let file = queue.shift(); file && !interrupt.signal.aborted; file = queue.shift()) {
      const own = mkdtempSync(join(directory, 'file-'))
      chmodSync(own, 0o711)
      const run = { limitMs: layer.limitMs, directory: own, live, signal: interrupt.signal }
      const result = await runFile(join(root, file), run)
      totals = addTotals(totals, result.totals)
      report(file, result, live)
      rmSync(own, { recursive: true, force: true })
    }
  }
  await Promise.all(Array.from({ length: layer.width }, worker))
  return totals
}

async function main(wanted: readonly string[]): Promise<number> {
  const chosen = layers.map(layer => ({ layer, files: filesOf(layer, wanted) }))
  const count = chosen.reduce((sum, { files }) => sum + files.length, 0)
  if (count === 0) console.error(`no test file matches ${wanted.join(' ')}; the layers are unit, service and e2e`)

  // Postgres refuses root and so runs under another uid, which must be able to pass through the directory.
  const directory = mkdtempSync(join(tmpdir(), 'millrace-test-'))
  chmodSync(directory, 0o711)
  let totals = noTests
  try {
    for (const { layer, files } of chosen) {
      if (files.length > 0) totals = addTotals(totals, await runLayer(layer, files, directory, count === 1))
    }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
  console.log(closingLine(totals))
  if (interrupt.signal.aborted) return 130
  return totals.failed > 0 || totals.passed === 0 ? 1 : 0
}

// npm passes a signal on that the terminal has sent already; the second one must not cut the clean-up short.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => interrupt.abort())
process.exitCode = await main(process.argv.slice(2))
