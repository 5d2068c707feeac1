// test/support/runner: runs the test files of a directory, layer after layer, and adds up what they report.
// May know: child and totals.

import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type FileResult, runFile } from './child.ts'
import { addTotals, closingLine, noTests, type Totals } from './totals.ts'

export interface Layer {
  /** Folder below the root. */
  readonly name: string
  /** Files that run at a time. */
  readonly width: number
  /** Hard limit of one file. */
  readonly limitMs: number
}

export interface Run {
  /** Directory with a folder for each layer. */
  readonly root: string
  readonly layers: readonly Layer[]
  /** Layers or parts of file names; none means everything. */
  readonly wanted: readonly string[]
  readonly signal: AbortSignal
  readonly print: (line: string) => void
  /** When a single file is wanted, copy its output to the terminal as it comes. */
  readonly live: boolean
}

/** Runs the wanted files and gives their totals; whatever they started has ended and their temporary files are gone. */
export async function runTests({ root, layers, wanted, signal, print, ...run }: Run): Promise<Totals> {
  const chosen = layers.map(layer => ({ layer, files: filesOf(root, layer, wanted) }))
  const count = chosen.reduce((sum, { files }) => sum + files.length, 0)
  if (count === 0) print(`no test file matches "${wanted.join(' ')}"; the layers are ${layers.map(({ name }) => name)}`)
  const directory = temporaryDirectory(join(tmpdir(), 'millrace-test-'))
  const live = run.live && count === 1
  let totals = noTests
  const runOne = async ({ limitMs }: Layer, file: string) => {
    const own = temporaryDirectory(join(directory, 'file-'))
    const result = await runFile(join(root, file), { limitMs, directory: own, live, signal })
    totals = addTotals(totals, result.totals)
    for (const line of report(file, result, live)) print(line)
    rmSync(own, { recursive: true, force: true })
  }
  try {
    for (const { layer, files } of chosen) {
      const worker = async () => {
        for (let file = files.shift(); file && !signal.aborted; file = files.shift()) await runOne(layer, file)
      }
      await Promise.all(Array.from({ length: layer.width }, worker))
    }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
  return totals
}

function filesOf(root: string, layer: Layer, wanted: readonly string[]): string[] {
  const folder = join(root, layer.name)
  if (!existsSync(folder)) return []
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.test.ts'))
    .map(file => join(layer.name, file))
    .sort()
  if (wanted.length === 0 || wanted.includes(layer.name)) return files
  return files.filter(file => wanted.some(part => file.includes(part)))
}

/** Postgres refuses root and so runs as another user, which must be able to pass through. */
function temporaryDirectory(prefix: string): string {
  const directory = mkdtempSync(prefix)
  chmodSync(directory, 0o711)
  return directory
}

function report(file: string, { totals, output, problems, seconds }: FileResult, live: boolean): string[] {
  const failed = totals.failed > 0
  const skips = live ? [] : [...output.matchAll(/^skipped: .*$/gm)].map(([line]) => `     ${line}`)
  return [
    ...(failed && !live ? ['', output.trim(), ''] : []),
    `${failed ? 'FAIL' : 'ok  '} ${file}  ${closingLine(totals)}  ${seconds.toFixed(1)} s`,
    ...problems.map(problem => `     ${file} ${problem}`),
    ...(failed ? [] : skips),
  ]
}
