// test/support/services: real components for one test file, in a directory of their own.
// May know: runtime, stack.

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createLog, type Log } from '../../runtime/log.ts'
import type { Component, Endpoints } from '../../stack/component.ts'
import { kill, reset, up } from '../../stack/up.ts'

export interface Services {
  readonly endpoints: Endpoints
  /** Where their data and logs are. */
  readonly directory: string
  /** As a crash would (SIGKILL). Ports and data stay. */
  kill(component: Component): Promise<void>
  /** Starts again what was killed; resolves when it answers. */
  restart(): Promise<void>
  /** Stops everything and deletes the directory. */
  stop(): Promise<void>
}

/**
 * Starts the named components and nothing else; `stop` belongs into the suite's `after`.
 * @param files by path: what lies in their directory before they start
 */
export async function startServices(
  wanted: readonly Component[],
  files: Readonly<Record<string, string>> = {},
): Promise<Services> {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-test-'))
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true })
    await writeFile(join(directory, path), text)
  }
  const log = quietLog()
  const start = () => up({ directory, log, components: wanted })
  const stop = async () => {
    await reset(directory, log)
    await rm(directory, { recursive: true, force: true })
  }
  try {
    const endpoints = await start()
    return {
      endpoints,
      directory,
      stop,
      async kill(component) {
        await kill(directory, component)
      },
      async restart() {
        await start()
      },
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Errors only, so that a test's output stays readable. */
export function quietLog(): Log {
  return createLog('test', 'error')
}
