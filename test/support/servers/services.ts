// test/support/servers/services: real servers for one test file: its own, or the shared ones of the
// run.

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
  /** Removes everything that another file could find. Call it in the suite's `after`. */
  stop(): Promise<void>
}

/** Servers of one file, which may kill them and write files into their directory. */
export interface Services extends Servers {
  /** Directory of their data and logs. */
  readonly directory: string
  /** SIGKILL, as in a crash. Ports and data stay. */
  kill(component: Component): Promise<void>
  /** Starts the killed components again. Resolves when they answer. */
  restart(): Promise<void>
}

/** By this variable the runner passes the directory of the shared servers to a file. */
export const sharedVariable = 'TEST_SERVERS'

/**
 * Servers for a file that neither kills nor configures them. These are the runner's servers, which
 * no other file uses at the same time; without a runner, the file starts its own.
 */
export async function shareServers(wanted: readonly Component[]): Promise<Servers> {
  const directory = process.env[sharedVariable]
  if (!directory) return startServices(wanted)
  const endpoints = await up({ directory, log: quietLog(), components: wanted })
  return { endpoints, stop: () => cleanServers(endpoints) }
}

/**
 * Starts only the named components, in a new directory that `stop` deletes.
 * @param files by path: files of that directory before the components start
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
