// test/support/runner/runner: runs the test files of a directory, layer after layer, and adds up
// their results.

import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join, relative } from 'node:path'
import { compile, compiledFile } from '../harness/build.ts'
import { projectRoot } from '../harness/root.ts'
import { temporaryDirectory, temporaryRoot } from '../harness/temporary.ts'
import { addTotals, closingLine, noTests, type Totals } from '../harness/totals.ts'
import { SharedServers } from '../servers/shared-servers.ts'
import { type FileResult, runFile } from './child.ts'

export interface Layer {
  /** Folder below the root. */
  readonly name: string
  /** Hard limit of one file. */
  readonly limitMs: number
  /**
   * Whether its files start millrace commands, which the runner therefore compiles first, and
   * servers, which files may share.
   */
  readonly isReal?: boolean
  /** The slowest files. They start first, so that none of them runs alone at the end. */
  readonly longest?: readonly string[]
}

export interface Run {
  /** Directory with a folder for each layer. */
  readonly root: string
  /** In this order. The last files of one layer and the first of the next may run side by side. */
  readonly layers: readonly Layer[]
  /** Number of files that run at a time. */
  readonly width: number
  /** Layers or parts of file names. Empty: everything. */
  readonly wanted: readonly string[]
  readonly signal: AbortSignal
  readonly print: (line: string) => void
  /** Copy the output of a single wanted file to the terminal as it comes. */
  readonly live: boolean
}

interface Job {
  readonly layer: Layer
  readonly file: string
}

/**
 * Runs the wanted files and returns their totals. Afterwards, everything that they started has
 * ended and their temporary files are gone.
 */
export async function runTests({ root, layers, wanted, signal, print, ...run }: Run): Promise<Totals> {
  const chosen = (names: readonly string[]): Job[] =>
    layers.flatMap(layer => filesOf(root, layer, names).map(file => ({ layer, file })))
  const jobs = chosen(wanted)
  const count = jobs.length
  // A name without a file is a test that is believed to run, and counts as failed.
  const unknown = wanted.filter(name => chosen([name]).length === 0)
  for (const name of unknown) print(`no test file matches "${name}"; the layers are ${layers.map(({ name }) => name)}`)
  const directory = temporaryDirectory(join(temporaryRoot(), 'millrace-test-'))
  const live = run.live && count === 1
  let totals = { ...noTests, failed: unknown.length }
  const build = join(directory, 'build')
  const compiled = jobs.some(({ layer }) => layer.isReal) ? compile(build) : undefined
  compiled?.catch(() => {})
  const runOne = async ({ layer: { limitMs, isReal }, file }: Job, servers: SharedServers) => {
    const env = { ...(await compiled), ...(isReal && (await servers.for(join(root, file)))) }
    const own = temporaryDirectory(join(directory, 'file-'))
    const program = (await compiled) ? compiledFile(build, relative(projectRoot, join(root, file))) : join(root, file)
    const result = await runFile(program, { limitMs, directory: own, live, signal, env })
    totals = addTotals(totals, result.totals)
    for (const line of report(file, result, live)) print(line)
    rmSync(own, { recursive: true, force: true })
  }
  try {
    const worker = async (_: unknown, index: number) => {
      const servers = new SharedServers(join(directory, `servers-${index}`))
      try {
        for (let job = jobs.shift(); job && !signal.aborted; job = jobs.shift()) await runOne(job, servers)
      } finally {
        await servers.stop()
      }
    }
    await Promise.all(Array.from({ length: run.width }, worker))
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
    .sort((a, b) => rank(layer, a) - rank(layer, b) || (a < b ? -1 : 1))
  if (wanted.length === 0 || wanted.includes(layer.name)) return files
  return files.filter(file => wanted.some(part => file.includes(part)))
}

function rank({ name, longest = [] }: Layer, file: string): number {
  const place = longest.findIndex(each => join(name, `${each}.test.ts`) === file)
  return place === -1 ? longest.length : place
}

function report(file: string, { totals, output, problems, seconds }: FileResult, live: boolean): string[] {
  const failed = totals.failed > 0
  const notes = live ? [] : [...output.matchAll(/^(skipped|slow): .*$/gm)].map(([line]) => `     ${line}`)
  return [
    ...(failed && !live ? ['', output.trim(), ''] : []),
    `${failed ? 'FAIL' : 'ok  '} ${file}  ${closingLine(totals)}  ${seconds.toFixed(1)} s`,
    ...problems.map(problem => `     ${file} ${problem}`),
    ...(failed ? [] : notes),
  ]
}
