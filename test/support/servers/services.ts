// test/support/servers/services: real components for one test file: servers of its own, or those
// that the files of a run share.

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createLog, type Log } from '../../../runtime/log.ts'
import type { Component, Endpoints } from '../../../stack/component.ts'
import { kill, reset, up } from '../../../stack/up.ts'
import { cleanServers } from './clean.ts'

/** Running components, empty at first. */
export interface Servers {
  readonly endpoints: Endpoints
  /** Leaves nothing behind that another file could meet; belongs into the suite's `after`. */
  stop(): Promise<void>
}

/** Servers of one file, which may kill them and lay files into their directory. */
export interface Services extends Servers {
  /** Where their data and logs are. */
  readonly directory: string
  /** As a crash would (SIGKILL). Ports and data stay. */
  kill(component: Component): Promise<void>
  /** Starts again what was killed; resolves when it answers. */
  restart(): Promise<void>
}

/** Where the runner tells a file of the directory of the servers that it may share. */
export const sharedVariable = 'TEST_SERVERS'

/**
 * Servers that are neither killed nor set up in a way of their own: those that the runner has
 * started, which no other file uses at the same time, or, where there are none, the file's own.
 */
export async function shareServers(wanted: readonly Component[]): Promise<Servers> {
  const directory = process.env[sharedVariable]
  if (!directory) return startServices(wanted)
  const endpoints = await up({ directory, log: quietLog(), components: wanted })
  return { endpoints, stop: () => cleanServers(endpoints) }
}

/**
 * Starts the named components and nothing else, in a directory of their own that `stop` deletes.
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
