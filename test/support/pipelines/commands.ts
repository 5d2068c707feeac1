// test/support/pipelines/commands: millrace commands for one pipeline, run in this process, which
// saves the start of a process.

import { join } from 'node:path'
import { openConnections } from '../../../cli/connections.ts'
import { reportGenerations } from '../../../cli/generations.ts'
import { createProgram } from '../../../cli/program.ts'
import { loadConfig } from '../../../runtime/config/config.ts'
import { Disposables } from '../../../runtime/disposables.ts'
import { quietLog } from '../servers/services.ts'
import type { Pipeline } from './pipeline.ts'

/**
 * Returns the exit code.
 * @throws {MillraceError} the error that the command would print before it exits with 2
 */
export async function millrace({ directory }: Pipeline, ...args: string[]): Promise<number> {
  const options = ['--config', join(directory, 'millrace.yaml'), '--data', directory, '--log-level', 'error']
  try {
    const program = await createProgram(args)
    await program.parseAsync([...args, ...options], { from: 'user' })
    return Number(process.exitCode ?? 0)
  } finally {
    process.exitCode = undefined
  }
}

/** Returns the command's stdout. @throws {MillraceError} as above */
export async function printed(pipeline: Pipeline, ...args: string[]): Promise<string> {
  const { write } = process.stdout
  let text = ''
  process.stdout.write = (chunk: string | Uint8Array) => {
    text += chunk.toString()
    return true
  }
  try {
    await millrace(pipeline, ...args)
    return text
  } finally {
    process.stdout.write = write
  }
}

/** The list of `millrace generations`: number, state, and whether topics and database exist. */
export async function listGenerations({ directory }: Pipeline): Promise<string[]> {
  const config = loadConfig({ file: join(directory, 'millrace.yaml'), flags: { directory }, env: {}, cwd: directory })
  const disposables = new Disposables()
  const { signal } = new AbortController()
  const opened = (name: string, close: () => unknown) => disposables.opened(name, close)
  const lifecycle = { signal, opened, stop: () => {} }
  try {
    const reports = await reportGenerations(await openConnections({ config, log: quietLog(), lifecycle, env: {} }))
    return reports.map(({ number, state, slot, topics, database }) =>
      [number, state, slot && 'slot', topics.length > 0 && 'topics', database && 'database'].filter(Boolean).join(' '),
    )
  } finally {
    await disposables.close()
  }
}
