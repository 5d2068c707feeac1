// test/support/runner/child: runs one test file in its own process group, with a hard limit, and
// ends everything that it leaves.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { end, leftovers } from '../harness/leftovers.ts'
import { addTotals, noTests, readFileLine, type Totals } from '../harness/totals.ts'

export interface FileRun {
  readonly limitMs: number
  /**
   * Directory for temporary files. It is also the mark that identifies processes which outlive
   * their file.
   */
  readonly directory: string
  /** Copy the output to the terminal while the file runs. */
  readonly live: boolean
  /** Ends the file and everything it started. */
  readonly signal: AbortSignal
  /** Additions to the current environment. */
  readonly env: NodeJS.ProcessEnv
}

export interface FileResult {
  readonly totals: Totals
  readonly output: string
  /** Problems of the file as a whole. Each counts as one failed test. */
  readonly problems: readonly string[]
  readonly seconds: number
}

const graceMs = 5_000
const outputLimit = 400_000

/** Runs the file to its end, or kills its whole group at the limit or on the signal. */
export async function runFile(file: string, run: FileRun): Promise<FileResult> {
  const started = performance.now()
  const child = spawn(process.execPath, [...loader(file), file], {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...run.env, TMPDIR: run.directory, NODE_NO_WARNINGS: '1' },
  })
  let output = ''
  const collect = (chunk: string) => {
    output = (output + chunk).slice(-outputLimit)
    if (run.live) process.stdout.write(chunk)
  }
  child.stdout.setEncoding('utf8').on('data', collect)
  child.stderr.setEncoding('utf8').on('data', collect)

  const limit = AbortSignal.timeout(run.limitMs)
  const stop = () => void endGroup(child.pid)
  AbortSignal.any([limit, run.signal]).addEventListener('abort', stop)
  const closed = once(child, 'close')
  const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null]
  const left = await endLeftovers(run.directory)
  await closed

  const problems: string[] = []
  const totals = readFileLine(output)
  if (limit.aborted) problems.push(`was ended after its limit of ${run.limitMs / 1000} s`)
  else if (run.signal.aborted) problems.push('was interrupted')
  else if (!totals) problems.push(`ended (${signal ?? `exit ${code}`}) without reporting its tests`)
  else if (code !== 0 && totals.failed === 0) problems.push(`ended with ${signal ?? `exit ${code}`}`)
  problems.push(...left)
  const failed = { ...noTests, failed: problems.length }
  return {
    totals: addTotals(totals ?? noTests, failed),
    output,
    problems,
    seconds: (performance.now() - started) / 1000,
  }
}

/** Sources run under tsx. Compiled files have source maps. */
function loader(file: string): string[] {
  return file.endsWith('.ts') ? ['--import', import.meta.resolve('tsx')] : ['--enable-source-maps']
}

async function endGroup(leader: number | undefined): Promise<void> {
  if (leader === undefined) return
  end(-leader, 'SIGTERM')
  await pause(graceMs, undefined, { ref: false })
  end(-leader, 'SIGKILL')
}

/** Gives started processes a moment to follow their parent, then kills the rest and names them. */
async function endLeftovers(mark: string): Promise<string[]> {
  const deadline = performance.now() + graceMs
  let left = leftovers(mark)
  while (left.length > 0 && performance.now() < deadline) {
    await pause(50)
    left = leftovers(mark)
  }
  for (const { pid } of left) end(pid, 'SIGKILL')
  return left.map(({ pid, command }) => `left process ${pid} running: ${command}`)
}
